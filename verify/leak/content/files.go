package content

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
	"relocate/report"
)

// maxStrings is the limit on nesting of documents in strings.
const maxStrings = 4

// file finds what is in a file. The first matching case handles it.
func (s *scan) file(f *File) {
	if isForPeople(f.Path) && f.readAs == notRead {
		return
	}
	if len(f.Data) > yamlnode.MaxSize {
		s.notRead(place{file: f.Path}, report.Warning, fmt.Sprintf("has %d bytes, more than the limit of %d; it was not examined", len(f.Data), yamlnode.MaxSize), "")
		return
	}
	f = s.execute(f)
	defer yamlnode.Alone(f.Data)()
	switch {
	case !utf8.Valid(f.Data) || bytes.IndexByte(f.Data, 0) >= 0:
		s.binaryFile(f)
	case f.readAs != notRead:
		s.dataFile(f)
	case isYAML(f.Path), f.isYAML:
		s.yamlFile(f)
	case f.CUE && strings.HasSuffix(f.Path, "cue.mod/module.cue"):
		s.cueModule(f)
	case path.Ext(f.Path) == ".star":
		s.starlarkFile(f)
	case isLibrary(f.Path), f.engine == helm:
		s.textFile(f, code)
	default:
		s.textFile(f, embedded)
	}
}

// isForPeople reports whether a file is for people or tools by its name, so that no cluster gets
// it. For a YAML file, its documents decide, not its name.
func isForPeople(file string) bool {
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

// isYAML reports whether ytt and kbld read a file as YAML.
func isYAML(file string) bool {
	switch path.Ext(file) {
	case ".yaml", ".yml", ".json":
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

// binaryFile reports a file that should be text but is not.
func (s *scan) binaryFile(f *File) {
	switch at := (place{file: f.Path}); {
	case !isYAML(f.Path):
	case yamlnode.IsUTF16(f.Data):
		s.notRead(at, report.Install, "is UTF-16 text; it was not examined", "write it as UTF-8")
	default:
		s.notRead(at, report.Warning, "is not UTF-8 text; it was not examined", "")
	}
}

// textFile finds what is in the lines of a file.
func (s *scan) textFile(f *File, c class) {
	w := &walker{scan: s, file: f, class: c, values: c == code}
	w.text(string(f.Data))
}

// dataFile finds what is in a file that a template reads as text.
func (s *scan) dataFile(f *File) {
	if f.readAs == asValue {
		s.textFile(f, code)
		return
	}
	w := &walker{scan: s, file: f, class: embedded}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: string(f.Data)}
	w.recognise(n)
}

// yamlFile finds what is in the documents of a file. Documents that are not YAML without their
// templates are read line by line.
func (s *scan) yamlFile(f *File) {
	r := &yamlReading{scan: s, file: f, overlay: bytes.Contains(f.Data, []byte("@overlay/")), given: bytes.Contains(f.Data, []byte("@data/values"))}
	for doc := range yamlnode.ParseUnless(f.Data, r.skips) {
		r.document(doc)
	}
	if f.engine != none {
		s.templateCode(f, r.classAt)
	}
}

// yamlReading reads the documents of a file.
type yamlReading struct {
	*scan
	file    *File
	overlay bool // it has overlays
	given   bool // it has data values
	limited bool // a document was too large

	starts []int // of the documents, in lines
	kinds  []class
}

// classAt returns the class of a line.
func (r *yamlReading) classAt(line int) class {
	for i := len(r.starts) - 1; i >= 0; i-- {
		if r.starts[i] < line {
			return r.kinds[i]
		}
	}
	return object
}

// skips reports whether a document need not be parsed.
func (r *yamlReading) skips(doc yamlnode.Document) bool {
	if len(r.file.Kbld.Rules()) > 1 || r.file.isChartValues() || r.file.Values || !isBareCRD(doc) {
		return false
	}
	r.begin(doc.Line-1, schema)
	return true
}

// begin notes where a document begins. Its class counts where the file has data values.
func (r *yamlReading) begin(offset int, c class) {
	if !r.given {
		c = object
	}
	r.starts, r.kinds = append(r.starts, offset), append(r.kinds, c)
}

// document finds what is in a document.
func (r *yamlReading) document(doc yamlnode.Parsed) {
	w := &walker{scan: r.scan, file: r.file, offset: doc.Offset, values: isLibrary(r.file.Path)}
	r.begin(doc.Offset, object)
	if doc.Root == nil {
		w.unparsed(doc, !r.limited)
		r.limited = r.limited || errors.Is(doc.Err, yamlnode.ErrLimit)
		return
	}
	apiVersion, kind, isObject := doc.Object()
	if isForTools(apiVersion, kind) {
		return
	}
	if w.kind = kind; r.isValues(kind, isObject) {
		w.class, w.values = values, true
		w.function = !r.given && isFunction.Match(doc.Text)
	} else if kind == "CustomResourceDefinition" {
		w.class = schema
	}
	if r.given {
		r.kinds[len(r.kinds)-1] = w.class
	}
	if isObject && w.class == object {
		w.fetchers(doc.Root, apiVersion)
	}
	w.document(doc.Root)
}

// isValues reports whether a document has values for templates.
func (r *yamlReading) isValues(kind string, isObject bool) bool {
	if kind == "CustomResourceDefinition" {
		return false
	}
	return !isObject && (r.given || !r.overlay) || r.file.isChartValues() || r.file.Values
}

// unparsed finds what is in the lines of a document that is not YAML without its templates. With
// sayLimit, a document that is too large is a finding.
func (w *walker) unparsed(doc yamlnode.Parsed, sayLimit bool) {
	if sayLimit && errors.Is(doc.Err, yamlnode.ErrLimit) {
		w.scan.notRead(w.place(1, ""), report.Warning, doc.Err.Error()+"; it was examined as text", "")
	}
	w.class, w.values = code, true
	w.text(string(doc.Text))
}

// isForTools reports whether a document is for kbld, vendir or imgpkg, so that no cluster gets it.
func isForTools(apiVersion, kind string) bool {
	return kbld.IsConfig(apiVersion, kind) || strings.HasPrefix(apiVersion, "vendir.k14s.io/") || strings.HasPrefix(apiVersion, "imgpkg.carvel.dev/")
}

// isFunction matches the start of a ytt function. The lines after it can be any part of an object.
var isFunction = regexp.MustCompile(`(?m)^\s*#@\s*def\s`)

var isAnnotation = regexp.MustCompile(`^(data/|overlay/|library/|yaml/|assert/|schema/[^d]|schema/de[^f])`)

var (
	cueDependencies = regexp.MustCompile(`^\s*deps:\s*(\{|"|$)`)
	cueDependency   = regexp.MustCompile(`"([^"]+@v[0-9][^"]*)"\s*:`)
)

// codeCueModule is the code for a module that may have to be downloaded.
const codeCueModule report.Code = "cue-module"

// cueModule reports the modules that a CUE module depends on.
func (s *scan) cueModule(f *File) {
	line, inside := 0, false
	for l := range strings.Lines(string(f.Data)) {
		line++
		if isComment(l) {
			continue
		}
		inside = inside || cueDependencies.MatchString(l)
		if m := cueDependency.FindStringSubmatch(l); inside && m != nil {
			s.note(place{f.Path, line}, codeCueModule, report.Warning, m[1], "the CUE module depends on another one, which cue fetches from its registry",
				"put the module below cue.mod/ (cue.mod/pkg or usr), and push the bundle again")
		}
	}
}
