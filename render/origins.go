package render

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render/ytt"
)

// documents cuts a text at its lines that begin with "---", as kbld does.
func documents(text []byte) (docs [][]byte) {
	start, at := 0, 0
	add := func() {
		if at > start {
			docs = append(docs, text[start:at])
		}
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("---")) {
			add()
			start = at + len(line)
		}
		at += len(line)
	}
	add()
	return docs
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// stringsOf returns the strings of a document that may hold a reference. All have its place.
func stringsOf(doc int, text []byte, place ytt.Place) (list []ytt.String) {
	raw, err := yamlnode.ToJSON(text)
	var content any
	if err != nil || json.Unmarshal(raw, &content) != nil {
		return nil
	}
	var walk func(value any, pointer string)
	walk = func(value any, pointer string) {
		switch value := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				walk(value[key], pointer+"/"+pointerEscape.Replace(key))
			}
		case []any:
			for i := range value {
				walk(value[i], pointer+"/"+strconv.Itoa(i))
			}
		case string:
			if ytt.MayHoldReference(value) {
				list = append(list, ytt.String{Document: doc, Path: pointer, Value: value, Place: place})
			}
		}
	}
	walk(content, "")
	return list
}

// origins returns a function that replaces a line of standard input by the place from which the
// step before printed it.
func (n *run) origins() func(ytt.Place) ytt.Place {
	var lines map[int]ytt.Place
	return func(place ytt.Place) ytt.Place {
		if place.File != stdin || n.stream == nil {
			return place
		}
		if lines == nil {
			lines = n.stream.lines()
		}
		return lines[place.Line]
	}
}

// lines returns the places of the lines of a stream, as far as they are known.
func (s *stream) lines() map[int]ytt.Place {
	known := map[int]map[string]ytt.Place{}
	for _, str := range s.strings {
		if known[str.Document] == nil {
			known[str.Document] = map[string]ytt.Place{}
		}
		known[str.Document][str.Path] = str.Place
	}
	lines, line, doc := map[int]ytt.Place{}, 0, -1
	var text []byte
	end := func() {
		if len(text) == 0 {
			return
		}
		doc++
		first := line - bytes.Count(text, []byte("\n"))
		if doc < len(s.starts) {
			for i := first + 1; i <= line; i++ {
				lines[i] = s.starts[doc]
			}
		}
		var node yaml.Node
		if yaml.Unmarshal(text, &node) == nil {
			placeNodes(&node, "", known[doc], first, lines)
		}
		text = nil
	}
	for l := range bytes.Lines(s.text) {
		if bytes.HasPrefix(l, []byte("---")) {
			end()
		} else {
			text = append(text, l...)
		}
		line++
	}
	end()
	return lines
}

// placeNodes sets the lines of the strings below a node, which is at a pointer of its document.
func placeNodes(node *yaml.Node, pointer string, known map[string]ytt.Place, first int, lines map[int]ytt.Place) {
	switch node.Kind {
	case yaml.DocumentNode:
		for _, child := range node.Content {
			placeNodes(child, pointer, known, first, lines)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			placeNodes(node.Content[i+1], pointer+"/"+pointerEscape.Replace(node.Content[i].Value), known, first, lines)
		}
	case yaml.SequenceNode:
		for i, child := range node.Content {
			placeNodes(child, pointer+"/"+strconv.Itoa(i), known, first, lines)
		}
	case yaml.ScalarNode:
		if place, ok := known[pointer]; ok {
			lines[first+node.Line] = place
		}
	}
}

// finish fills the result with what the last step printed.
func (n *run) finish() {
	n.result.Text = n.stream.text
	for i, text := range documents(n.stream.text) {
		doc := Document{Text: text}
		if i < len(n.stream.starts) {
			doc.Place = n.stream.starts[i]
		}
		n.result.Documents = append(n.result.Documents, doc)
	}
	for _, s := range n.stream.strings {
		if s.Document < len(n.result.Documents) {
			doc := &n.result.Documents[s.Document]
			doc.Strings = append(doc.Strings, s)
		}
	}
	n.result.Unused = map[string]bool{}
	for _, f := range n.result.Files {
		if !n.used[f.Path] {
			n.result.Unused[f.Path] = true
		}
	}
}
