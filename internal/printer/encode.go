package printer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	yaml11 "sigs.k8s.io/yaml"

	"relocate/internal/text"
)

// JSON returns v as indented JSON, in which everything that a terminal would obey is escaped.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return text.PrintableJSON(b.Bytes()), err
}

// YAML returns the document of JSON as YAML. Text with control characters is in double quotes,
// where all of them can be escaped; the encoder escapes only some.
func YAML(v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(escapeYAML(encoded), &doc); err != nil { // JSON is YAML of another style
		return nil, err
	}
	restyle(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, err
	}
	return escapeYAML(b.Bytes()), nil
}

// escapeYAML escapes control characters in YAML that has them in double quotes only.
func escapeYAML(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		if r == '\n' || text.IsShown(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "\\U%08x", r)
		}
	}
	return out.Bytes()
}

// restyle lets the encoder choose the style of a node and all below it, except for text that it
// would not escape, or that readers of YAML 1.1 do not read as text.
func restyle(n *yaml.Node) {
	n.Style = 0
	if n.Tag == "!!str" {
		plain, err := yaml11.Marshal(n.Value)
		if err != nil || string(plain) != n.Value+"\n" || strings.ContainsFunc(n.Value, func(r rune) bool { return !text.IsShown(r) }) {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, child := range n.Content {
		restyle(child)
	}
}
