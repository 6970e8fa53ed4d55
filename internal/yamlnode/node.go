package yamlnode

import (
	"iter"

	yaml "go.yaml.in/yaml/v3"
)

// Get returns the value at the path keys in the mapping n; nil when it is missing or null. It
// follows aliases.
func Get(n *yaml.Node, keys ...string) *yaml.Node {
	n = target(n)
	for _, key := range keys {
		var found *yaml.Node
		for k, v := range Pairs(n) {
			if k == key {
				found = target(v)
				break
			}
		}
		n = found
	}
	return n
}

// target returns what an alias stands for; nil for null.
func target(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil
	}
	return n
}

// Pairs are the keys of a mapping and their values; none when n is something else, or nil.
func Pairs(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n = target(n); n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// Items are those of a sequence; none when n is something else, or nil.
func Items(n *yaml.Node) []*yaml.Node {
	if n = target(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// Text returns the scalar at the path keys in n, as written; empty when it is missing.
func Text(n *yaml.Node, keys ...string) string {
	if n = Get(n, keys...); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// Line returns the line of n, and other when n is nil.
func Line(n *yaml.Node, other int) int {
	if n == nil {
		return other
	}
	return n.Line
}

// IsText reports whether n is a string.
func IsText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}
