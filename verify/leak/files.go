package leak

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// class is what a text is for: what its references come to depends on it.
type class int

const (
	object   class = iota // what the cluster gets, or a part of it
	values                // what templates are given: no cluster gets it as it is
	schema                // a CustomResourceDefinition
	code                  // functions of templates
	embedded              // a document in a string, which kbld does not see
)

// file looks at a file of the bundle.
func (s *scan) file(in *input) {
	if isMeta(in.path) {
		return
	}
	if len(in.data) > maxFile {
		s.note(place{file: in.path}, codeNotRead, report.Warning, "",
			fmt.Sprintf("has %d bytes, more than the limit of %d; it was not looked at", len(in.data), maxFile), "")
		return
	}
	defer alone(in.data)()
	if !utf8.Valid(in.data) || bytes.IndexByte(in.data, 0) >= 0 {
		switch {
		case !isYAML(in.path):
		case yamlnode.IsUTF16(in.data):
			s.note(place{file: in.path}, codeNotRead, report.Install, "", "is UTF-16 text; it was not looked at", "write it as UTF-8")
		default:
			s.note(place{file: in.path}, codeNotRead, report.Warning, "", "is not UTF-8 text; it was not looked at", "")
		}
		return
	}
	switch {
	case isYAML(in.path):
		s.yamlFile(in)
	case in.cue && strings.HasSuffix(in.path, "cue.mod/module.cue"):
		s.cueModule(in)
	default:
		w := &walker{scan: s, in: in, class: embedded, values: isLibrary(in.path)}
		if w.values {
			w.class = code
		}
		w.text(string(in.data), 0)
	}
}

// isMeta reports whether a file is for people or tools by its name, and no cluster gets it. That of a YAML file
// says nothing: its documents do.
func isMeta(file string) bool {
	base := path.Base(file)
	if strings.HasSuffix(base, ".md") {
		return true
	}
	switch base {
	case "NOTES.txt", "LICENSE", "NOTICE", "LICENSE.txt", "Chart.lock", "requirements.lock":
		return true
	}
	return false
}

// isLibrary reports whether a file has functions for templates, and no output of its own.
func isLibrary(file string) bool {
	base := path.Base(file)
	switch path.Ext(base) {
	case ".star", ".tpl", ".cue":
		return true
	}
	return strings.Contains(base, ".lib.")
}

// yamlFile looks at the documents of a file, those that are no YAML without their templates by line.
func (s *scan) yamlFile(in *input) {
	overlay := bytes.Contains(in.data, []byte("@overlay/"))
	given := bytes.Contains(in.data, []byte("@data/values"))
	limited := false
	for doc := range yamlDocuments(in.data) {
		w := &walker{scan: s, in: in, doc: doc, offset: doc.offset}
		h, isObject := doc.object()
		switch {
		case doc.root == nil:
			if !limited && errors.Is(doc.err, errLimit) {
				limited = true
				s.note(w.place(1, ""), codeNotRead, report.Warning, "", doc.err.Error()+"; it was looked at as text", "")
			}
			w.class, w.values = code, true
			w.text(string(doc.text), 0)
			continue
		case isKbldConfig(h.apiVersion, h.kind), strings.HasPrefix(h.apiVersion, "vendir.k14s.io/"), strings.HasPrefix(h.apiVersion, "imgpkg.carvel.dev/"):
			continue
		case h.kind == "CustomResourceDefinition":
			w.class = schema
		case !isObject && (given || !overlay), in.chart != nil && in.chart.isValues(in.path):
			w.class, w.values = values, true
			w.function = !given && isFunction.Match(doc.text)
		}
		w.values = w.values || isLibrary(in.path)
		w.kind = h.kind
		if isObject && w.class == object {
			s.fetchers(w, h)
		}
		w.document(doc.root)
	}
	s.templateCode(in)
}

// isFunction finds what ytt's functions begin with: what follows can be any part of an object.
var isFunction = regexp.MustCompile(`(?m)^\s*#@\s*def\s`)

var codeString = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// templateCode looks at the strings in ytt's code, which is in comments. Of annotations, only defaults of a
// schema reach anything.
func (s *scan) templateCode(in *input) {
	line := 0
	for l := range bytes.Lines(in.data) {
		line++
		_, rest, found := bytes.Cut(l, []byte("#@"))
		if !found || isAnnotation.Match(rest) {
			continue
		}
		w := &walker{scan: s, in: in, class: code, values: true}
		if bytes.HasPrefix(rest, []byte("schema/")) {
			w.class = values
		}
		for _, quoted := range codeString.FindAll(rest, -1) {
			for _, ref := range tokens(string(quoted)) {
				w.outside(line, ref)
			}
		}
	}
}

var isAnnotation = regexp.MustCompile(`^(data/|overlay/|library/|yaml/|assert/|schema/[^d]|schema/de[^f])`)
