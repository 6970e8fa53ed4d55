package kappctrl

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/render/packagingapi"
)

// Document is a document below packages/, without its text.
type Document struct {
	Head     carvel.PackageDocument
	File     string
	Sum      [sha256.Size]byte // of what is deployed; zero for documents that kapp-controller drops
	Refused  error             // why kapp-controller refuses the whole repository
	NameLine int               // of metadata.name
	Images   []ImageKey        // values of keys "image" that kbld sees, except those of fetches
	Fetches  []Fetch           // of a Package
	Spec     []byte            // of the App that a PackageInstall makes of a Package (spec.template.spec), as JSON
	Steps    Steps             // from a Package's template; not nil
	Lines    []int             // of all template steps, also of those that Steps leaves out
	Inline   []InlineFile      // files of its template steps, with the paths that the steps give them
	Schema   []byte            // the document's text, when its values schema has defaults
}

// ImageKey is a value of a key "image".
type ImageKey struct {
	Value string
	Line  int
}

// Fetch is a step of the fetch of a Package.
type Fetch struct {
	Kind         string // as in carvel.Fetch
	Reference    string
	TagSelection bool
	Line         int
	Folder       string       // target folder; empty for the root
	Inline       []InlineFile // of an inline fetch
}

// InlineFile is a file in a string of a YAML document.
type InlineFile struct {
	Path string // from its key
	Data string

	line  int  // of the string's first line
	block bool // its lines are lines of the document
}

// Is reports whether path, as Steps.Files or the fetch gives it, is the path of the file.
func (f InlineFile) Is(path string) bool {
	return CleanPath(f.Path) == CleanPath(strings.TrimPrefix(path, inlineMark))
}

// Line returns the line of the document for line n of the file.
func (f InlineFile) Line(n int) int {
	if !f.block || n < 1 {
		return f.line
	}
	return f.line + n - 1
}

// ReadDocument reads the parts of a document that the Package's own struct does not have. From a
// document that kapp-controller drops, it reads only the fetches of old kinds.
func ReadDocument(file string, head carvel.PackageDocument) (*Document, error) {
	d, text := &Document{Head: head, File: file, NameLine: head.Line}, head.Text
	d.Head.Text = nil
	if head.Package == nil && head.Metadata == nil {
		return d, nil
	}
	n, err := head.Node()
	if err != nil {
		return nil, err
	}
	d.readDeployed(head.Document)
	d.NameLine = yamlnode.Line(yamlnode.Get(n, "metadata", "name"), head.Line)
	d.readImages(n)
	if schema := yamlnode.Get(n, "spec", "valuesSchema"); schema != nil && bytes.Contains(text, []byte("default")) {
		d.Schema = bytes.Clone(text)
	}
	if head.Package != nil {
		app := yamlnode.Get(n, "spec", "template", "spec")
		d.readFetches(yamlnode.Items(yamlnode.Get(app, "fetch")))
		d.readSteps(yamlnode.Items(yamlnode.Get(app, "template")))
	}
	if head.Lines != nil { // the lines of a block are not those of the file
		for i := range d.Inline {
			d.Inline[i].block = false
		}
		for _, f := range d.Fetches {
			for i := range f.Inline {
				f.Inline[i].block = false
			}
		}
	}
	return d, nil
}

// readDeployed reads what kapp-controller deploys of a document.
func (d *Document) readDeployed(doc yamlnode.Document) {
	object, err := packagingapi.Deployed(doc, "")
	if object == nil {
		d.Refused = err
		return
	}
	if content, err := json.Marshal(object); err == nil { // this sorts keys
		d.Sum = sha256.Sum256(content)
	}
	if spec, ok := object["spec"].(map[string]any)["template"].(map[string]any); ok && spec["spec"] != nil {
		d.Spec, _ = json.Marshal(spec["spec"]) // it was JSON before
	}
}

// readImages finds the image keys in the parts of the document that kapp-controller keeps and kbld
// then reads.
func (d *Document) readImages(n *yaml.Node) {
	fetched := map[*yaml.Node]bool{}
	for _, step := range yamlnode.Items(yamlnode.Get(n, "spec", "template", "spec", "fetch")) {
		fetched[yamlnode.Get(step, "imgpkgBundle", "image")] = true
	}
	for _, kept := range [][]string{{"metadata", "annotations"}, {"metadata", "labels"}, {"spec", "template"}, {"spec", "valuesSchema"}} {
		eachImage(yamlnode.Get(n, kept...), func(v *yaml.Node, line int) {
			if !fetched[v] {
				d.Images = append(d.Images, ImageKey{v.Value, line})
			}
		})
	}
}

