package kbld

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"relocate/internal/yamlnode"
)

// Input is a file that kbld is given, or the stream.
type Input struct {
	Path string // "-" for the stream
	Data []byte
}

// Output is what a run of kbld gives.
type Output struct {
	Text      []byte     // what kbld prints; nil when it fails
	Documents []Document // of Text, or of what would be printed when kbld fails after it found the images
	Images    []Image    // what it reads as references, in the order of the documents
	Faults    []Fault    // what it loses or changes without a word
}

// Source says where a document comes from.
type Source struct {
	Input    int // of the inputs
	Document int // of the input, from 0, as kbld counts: empty ones too
	Item     int // of the document's items; -1 for the document itself
}

// Document is a document of the output.
type Document struct {
	Source
	Text []byte // with the line "---"
}

// Image is a string that kbld reads as a reference.
type Image struct {
	Document int    // of the output
	Path     string // JSON pointer (RFC 6901); of a string that holds a document with the reference, its own
	Value    string
	Result   Result
}

// FaultKind is something that kbld does to a document without a word.
type FaultKind string

// What kbld does without a word.
const (
	LostWrapper     FaultKind = "items"       // a document with items that is no list: only its items are printed
	LostText        FaultKind = "text"        // text after "...", or after a value in JSON
	LostAnnotations FaultKind = "annotations" // one is not a string: kbld's own replaces all
	Rounded         FaultKind = "rounded"     // an integer that a float64 cannot hold
)

// Fault is an instance of a FaultKind.
type Fault struct {
	Kind   FaultKind
	Source Source
	Detail string // the kind of the wrapper, the key of the annotation, or the integer
}

// FailedError says that kbld fails, with or without a registry. Message is its own. For images that
// it would ask a registry for, it has our words.
type FailedError struct{ Message string }

func (e *FailedError) Error() string { return e.Message }

// AskedError says that kbld would ask registries, and fails when they do not answer.
type AskedError struct{ Images []string } // as the documents have them, sorted

func (e *AskedError) Error() string {
	return "would ask registries for " + strings.Join(e.Images, ", ")
}

// Limits on what a run reads, beside those of yamlnode on each document.
const (
	maxInput  = 32 << 20 // bytes of all inputs
	maxLevels = 200      // of a document

	maxDecoded = 1 << 20 // bytes of documents whose content is kept as it is
)

// Run does what kbld v0.44 does with the inputs, in the order of its -f: a folder must be given as
// its files .json, .yaml and .yml, sorted. A run uses no network.
//
// Errors: *FailedError; *AskedError; others say that a limit is exceeded. When images are the
// reason, the output has the Images, and with an AskedError the Text too, in which the images that
// kbld would ask for stay unchanged.
func Run(inputs []Input) (*Output, error) {
	r, err := begin(inputs)
	if err != nil {
		return nil, err
	}
	return r.printAll()
}

// printAll prints the documents.
func (r *run) printAll() (*Output, error) {
	for i := range r.documents {
		if err := r.print(i); err != nil {
			return nil, err
		}
	}
	return r.out, r.failure()
}

// begin reads the inputs, and the configuration that is in them.
func begin(inputs []Input) (*run, error) {
	r := &run{step: &Step{}, out: &Output{}}
	size := 0
	for i, in := range inputs {
		if size += len(in.Data); size > maxInput {
			return nil, fmt.Errorf("kbld reads more than %d bytes, %w", maxInput, yamlnode.ErrLimit)
		}
		if err := r.read(i, in); err != nil {
			return nil, err
		}
	}
	for _, c := range r.configs {
		if err := r.step.configure(c, inputs[c.Input].Path); err != nil {
			return nil, err
		}
	}
	r.rules = r.step.Rules()
	return r, nil
}

// resource is a document, or an item of one. The content is kept as JSON where there is much, which
// takes less memory.
type resource struct {
	Source
	content map[string]any
	json    []byte
}

