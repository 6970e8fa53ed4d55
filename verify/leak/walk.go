package leak

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/report"
)

// walker goes through one text: a document of a file, one in a string, or a file that is no YAML.
type walker struct {
	*scan
	in     *input
	class  class
	values bool // what has the form of a reference reaches an image key by a template, where kbld sees it
	kind   string

	function bool // of ytt, of values or any other part of an object

	doc     document
	offset  int     // of the text's lines in the file
	loose   *finder // for a text whose lines are not those of the file
	strings int     // how many strings it is in
	rules   []searchRule
	path    []pathPart
	parent  *yaml.Node
}

// place returns the place of what stands in a line of the text, counted from 1.
func (w *walker) place(line int, what string) place {
	if line += w.offset; w.loose != nil {
		line = w.loose.find(what)
	}
	return place{w.in.path, max(1, min(line, w.in.lineCount()))}
}

// document looks at a document as kbld would, and at what kbld does not see.
func (w *walker) document(root *yaml.Node) {
	if w.strings == 0 {
		if w.rules = []searchRule{builtIn}; w.in.kbld != nil {
			w.rules = w.in.kbld.searchRules()
		}
	}
	if items := field(root, "items"); w.strings == 0 && w.kind == "List" && items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content { // kbld opens it
			w.kind = scalar(item, "kind")
			w.value(item)
		}
		return
	}
	w.value(root)
}

// value looks at what stands at w.path.
func (w *walker) value(n *yaml.Node) {
	switch n = resolved(n); n.Kind {
	case yaml.MappingNode:
		parent := w.parent
		w.parent = n
		taken := w.compose(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i].Value; !taken[key] {
				w.path = append(w.path, pathPart{key: key})
				w.value(n.Content[i+1])
				w.path = w.path[:len(w.path)-1]
			}
		}
		w.parent = parent
	case yaml.SequenceNode:
		for i, item := range n.Content {
			w.path = append(w.path, pathPart{isIdx: true, index: i})
			w.value(item)
			w.path = w.path[:len(w.path)-1]
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" && n.Value != "" || n.Tag == "!!str" && w.key(0) == "image" {
			w.string(n)
		}
	}
}

// key returns the nth key or index from the end of the path; empty for an index.
func (w *walker) key(n int) string {
	if n >= len(w.path) {
		return ""
	}
	return w.path[len(w.path)-1-n].key
}

// string looks at a string: kbld's rules first, then what has the form of a reference.
func (w *walker) string(n *yaml.Node) {
	if how, sees := match(w.rules, w.path, n.Value); sees {
		switch {
		case how.None != nil:
		case how.JSON != nil:
			if json.Valid([]byte(n.Value)) && w.inString(n, how.JSON.SearchRules) {
				return
			}
		case how.YAML != nil:
			if w.inString(n, how.YAML.SearchRules) {
				return
			}
		default:
			w.image(n)
			return
		}
	}
	if w.class == schema || w.skipped() {
		return
	}
	if w.address(n) {
		return
	}
	if imageInString.MatchString(n.Value) && w.inString(n, nil) {
		return
	}
	if w.class == embedded && w.key(0) == "image" && !isTemplated(n.Value) {
		if what, _ := (&kbld{}).resolve(n.Value); what != invalid {
			w.outside(n.Line, n.Value)
			return
		}
	}
	w.tokens(n)
}

// imageInString finds strings that can hold a document with an image key.
var imageInString = regexp.MustCompile(`(^|[\s{,"'])image["']?\s*:`)

// image looks at a value that kbld takes for a reference.
func (w *walker) image(n *yaml.Node) {
	switch {
	case isTemplated(n.Value):
		w.templated(n.Line, n.Value)
	case w.values && n.Value == "":
	default:
		w.scan.image(w.place(n.Line, n.Value), w.in.kbld, n.Value)
	}
}

// skipped reports whether the value is text for people, or what kbld wrote.
func (w *walker) skipped() bool {
	switch key := w.key(0); key {
	case "apiVersion", carvel.KbldID, "kbld.k14s.io/images":
		return true
	default:
		return strings.HasSuffix(strings.ToLower(key), "description")
	}
}

