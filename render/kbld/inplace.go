package kbld

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// Found is a string in the text of an input that kbld reads as a reference.
type Found struct {
	Input  int // of the inputs
	Line   int // of the input, from 1
	Value  string
	Result Result
}

// Find returns what Run reads as references, with the lines of the inputs, in the order of the text.
//
// Errors: as Run, but none about references; a reference that cannot be replaced in the text where it is.
func Find(inputs []Input) ([]Found, error) {
	texts, err := findAll(inputs)
	var list []Found
	for _, t := range texts {
		for _, e := range t.edits {
			list = append(list, e.Found)
		}
	}
	return list, err
}

// InPlace returns the texts of the inputs with the references replaced as Run does it, and rename gives what is written in
// place of an image. All else stays byte for byte: order, comments and style. kbld's configuration and locks are no objects,
// and are left out.
//
// Errors: as Run; a reference that cannot be replaced in the text where it is.
func InPlace(inputs []Input, rename func(image string) string) ([][]byte, error) {
	want, err := Run(inputs)
	if err != nil {
		return nil, err
	}
	texts, err := findAll(inputs)
	if err != nil {
		return nil, err
	}
	edited := slices.Clone(inputs)
	for i, t := range texts {
		edited[i].Data = t.edited(nil, func(image string) string { return image })
	}
	if err := check(edited, want); err != nil {
		return nil, err
	}
	out := make([][]byte, len(texts))
	for i, t := range texts {
		out[i] = t.edited(t.cuts, rename)
	}
	return out, nil
}

// findAll returns the texts of inputs with what is to be replaced in them.
func findAll(inputs []Input) ([]*inputText, error) {
	r, err := begin(inputs)
	if err != nil {
		return nil, err
	}
	texts := make([]*inputText, len(inputs))
	for i, in := range inputs {
		texts[i] = &inputText{run: r, input: i, data: in.Data}
		if err := texts[i].find(); err != nil {
			return nil, fmt.Errorf("%s: %w", text.Line(in.Path), err)
		}
	}
	return texts, nil
}

// inputText is the text of an input.
type inputText struct {
	run   *run
	input int
	data  []byte
	whole *places
	edits []edit
	cuts  []span // documents that are no objects
}

// span is a part of a text: the bytes from start to end.
type span struct{ start, end int }

// edit is a reference in the text.
type edit struct {
	Found
	span
}

// edited returns the text with all edits and without cuts.
func (t *inputText) edited(cuts []span, rename func(image string) string) []byte {
	var out []byte
	at := 0
	replace := func(s span, by string) {
		out = append(append(out, t.data[at:s.start]...), by...)
		at = s.end
	}
	edits := slices.SortedStableFunc(slices.Values(t.edits), func(a, b edit) int { return a.start - b.start })
	for _, e := range edits {
		for len(cuts) > 0 && cuts[0].start < e.start {
			replace(cuts[0], "")
			cuts = cuts[1:]
		}
		replace(e.span, rename(e.Result.Image))
	}
	for _, c := range cuts {
		replace(c, "")
	}
	return append(out, t.data[at:]...)
}

// isHostile reports whether a character has no place in YAML (1.2, section 5.1), and may be obeyed by a terminal.
func isHostile(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }

// find finds the references in all documents.
func (t *inputText) find() error {
	if !utf8.Valid(t.data) || bytes.IndexFunc(t.data, isHostile) >= 0 {
		return errors.New("is not UTF-8, or has control characters")
	}
	if line := yamlnode.HiddenBreak(string(t.data)); line > 0 {
		return fmt.Errorf("line %d: has a line break that some YAML readers do not see", line)
	}
	t.whole = newPlaces(t.data, func(offset int) int { return offset })
	for doc := range yamlnode.Documents(t.data) {
		if doc.HidesMore() {
			return fmt.Errorf("line %d: is not YAML, or has a document that does not begin with ---", doc.Line)
		}
		root, err := doc.Node()
		if err != nil {
			return fmt.Errorf("line %d: %w", doc.Line, err)
		}
		if root == nil {
			continue
		}
		if apiVersion, kind := yamlnode.Text(root, "apiVersion"), yamlnode.Text(root, "kind"); IsConfig(apiVersion, kind) || IsLock(apiVersion, kind) {
			start := t.whole.starts[doc.Line-1]
			t.cuts = append(t.cuts, span{start, start + len(doc.Text)})
			continue
		}
		if err := t.document(root, t.whole); err != nil {
			return err
		}
	}
	return nil
}

// document finds the references in a document, or in its items.
func (t *inputText) document(root *yaml.Node, in *places) error {
	if items := yamlnode.Get(root, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			if err := t.walk(t.run.rules, nil, item, in); err != nil {
				return err
			}
		}
		return nil
	}
	return t.walk(t.run.rules, nil, root, in)
}

