package leak

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"relocate/carvel"
)

// packageDocument is a document below packages/, without its text.
type packageDocument struct {
	carvel.PackageDocument
	file    string
	ytt     bool              // the file is a template
	sum     [sha256.Size]byte // of its content
	named   int               // line of metadata.name
	images  []imageKey        // values of keys "image" that kbld sees, but those of fetches
	fetches []fetch           // of a Package
	steps   []step            // of a Package's template
	inline  []inlineText      // of its ytt steps, with the paths that steps give them
	schema  []byte            // the document's text, when its values schema has defaults
}

// imageKey is a value of a key "image".
type imageKey struct {
	value string
	line  int
}

// fetch is what the Package of a document fetches.
type fetch struct {
	carvel.Fetch
	folder string       // where it lands; empty for the root
	inline []inlineText // of an inline fetch
}

// newPackageDocument reads what the Package's own struct does not have. What kapp-controller drops is not looked into,
// but for the fetches of old kinds.
func newPackageDocument(file string, d carvel.PackageDocument) (*packageDocument, error) {
	doc := &packageDocument{PackageDocument: d, file: file, named: d.Line}
	doc.Text = nil
	if d.Package == nil && d.Metadata == nil {
		return doc, nil
	}
	n, err := d.Node()
	if err != nil {
		return nil, err
	}
	if content, err := sigsyaml.YAMLToJSON(d.Text); err == nil { // which sorts keys
		doc.sum = sha256.Sum256(content)
	}
	doc.named = line(below(n, "metadata", "name"), d.Line)
	doc.readImages(n)
	if schema := below(n, "spec", "valuesSchema"); schema != nil && bytes.Contains(d.Text, []byte("default")) {
		doc.schema = bytes.Clone(d.Text)
	}
	if d.Package != nil {
		app := below(n, "spec", "template", "spec")
		doc.readFetches(items(below(app, "fetch")))
		doc.readSteps(items(below(app, "template")))
	}
	return doc, nil
}

// readImages finds the image keys in what kapp-controller keeps of the document, which kbld then reads.
func (d *packageDocument) readImages(n *yaml.Node) {
	fetched := map[*yaml.Node]bool{}
	for _, step := range items(below(n, "spec", "template", "spec", "fetch")) {
		fetched[below(step, "imgpkgBundle", "image")] = true
	}
	for _, kept := range [][]string{{"metadata", "annotations"}, {"metadata", "labels"}, {"spec", "template"}, {"spec", "valuesSchema"}} {
		eachImage(below(n, kept...), func(v *yaml.Node, line int) {
			if !fetched[v] {
				d.images = append(d.images, imageKey{v.Value, line})
			}
		})
	}
}

// readFetches gives the fetches of the Package their exact lines, their folders and inline files.
func (d *packageDocument) readFetches(steps []*yaml.Node) {
	for i, f := range d.Package.Fetches {
		next := fetch{Fetch: f}
		if i < len(steps) {
			step := target(steps[i])
			next.Line = line(step, f.Line)
			for _, place := range [][]string{{"inline"}, {"image", "url"}, {"http", "url"}, {"git", "url"}, {"helmChart", "repository", "url"}, {"imgpkgBundle", "image"}} {
				if n := below(step, place...); n != nil && place[0] == f.Kind {
					next.Line = n.Line
				}
			}
			next.inline = inlineTexts(below(step, "inline", "paths"))
			if next.folder = text(below(step, "path")); next.folder == "" && len(steps) > 1 {
				next.folder = strconv.Itoa(i)
			}
		}
		d.fetches = append(d.fetches, next)
	}
}

// templateKinds are the template steps that read files.
var templateKinds = []string{"ytt", "kbld", "helmTemplate", "sops", "cue", "kustomize", "jsonnet"}

// readSteps reads the template steps. The files of inline ones get paths that no other file has.
func (d *packageDocument) readSteps(list []*yaml.Node) {
	d.steps = []step{} // which is not nil: a Package says what is read
	for i, n := range list {
		n = target(n)
		for _, kind := range templateKinds {
			if n == nil || n.Kind != yaml.MappingNode || !slices.ContainsFunc(n.Content, func(k *yaml.Node) bool { return k.Value == kind }) {
				continue
			}
			s := step{kind: kind, paths: texts(below(n, kind, "paths")), line: n.Line}
			if path := text(below(n, kind, "path")); path != "" { // helmTemplate
				s.paths = append(s.paths, path)
			}
			for _, from := range items(below(n, kind, "valuesFrom")) {
				if path := text(below(from, "path")); path != "" {
					s.values = append(s.values, path)
				}
			}
			for _, t := range inlineTexts(below(n, kind, "inline", "paths")) {
				t.path = "(inline " + strconv.Itoa(i) + ")/" + t.path
				if s.inline == nil {
					s.inline = map[string]string{}
				}
				s.inline[t.path] = t.data
				d.inline = append(d.inline, t)
			}
			d.steps = append(d.steps, s)
			break
		}
	}
}

// size is how much text and how many things the document holds, for the limits.
func (d *packageDocument) size() (bytes, things int) {
	things = 1 + len(d.images) + len(d.fetches) + len(d.steps)
	for _, image := range d.images {
		bytes += len(image.value)
	}
	for _, t := range d.inline {
		bytes += len(t.data)
	}
	for _, f := range d.fetches {
		for _, t := range f.inline {
			bytes += len(t.data)
		}
	}
	return bytes, things
}
