package content

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
)

// class is the purpose of a text. It decides what its references mean.
type class int

const (
	object   class = iota // an object of the cluster, or a part of it
	values                // input of templates: no cluster gets it unchanged
	schema                // a CustomResourceDefinition
	code                  // functions of templates
	embedded              // a document in a string, which kbld does not see
)

// walker walks one text: a document of a file, a document in a string, or a file that is not YAML.
type walker struct {
	scan   *scan
	file   *File
	class  class
	values bool // a template puts references below an image key, where kbld sees them
	kind   string

	function bool // the text has a ytt function, which may return any part of an object

	offset  int     // offset of the text's lines in the file
	loose   *finder // for a text whose lines differ from those of the file
	strings int     // number of strings around the text
	base64  string  // the value of an object that the text was decoded from, as in "data.KEY"
	rules   kbld.Rules
	path    []kbld.Part
	label   string              // the name beside the value of a variable
	taken   map[*yaml.Node]bool // values that are part of an image which was checked
}

// place returns the place of text in a line of the walked text, counted from 1.
func (w *walker) place(line int, what string) place {
	if line += w.offset; w.loose != nil {
		line = w.loose.find(what)
	}
	return place{w.file.Path, max(1, min(line, w.file.lineCount()))}
}

// document examines a document as kbld does, and then the parts that kbld does not see.
func (w *walker) document(root *yaml.Node) {
	if w.strings == 0 {
		w.rules = w.file.Kbld.Rules()
	}
	if items := yamlnode.Field(root, "items"); w.strings == 0 && w.kind == "List" && items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content { // kbld opens lists
			w.kind = yamlnode.Scalar(item, "kind")
			w.value(item)
		}
		return
	}
	w.hubs(root)
	w.value(root)
}

// value examines the value at w.path.
func (w *walker) value(n *yaml.Node) {
	n = yamlnode.Resolved(n)
	w.pairs(n)
	switch n.Kind {
	case yaml.MappingNode:
		if w.key(0) == "image" && w.actionOnly(n) {
			return
		}
		if w.key(1) == "env" {
			w.label = yamlnode.Scalar(n, "name")
		}
		taken := w.compose(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i].Value; !taken[key] {
				w.below(kbld.Part{Key: key}, n.Content[i+1])
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			w.below(kbld.Part{IsIndex: true, Index: i}, item)
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" && !w.taken[n] && (n.Value != "" || w.key(0) == "image") {
			w.string(n)
		}
	}
}

// actionOnly handles the value of an image key that is a template of Helm without quotes, which YAML
// reads as a map.
func (w *walker) actionOnly(n *yaml.Node) bool {
	m := imageLine.FindSubmatch(w.file.line(w.offset + n.Line))
	if w.loose != nil || m == nil || !bytes.HasPrefix(m[1], []byte("{{")) {
		return false
	}
	w.imageText(n.Line, string(m[1]))
	return true
}

// below examines a value of the map or list at w.path.
func (w *walker) below(p kbld.Part, n *yaml.Node) {
	w.path = append(w.path, p)
	w.value(n)
	w.path = w.path[:len(w.path)-1]
}

// key returns the nth key from the end of the path. It is empty for an index.
func (w *walker) key(n int) string {
	if n >= len(w.path) {
		return ""
	}
	return w.path[len(w.path)-1-n].Key
}

// string examines a string, first by kbld's rules, then with the recognisers.
func (w *walker) string(n *yaml.Node) {
	image, inner := w.rules.See(w.path, n.Value)
	switch {
	case image:
		w.image(n)
	case inner != nil && w.inString(n, inner):
	default:
		w.recognise(n)
	}
}

// image examines a value that kbld reads as a reference.
func (w *walker) image(n *yaml.Node) {
	switch {
	case isTemplated(n.Value):
		w.templated(n.Line, n.Value)
	case w.values && n.Value == "":
	case w.class == values && !w.file.Values && (w.isReplaced(n.Value) || w.isOfItems()):
		w.outside(n.Line, n.Value)
	default:
		w.seen(w.place(n.Line, n.Value), n.Value)
	}
}

// isReplaced reports whether other files of the bundle set the value at w.path to another one.
func (w *walker) isReplaced(text string) bool {
	var keys []string
	for _, p := range w.path {
		keys = append(keys, p.Key)
	}
	v, known := w.scan.known.of(w.file)[strings.Join(keys, ".")]
	return known && v.text != text
}

// isOfItems reports whether w.path is in a list of a schema of ytt. That is a default of the items which
// users add: the list itself is empty.
func (w *walker) isOfItems() bool {
	return slices.ContainsFunc(w.path, func(p kbld.Part) bool { return p.IsIndex }) && bytes.Contains(w.file.Data, []byte("@data/values-schema"))
}

// isTemplated reports whether a value has parts that ytt or Helm fills in.
func isTemplated(value string) bool {
	return strings.Contains(value, "{{") || strings.Contains(value, "(@")
}

// inString examines the documents in a string. It returns false when the string has none.
func (w *walker) inString(n *yaml.Node, rules kbld.Rules) bool {
	if w.strings == maxStrings {
		return false
	}
	var docs []yamlnode.Parsed
	for doc := range yamlnode.Parse([]byte(n.Value)) {
		if doc.Root == nil || doc.Root.Kind == yaml.ScalarNode {
			return false
		}
		docs = append(docs, doc)
	}
	loose := w.file.from(w.offset+n.Line, len(n.Value))
	for _, doc := range docs {
		in := *w
		in.rules, in.path = rules, nil
		in.strings++
		in.class, in.values, in.kind = embedded, false, ""
		if in.offset = w.offset + n.Line + doc.Offset; in.loose == nil && n.Style&yaml.LiteralStyle == 0 {
			in.loose = loose
		}
		in.document(doc.Root)
	}
	return len(docs) > 0
}

var imageLine = regexp.MustCompile(`^[\s-]*["']?image["']?\s*:\s+(\S.*?)\s*$`)

// text examines text that is not YAML, line by line.
func (w *walker) text(text string) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		if isComment(l) {
			continue
		}
		if m := imageLine.FindStringSubmatch(l); m != nil && w.class == code {
			w.imageText(line, m[1])
			continue
		}
		w.line(line, "", l)
	}
}

// imageText examines the text after "image:" in a template.
func (w *walker) imageText(line int, value string) {
	switch value = bare(value); {
	case isTemplated(value):
		w.templated(line, value)
	case value == "" || strings.ContainsAny(value[:1], "#*|>"):
	case strings.ContainsAny(value, " \t\"'{["):
		for _, ref := range tokens(value) {
			w.outside(line, ref)
		}
	default:
		w.seen(w.place(line, value), value)
	}
}

// bare returns a value without a comment after it, an anchor before it, and quotes around it.
func bare(value string) string {
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimSpace(value[:i])
	}
	if strings.HasPrefix(value, "&") {
		_, value, _ = strings.Cut(value, " ")
		value = strings.TrimSpace(value)
	}
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return value
}
