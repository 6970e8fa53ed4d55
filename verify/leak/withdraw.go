package leak

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/verify/leak/content"
)

// fate is what a rendering says about a finding in the text of a file.
type fate int

const (
	withdrawn fate = iota // it holds for no values
	unused                // it may hold with other values: what it is about does not come out with these
	replaced              // the rendering finds the same
	kept                  // the rendering does not say
)

// after returns what is left of f, by what the rendering of each use of g says. It is withdrawn for one
// use only if it is for all.
func (f textFinding) after(g group, fates []fate) (left []textFinding) {
	for _, want := range []fate{kept, unused} {
		of := group{}
		for i, u := range g.uses {
			if fates[i] == want || want == unused && fates[i] == withdrawn && slices.Max(fates) != withdrawn {
				of.uses = append(of.uses, u)
			}
		}
		if len(of.uses) == 0 {
			continue
		}
		one := f
		if of.pkg = names(of.uses); !f.ofSchema {
			one.of = of
		}
		if want == unused {
			if one.Message += ", only with other values"; one.Level.Breaks() {
				one.Level = report.Warning
			}
		}
		left = append(left, one)
	}
	return left
}

// judge decides the fates of the findings in the text, and drops what only that needs.
func (d *deployed) judge() {
	for _, f := range d.text {
		for _, i := range d.outside[f.Reference] {
			if at := d.found[i]; !f.ofSchema && spans(at.place, at.lines, f) {
				d.matched[f.Reference] = true
			}
		}
	}
	for _, f := range d.text {
		d.fates = append(d.fates, d.fate(f))
	}
	d.text, d.unused, d.strings, d.docs, d.inside = nil, nil, nil, nil, nil
}

// The codes of findings about what does not come out as a string of a document. A rendering that
// succeeds does not contradict them.
var aboutSteps = map[report.Code]bool{codeWithoutID: true, codeNotRead: true, "missing-path": true, "helm-dependency": true, "cue-module": true}

// The codes of findings about what templates make references of, at other places.
var aboutValues = map[report.Code]bool{"default": true, "composed": true, "kbld-config": true}

// fate says what becomes of a finding in the text of a file, by the rules in doc.go.
func (d *deployed) fate(f textFinding) fate {
	switch {
	case d.err != nil && d.finds(f):
		return replaced
	case d.err != nil:
		return kept
	case !f.ofSchema && d.unused[f.File]:
		return withdrawn
	case aboutSteps[f.Code]:
		return kept
	case d.finds(f):
		return replaced
	case f.ofSchema:
	case d.endsInside(f), d.isOverlaid(f):
		return withdrawn
	}
	switch {
	case f.Reference == "" && slices.ContainsFunc(d.found, func(found deployedFinding) bool { return found.Code == f.Code }):
		return replaced
	case f.Reference == "":
		return kept
	case len(d.outside[f.Reference]) > 0:
		return d.elsewhere(f)
	case d.prints(f.Reference):
		return kept
	}
	return unused
}

// elsewhere returns the fate of a finding whose reference is found at other places.
func (d *deployed) elsewhere(f textFinding) fate {
	prints := false // the file of f prints something
	for _, s := range d.strings {
		file := filePath(s.Place.File)
		isIn := file == f.File || strings.HasPrefix(f.File, file+"/") // packed
		if s.Place.Line == 0 && (file == "" || isIn) && content.Has(s.Value, f.Reference) {
			return kept
		}
		prints = prints || isIn
	}
	if prints {
		return unused
	}
	return replaced // f is about values
}

// prints reports whether a string of the documents has the reference, in base64 or not.
func (d *deployed) prints(reference string) bool {
	return slices.ContainsFunc(d.strings, func(s ytt.String) bool {
		decoded, _ := base64.StdEncoding.DecodeString(s.Value)
		return content.Has(s.Value, reference) || content.Has(string(decoded), reference)
	})
}

