package cluster

import (
	"strconv"

	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
)

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

// shortName puts a name on one line and cuts it to the longest name that Kubernetes allows.
func shortName(s string) string { return text.Line(text.Clip(s, 253)) }

// saying quotes a program's message on one line. The message may have several lines.
func saying(s string) string { return strconv.Quote(text.Line(text.Clip(s, 200))) }