// run is a run of kbld.
type run struct {
	step      *Step
	rules     Rules
	configs   []resource
	documents []resource
	size      int // about, of their texts
	out       *Output
	at        string  // JSON pointer of the string whose document is walked; empty in a document of the output
	images    []image // of the document that is walked
	unwritten error   // why kbld cannot write a document, which it tries after all images
}

// read adds the documents of an input.
func (r *run) read(i int, in Input) error {
	where := "stdin"
	if in.Path != "-" {
		where = "file '" + in.Path + "'"
	}
	docs, err := split(in.Data)
	if err != nil {
		return failed("Parsing %s: %w", where, err)
	}
	if len(docs) > yamlnode.MaxDocuments {
		return fmt.Errorf("%s has %w of %d documents", where, yamlnode.ErrLimit, yamlnode.MaxDocuments)
	}
	for n, doc := range docs {
		if err := r.add(Source{i, n, -1}, doc); err != nil {
			return failed("Parsing %s doc %d: %w", where, n+1, err)
		}
	}
	return nil
}

// add adds a document, or its items.
func (r *run) add(at Source, text []byte) error {
	content, raw, err := decode(text)
	if err != nil {
		return err
	}
	if yamlnode.HasMore(text) {
		r.fault(LostText, at, "")
	}
	if len(content) == 0 {
		return nil
	}
	r.checkNumbers(at, raw)
	items, isList := content["items"].([]any)
	if !isList {
		return r.addResource(at, content, len(text))
	}
	if kind := textAt(content, "kind"); !strings.HasSuffix(kind, "List") {
		r.fault(LostWrapper, at, kind)
	}
	for i, item := range items {
		content, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("items member is not an object: %T", content)
		}
		at.Item = i
		if err := r.addResource(at, content, len(text)/len(items)); err != nil {
			return err
		}
	}
	return nil
}

// addResource adds a document, of which size is about the length of its text.
func (r *run) addResource(at Source, content map[string]any, size int) error {
	apiVersion, kind := textAt(content, "apiVersion"), textAt(content, "kind")
	if IsConfig(apiVersion, kind) || IsLock(apiVersion, kind) {
		r.configs = append(r.configs, resource{Source: at, content: content})
		return nil
	}
	if r.size += size; r.size <= maxDecoded {
		r.documents = append(r.documents, resource{Source: at, content: content})
		return nil
	}
	raw, err := json.Marshal(content)
	r.documents = append(r.documents, resource{Source: at, json: raw})
	return err
}

func (r *run) fault(kind FaultKind, at Source, detail string) {
	r.out.Faults = append(r.out.Faults, Fault{kind, at, detail})
}

// checkNumbers notes the integers of a JSON text that become others.
func (r *run) checkNumbers(at Source, raw []byte) {
	if !hasLongDigits(raw) {
		return
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return
		}
		n, ok := t.(json.Number)
		if !ok || strings.ContainsAny(n.String(), ".eE") {
			continue
		}
		if f, err := n.Float64(); err == nil && strconv.FormatFloat(f, 'f', 0, 64) != n.String() {
			r.fault(Rounded, at, n.String())
		}
	}
}

// print adds a document to the output.
func (r *run) print(i int) error {
	content := r.documents[i].content
	if content == nil {
		if err := json.Unmarshal(r.documents[i].json, &content); err != nil {
			return err
		}
	}
	r.images = nil
	if err := r.walk(r.rules, nil, content); err != nil {
		return err
	}
	if len(r.images) > 0 {
		if err := r.annotate(i, content); err != nil {
			return err
		}
	}
	text, err := encode(content)
	if err != nil && r.unwritten == nil {
		r.unwritten = err
	}
	r.documents[i] = resource{Source: r.documents[i].Source}
	r.out.Documents = append(r.out.Documents, Document{r.documents[i].Source, slices.Concat([]byte("---\n"), text)})
	return nil
}

