package cluster

import (
	"iter"

	"go.yaml.in/yaml/v3"
)

// get returns what n has below the keys; nil when there is nothing.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		var found *yaml.Node
		for k, v := range pairs(n) {
			if k == key {
				found = v
				break
			}
		}
		n = found
	}
	return n
}

// pairs are the keys of a mapping and their values; none when n is something else, or nil.
func pairs(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// list are the items of a sequence; none when n is something else, or nil.
func list(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// isText reports whether n is a string.
func isText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}

// isMaps reports whether n is a sequence of mappings.
func isMaps(n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.SequenceNode {
		return false
	}
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode {
			return false
		}
	}
	return true
}

// value returns the text of a scalar of any type; empty when n is something else, or nil.
func value(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return ""
	}
	return n.Value
}

// textAt returns the string below the keys; empty when there is none.
func textAt(n *yaml.Node, keys ...string) string {
	if found := get(n, keys...); isText(found) {
		return found.Value
	}
	return ""
}