// eachImage calls visit for each string value of a key "image" below n, at any depth, as kbld finds
// them. It follows aliases, because their targets may be defined elsewhere. The document comes from
// carvel.ReadPackageFile, which limits the size of aliases.
func eachImage(n *yaml.Node, visit func(image *yaml.Node, line int)) {
	if n = yamlnode.Get(n); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			eachImage(child, visit)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := yamlnode.Get(n.Content[i+1])
		if n.Content[i].Value == "image" && v != nil && v.Kind == yaml.ScalarNode && v.ShortTag() == "!!str" {
			visit(v, n.Content[i+1].Line)
			continue
		}
		eachImage(n.Content[i+1], visit)
	}
}

// fetchPlaces has the path of the reference for each kind of fetch.
var fetchPlaces = map[string][]string{
	"inline": {"inline"}, "image": {"image", "url"}, "http": {"http", "url"}, "git": {"git", "url"},
	"helmChart": {"helmChart", "repository", "url"}, "imgpkgBundle": {"imgpkgBundle", "image"},
}

// readFetches sets the exact lines, the folders and the inline files of the fetches of the Package.
func (d *Document) readFetches(steps []*yaml.Node) {
	for i, f := range d.Head.Package.Fetches {
		next := Fetch{Kind: f.Kind, Reference: f.Reference, TagSelection: f.TagSelection, Line: f.Line}
		if i < len(steps) {
			step := yamlnode.Get(steps[i])
			next.Line = yamlnode.Line(step, f.Line)
			if place := fetchPlaces[f.Kind]; place != nil {
				next.Line = yamlnode.Line(yamlnode.Get(step, place...), next.Line)
			}
			next.Inline = InlineFiles(yamlnode.Get(step, "inline", "paths"))
			if next.Folder = yamlnode.Text(step, "path"); next.Folder == "" && len(steps) > 1 {
				next.Folder = strconv.Itoa(i)
			}
		}
		d.Fetches = append(d.Fetches, next)
	}
}

// readSteps reads the template steps. Inline files get paths that no other file has.
func (d *Document) readSteps(list []*yaml.Node) {
	d.Steps = Steps{}
	for i, n := range list {
		n = yamlnode.Get(n)
		d.Lines = append(d.Lines, yamlnode.Line(n, d.Head.Line))
		kind := kindOf(n)
		if kind == "" {
			continue
		}
		s := Step{Kind: kind, Paths: texts(yamlnode.Get(n, kind, "paths")), Marks: texts(yamlnode.Get(n, kind, "fileMarks")), Line: n.Line}
		if path := yamlnode.Text(n, kind, "path"); path != "" { // helmTemplate
			s.Paths = append(s.Paths, path)
		}
		for _, from := range yamlnode.Items(yamlnode.Get(n, kind, "valuesFrom")) {
			if path := yamlnode.Text(from, "path"); path != "" {
				s.Values = append(s.Values, path)
			}
		}
		for _, f := range InlineFiles(yamlnode.Get(n, kind, "inline", "paths")) {
			f.Path = "(inline " + strconv.Itoa(i) + ")/" + f.Path
			if s.Inline == nil {
				s.Inline = map[string]string{}
			}
			s.Inline[f.Path] = f.Data
			d.Inline = append(d.Inline, f)
		}
		d.Steps = append(d.Steps, s)
	}
}

// texts returns the texts of a sequence of scalars.
func texts(n *yaml.Node) []string {
	var list []string
	for _, item := range yamlnode.Items(n) {
		list = append(list, yamlnode.Text(item))
	}
	return list
}

// InlineFiles returns the files of a mapping from path to content.
func InlineFiles(n *yaml.Node) []InlineFile {
	if n = yamlnode.Get(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var list []InlineFile
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := yamlnode.Get(n.Content[i+1]); v != nil && v.Kind == yaml.ScalarNode {
			f := InlineFile{Path: n.Content[i].Value, Data: v.Value, line: v.Line}
			if f.block = v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0; f.block {
				f.line++ // the mark of the block is on the line before
			}
			list = append(list, f)
		}
	}
	return list
}

// Size returns the amount of text and the number of things in the document, for the caller's
// limits.
func (d *Document) Size() (bytes, things int) {
	things = 1 + len(d.Images) + len(d.Fetches) + len(d.Lines)
	bytes = len(d.Spec)
	for _, image := range d.Images {
		bytes += len(image.Value)
	}
	for _, f := range d.Inline {
		bytes += len(f.Data)
	}
	for _, fetch := range d.Fetches {
		for _, f := range fetch.Inline {
			bytes += len(f.Data)
		}
	}
	return bytes, things
}