// walk replaces the references below a value. Like kbld, it descends into what a rule matches and is
// not a string.
func (r *run) walk(rules Rules, path []Part, value any) (err error) {
	if len(path) > maxLevels {
		return fmt.Errorf("a document is nested %w of %d levels", yamlnode.ErrLimit, maxLevels)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if v[key], err = r.value(rules, append(path, Part{Key: key}), v[key]); err != nil {
				return err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = r.value(rules, append(path, Part{IsIndex: true, Index: i}), v[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// value returns what becomes of the value at a path.
func (r *run) value(rules Rules, path []Part, value any) (any, error) {
	how := rules.match(path, value)
	text, isText := value.(string)
	switch {
	case how == nil:
	case how.isUnknown():
		return nil, failed("panic: Unknown extraction type")
	case !isText:
	case how.isEntire():
		return r.image(path, text), nil
	default:
		if inner, isJSON, ok := how.nested(text); ok {
			return r.embedded(inner, isJSON, path, text)
		}
	}
	return value, r.walk(rules, path, value)
}

// embedded returns what becomes of a string that is read as a document, JSON or YAML.
func (r *run) embedded(rules Rules, isJSON bool, path []Part, value string) (any, error) {
	if r.at == "" {
		r.at = pointer(path)
		defer func() { r.at = "" }()
	}
	if isJSON {
		var content any
		if err := json.Unmarshal([]byte(value), &content); err != nil {
			return nil, err
		}
		r.checkNumbers(r.source(), []byte(value))
		if err := r.walk(rules, nil, content); err != nil {
			return nil, err
		}
		text, err := json.Marshal(content)
		return string(text), err
	}
	contents, ok, err := decodeAll(value)
	if !ok || err != nil {
		return value, err
	}
	var text strings.Builder
	for _, content := range contents {
		if err := r.walk(rules, nil, content); err != nil {
			return nil, err
		}
		doc, err := yaml.Marshal(content)
		if err != nil {
			return nil, failed("panic: ObjVisitor: Encoding as YAML: %w", err)
		}
		text.WriteString("---\n")
		text.Write(doc)
	}
	return text.String(), nil
}

// source returns the source of the document that is walked.
func (r *run) source() Source { return r.documents[len(r.out.Documents)].Source }

// image adds a reference, and returns what becomes of it.
func (r *run) image(path []Part, ref string) string {
	result := r.step.resolve(ref)
	at := r.at
	if at == "" {
		at = pointer(path)
	}
	r.out.Images = append(r.out.Images, Image{len(r.out.Documents), at, ref, result.Result})
	if result.Outcome != Rewritten && result.Outcome != Kept {
		return ref
	}
	r.images = append(r.images, image{URL: result.Image, Origins: result.origins})
	return result.Image
}

// failure returns the error of the images. Without one it fills Text.
func (r *run) failure() error {
	asked, refused, seen := []string{}, false, map[string]bool{}
	var lines []string
	for _, image := range r.out.Images {
		if seen[image.Value] {
			continue
		}
		seen[image.Value] = true
		switch image.Result.Outcome {
		case Asked:
			asked = append(asked, image.Value)
			lines = append(lines, fmt.Sprintf("\n- Resolving image '%s': would ask a registry for %s", image.Value, image.Result.Image))
		case Built, Refused:
			refused = true
			lines = append(lines, fmt.Sprintf("\n- Resolving image '%s': %s", image.Value, image.Result.Reason))
		}
	}
	switch {
	case refused:
		slices.Sort(lines)
		return failed("%s", strings.Join(lines, ""))
	case r.unwritten != nil:
		return failed("Updating resource references: %w", r.unwritten)
	}
	texts := make([][]byte, len(r.out.Documents))
	for i, doc := range r.out.Documents {
		texts[i] = doc.Text
	}
	r.out.Text = slices.Concat(texts...)
	if len(asked) > 0 {
		slices.Sort(asked)
		return &AskedError{asked}
	}
	return nil
}