// walk finds the references below a value. What an alias stands for is walked where it is written.
func (t *inputText) walk(rules Rules, path []Part, n *yaml.Node, in *places) error {
	if len(path) > maxLevels {
		return fmt.Errorf("a document is nested %w of %d levels", yamlnode.ErrLimit, maxLevels)
	}
	for i := range n.Content {
		part := Part{IsIndex: true, Index: i}
		switch n.Kind {
		case yaml.MappingNode:
			if i%2 == 0 {
				continue
			}
			part = Part{Key: n.Content[i-1].Value}
		case yaml.SequenceNode:
		default:
			return nil
		}
		if err := t.value(rules, append(path, part), n.Content[i], in); err != nil {
			return err
		}
	}
	return nil
}

// value finds the references in the value at a path.
func (t *inputText) value(rules Rules, path []Part, n *yaml.Node, in *places) error {
	of := yamlnode.Resolved(n)
	if of.Kind != yaml.ScalarNode {
		return t.walk(rules, path, n, in)
	}
	if of.ShortTag() != "!!str" {
		return nil
	}
	image, inner := rules.See(path, of.Value)
	switch {
	case image:
		return t.image(n, of.Value, in)
	case inner != nil:
		return t.embedded(inner, n, in)
	}
	return nil
}

// image adds a reference.
func (t *inputText) image(n *yaml.Node, value string, in *places) error {
	_, offset := in.from(n)
	e := edit{Found: Found{t.input, 0, value, t.run.step.Resolve(value)}, span: span{start: in.at(offset)}}
	at, ok := e.span, false
	if n.Kind == yaml.AliasNode {
		at, ok = in.alias(n)
	} else if inner := in.inside(n); inner != nil {
		at, ok = inner.span(0, len(value))
	}
	if ok {
		e.span = at
	}
	e.Line = t.whole.lineOf(e.start)
	if !ok && e.Result.Outcome != Refused {
		return fmt.Errorf("line %d: %s cannot be replaced in the text: write it as a string without escapes", e.Line, text.Quote(value))
	}
	t.edits = append(t.edits, e)
	return nil
}

// embedded finds the references in a string that is read as a document.
func (t *inputText) embedded(rules Rules, n *yaml.Node, in *places) error {
	at := in.inside(n)
	if at == nil { // harmless unless a reference is in it: the outputs are compared
		return nil
	}
	for doc := range yamlnode.Documents([]byte(n.Value)) {
		root, err := doc.Node()
		if err != nil || root == nil {
			return nil // kbld leaves it as it is
		}
		if err := t.walk(rules, nil, root, at); err != nil {
			return err
		}
	}
	return nil
}

// check fails where kbld, without a lock, makes another output of the inputs, or has to ask for an image.
func check(inputs []Input, want *Output) error {
	r, err := begin(inputs)
	if err != nil {
		return err
	}
	r.step = &Step{}
	got, err := r.printAll()
	if got == nil {
		return err
	}
	for i, w := range want.Documents {
		if i < len(got.Documents) && sameContent(contentOf(got.Documents[i]), contentOf(w)) {
			continue
		}
		return fmt.Errorf("%s: document %d: its references cannot be replaced in the text: write each as a plain string, without aliases and escapes",
			text.Line(inputs[w.Input].Path), w.Document+1)
	}
	return err
}

// contentOf returns the content of a document without the annotation that kbld adds.
func contentOf(d Document) map[string]any {
	content, _, err := decode(d.Text)
	if err != nil {
		return nil
	}
	metadata, _ := content["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, imagesAnnotation)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(content, "metadata")
	}
	return content
}

// sameContent reports whether two values are the same, except for how YAML documents inside strings are
// formatted: kbld rewrites these.
func sameContent(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameContent)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameContent)
	case string:
		b, ok := b.(string)
		return ok && (a == b || sameDocuments(a, b))
	}
	return reflect.DeepEqual(a, b)
}

// sameDocuments reports whether two strings have the same documents, JSON or YAML.
func sameDocuments(a, b string) bool {
	x, isYAML := documentsIn(a)
	y, isToo := documentsIn(b)
	return isYAML && isToo && slices.EqualFunc(x, y, sameContent)
}

// documentsIn returns the maps and lists that a string has as documents; not ok where it has others.
func documentsIn(s string) (list []any, ok bool) {
	var content any
	if json.Unmarshal([]byte(s), &content) == nil {
		list = []any{content}
	} else if list, ok, _ = decodeAll(s); !ok {
		return nil, false
	}
	return list, !slices.ContainsFunc(list, func(content any) bool {
		_, isText := content.(string)
		return isText
	})
}