// finds reports whether the rendering finds the reference of f: at its place; or, when f is about
// values or the text has the reference at no such place, at any.
func (d *deployed) finds(f textFinding) bool {
	if f.Code == "composed" && slices.ContainsFunc(d.found, func(found deployedFinding) bool { return spans(found.place, 0, f) }) {
		return true
	}
	found := d.outside[f.Reference]
	if f.Reference == "" || len(found) == 0 {
		return false
	}
	if !d.matched[f.Reference] || f.ofSchema || aboutValues[f.Code] {
		return true
	}
	return slices.ContainsFunc(found, func(i int) bool { return spans(d.found[i].place, d.found[i].lines, f) })
}

// spans reports whether a string of some lines at a place has the line of f.
func spans(place ytt.Place, lines int, f textFinding) bool {
	return filePath(place.File) == f.File && f.Line >= place.Line && f.Line < place.Line+max(lines, 1)
}

var isConditional = regexp.MustCompile(`\b(if|else|elif|for|or|and)\b`)

// endsInside reports whether the place of f gives a reference that ends inside. A line with a
// condition may give others.
func (d *deployed) endsInside(f textFinding) bool {
	for _, image := range d.inside {
		switch at := image.Place; {
		case at.Line == 0 && image.Value == f.Reference && (at.File == "" || filePath(at.File) == f.File && aboutKbld[f.Code]):
			return true
		case at.Line > 0 && spans(at, 0, f):
			return !isConditional.Match(line(d.of.textOf(d.use, f.File), f.Line))
		}
	}
	return false
}

// line returns a line of a text, counted from 1.
func line(text []byte, n int) []byte {
	i := 0
	for l := range bytes.Lines(text) {
		if i++; i == n {
			return l
		}
	}
	return nil
}

// conditional matches code of ytt that applies an overlay only with some values or to some documents.
var conditional = regexp.MustCompile(`#@\s*(if|for|def|while)\b|#@.*\b(if|lambda)\b|missing_ok|expects|overlay/match.*data\.values|overlay/match[ -].*\bwhen=`)

// isOverlaid reports whether an overlay replaces the string that f is about, whatever the values are:
// the document that comes out has at that path a string from an overlay without conditions.
func (d *deployed) isOverlaid(f textFinding) bool {
	id, pointer := locateString(d.of.textOf(d.use, f.File), f.Line, f.Reference)
	if pointer == "" {
		return false
	}
	for _, s := range d.strings {
		if s.Path != pointer || s.Place.File == "" || filePath(s.Place.File) == f.File || s.Document >= len(d.docs) {
			continue
		}
		if other, _ := locateString(d.docs[s.Document], 0, ""); other != id {
			continue
		}
		overlay := d.of.textOf(d.use, filePath(s.Place.File))
		if bytes.Contains(overlay, []byte("@overlay/match")) && !conditional.Match(overlay) {
			return true
		}
	}
	return false
}

// identity names an object.
type identity struct{ apiVersion, kind, namespace, name string }

// locateString returns the JSON pointer to the string with the reference at a line of a text, and the
// object that it belongs to. The object of line 0 is the first.
func locateString(text []byte, line int, reference string) (id identity, pointer string) {
	defer yamlnode.Alone(text)()
	for doc := range yamlnode.Parse(text) {
		if doc.Root == nil {
			continue
		}
		if line > 0 {
			if pointer = pointerTo(doc.Root, line-doc.Offset, reference, ""); pointer == "" {
				continue
			}
		}
		apiVersion, kind, _ := doc.Object()
		metadata := yamlnode.Field(doc.Root, "metadata")
		return identity{apiVersion, kind, yamlnode.Scalar(metadata, "namespace"), yamlnode.Scalar(metadata, "name")}, pointer
	}
	return identity{}, ""
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// pointerTo returns the JSON pointer to the string with the reference at a line; empty for none.
func pointerTo(n *yaml.Node, line int, reference, at string) string {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if p := pointerTo(n.Content[i+1], line, reference, at+"/"+escapePointer.Replace(n.Content[i].Value)); p != "" {
				return p
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if p := pointerTo(item, line, reference, at+"/"+strconv.Itoa(i)); p != "" {
				return p
			}
		}
	case yaml.ScalarNode:
		if n.Line == line && strings.Contains(n.Value, reference) {
			return at
		}
	}
	return ""
}
