package leak

import (
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// below returns what keys lead to from the mapping n, nil when there is nothing.
func below(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n = value(n, key); n == nil {
			return nil
		}
	}
	return n
}

func value(n *yaml.Node, key string) *yaml.Node {
	if n = target(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return target(n.Content[i+1])
		}
	}
	return nil
}

// target follows an alias; null is nothing.
func target(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil
	}
	return n
}

// items returns those of a sequence.
func items(n *yaml.Node) []*yaml.Node {
	if n = target(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// text returns a scalar's, "" of anything else.
func text(n *yaml.Node) string {
	if n = target(n); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// texts returns those of a sequence of scalars.
func texts(n *yaml.Node) []string {
	var list []string
	for _, item := range items(n) {
		list = append(list, text(item))
	}
	return list
}

// line returns n's, or else that of what has it.
func line(n *yaml.Node, or int) int {
	if n == nil {
		return or
	}
	return n.Line
}

// eachImage calls visit for each value of a key "image" below n that is a string, at any depth, as kbld finds
// them. Aliases are followed: what they stand for may be defined where nothing looks. The document is one that
// bundle's reader took, so that they lead to no more than it allows.
func eachImage(n *yaml.Node, visit func(image *yaml.Node, line int)) {
	if n = target(n); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			eachImage(child, visit)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := target(n.Content[i+1])
		if n.Content[i].Value == "image" && v != nil && v.Kind == yaml.ScalarNode && v.ShortTag() == "!!str" {
			visit(v, n.Content[i+1].Line)
			continue
		}
		eachImage(n.Content[i+1], visit)
	}
}

// inlineText is a file that stands in a YAML document as a string.
type inlineText struct {
	path  string // as its key says
	data  string
	line  int  // of the string's first line
	block bool // its lines are the document's
}

// inlineTexts returns the files of a mapping from path to content.
func inlineTexts(n *yaml.Node) []inlineText {
	if n = target(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var list []inlineText
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := target(n.Content[i+1]); v != nil && v.Kind == yaml.ScalarNode {
			t := inlineText{path: n.Content[i].Value, data: v.Value, line: v.Line}
			if t.block = v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0; t.block {
				t.line++ // the mark of the block is on the line before
			}
			list = append(list, t)
		}
	}
	return list
}

// at returns the line of the document that has line n of the text.
func (t inlineText) at(n int) int {
	if !t.block || n < 1 {
		return t.line
	}
	return t.line + n - 1
}

// versionText says what something is, for people.
func versionText(apiVersion, kind string) string {
	return strconv.Quote(clip(apiVersion+" "+kind, 200))
}