// inString looks at the documents in a string. It is false when there are none.
func (w *walker) inString(n *yaml.Node, rules []searchRule) bool {
	if w.strings == maxStrings {
		return false
	}
	var docs []document
	for doc := range yamlDocuments([]byte(n.Value)) {
		if doc.root == nil || doc.root.Kind == yaml.ScalarNode {
			return false
		}
		docs = append(docs, doc)
	}
	loose := w.in.from(w.offset+n.Line, len(n.Value))
	for _, doc := range docs {
		in := *w
		in.doc, in.rules, in.path, in.parent = doc, rules, nil, nil
		in.strings++
		in.class, in.values, in.kind = embedded, false, ""
		if in.offset = w.offset + n.Line + doc.offset; in.loose == nil && n.Style&yaml.LiteralStyle == 0 {
			in.loose = loose
		}
		in.document(doc.root)
	}
	return len(docs) > 0
}

// tokens looks at each reference in a string.
func (w *walker) tokens(n *yaml.Node) {
	in, line := *w, n.Line
	if n.Style&yaml.LiteralStyle == 0 && in.loose == nil {
		in.loose = w.in.from(w.offset+n.Line, len(n.Value))
	}
	multi := strings.Contains(n.Value, "\n")
	for l := range strings.Lines(n.Value) {
		line++
		if multi && isComment(l) {
			continue
		}
		for _, ref := range tokens(l) {
			in.outside(line, ref)
		}
	}
}

// isComment reports whether a line of text is a comment in most languages.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") || strings.HasPrefix(line, ";")
}

// outside is a reference that stands where kbld does not look (points 14 and 15).
func (w *walker) outside(line int, ref string) {
	at := w.place(line, ref)
	if w.values && w.rewritten(at, ref) {
		return
	}
	i, isLocked := w.ids[ref]
	if w.add(at, ref, -1); isLocked {
		w.seen[i] = true
	}
	if w.reported[finding{codeFetcher, at.file, at.line, ref}] {
		return // said already what pulls it
	}
	known := "the lock does not have it"
	if other := w.repos[repository(ref)]; isLocked {
		known = "the lock has it, but is not applied here"
	} else if other != "" {
		known = fmt.Sprintf("the lock has %q of that repository", shorten(other))
	}
	if w.class == values && !w.function {
		w.note(at, codeDefault, report.Warning, ref, "the default of a value names an image: "+known,
			"set the value at the cluster, or let the default name an image of the lock")
		return
	}
	w.note(at, codeOutsideKey, report.Pull, ref, "an image outside of the keys that kbld looks at: "+known+", and pods pull it from there",
		"give the kbld step a Config with a searchRule for this value, and push the bundle again with a lock that has the image")
}

// rewritten takes over a reference that a template may put below an image key, when kbld rewrites it there.
func (w *walker) rewritten(at place, ref string) bool {
	if w.in.kbld == nil {
		return false
	}
	switch what, o := w.in.kbld.resolve(ref); what {
	case locked:
		w.add(at, ref, o.entry)
		return true
	case overridden:
		w.overridden(at, ref, o)
		return true
	}
	return false
}

var imageLine = regexp.MustCompile(`^[\s-]*["']?image["']?\s*:\s+(\S.*?)\s*$`)

// text looks at text that is no YAML, by line: first is the line before it.
func (w *walker) text(text string, first int) {
	line := first
	for l := range strings.Lines(text) {
		line++
		if isComment(l) {
			continue
		}
		if m := imageLine.FindStringSubmatch(l); m != nil && w.class == code {
			w.imageText(line, m[1])
			continue
		}
		for _, ref := range tokens(l) {
			w.outside(line, ref)
		}
	}
}

// imageText looks at what follows "image:" in a template.
func (w *walker) imageText(line int, value string) {
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimSpace(value[:i])
	}
	if strings.HasPrefix(value, "&") { // an anchor
		_, value, _ = strings.Cut(value, " ")
		value = strings.TrimSpace(value)
	}
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	switch {
	case isTemplated(value):
		w.templated(line, value)
	case value == "" || strings.ContainsAny(value[:1], "#*|>"):
	case strings.ContainsAny(value, " \t\"'{["):
		for _, ref := range tokens(value) {
			w.outside(line, ref)
		}
	default:
		w.scan.image(w.place(line, value), w.in.kbld, value)
	}
}
