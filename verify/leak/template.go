package leak

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
)

// Parts of a template of helm. A control prints nothing by itself.
const (
	actionText  = `\{\{(?:[^}]|\}[^}])*\}\}`
	controlText = `\{\{-?\s*(?:(?:if|else|end|range|with|define|break|continue)\b|\$\w+(?:,\s*\$\w+)?\s*:?=)(?:[^}]|\}[^}])*\}\}`
)

var (
	comment     = regexp.MustCompile(`(?s)\{\{-?\s*/\*.*?\*/\s*-?\}\}`)
	action      = regexp.MustCompile(actionText)
	control     = regexp.MustCompile(controlText)
	leading     = regexp.MustCompile(`(?m)^(?:[ \t]*` + controlText + `)+`)
	actionLines = regexp.MustCompile(`(?m)^[ \t]*(?:` + actionText + `[ \t]*)+\r?$`)
	placeholder = regexp.MustCompile("\ue000([0-9]+)\ue000")
)

// template is a document with actions of helm.
type template struct {
	yaml    yamlnode.Document // without controls; a placeholder stands for any other action
	actions []string          // by the numbers in placeholders
	prints  int               // the last line that has nothing but actions, and prints something; 0 for none
}

// readTemplate makes YAML of a document. Each line stays where it is, whatever its conditions are.
func readTemplate(doc yamlnode.Document) *template {
	t := &template{yaml: doc}
	for _, at := range actionLines.FindAllIndex(doc.Text, -1) {
		if len(bytes.TrimSpace(control.ReplaceAll(doc.Text[at[0]:at[1]], nil))) > 0 {
			t.prints = doc.LineOf(1 + bytes.Count(doc.Text[:at[1]], []byte("\n")))
		}
	}
	text := actionLines.ReplaceAllFunc(doc.Text, lineBreaks)
	text = leading.ReplaceAllFunc(text, func(controls []byte) []byte {
		indent := controls[:bytes.IndexByte(controls, '{')]
		return append(lineBreaks(controls), indent...)
	})
	t.yaml.Text = action.ReplaceAllFunc(text, func(action []byte) []byte {
		t.actions = append(t.actions, string(action))
		return append(fmt.Appendf(nil, "\ue000%d\ue000", len(t.actions)-1), lineBreaks(action)...)
	})
	return t
}

// lineBreaks returns the line breaks of text.
func lineBreaks(text []byte) []byte {
	return bytes.Repeat([]byte("\n"), bytes.Count(text, []byte("\n")))
}

// node returns the tree of the document. Its scalars have the actions as they are written.
func (t *template) node() (*yaml.Node, error) {
	n, err := t.yaml.Node()
	if err == nil && n != nil {
		t.restore(n)
	}
	return n, err
}

func (t *template) restore(n *yaml.Node) {
	n.Value = placeholder.ReplaceAllStringFunc(n.Value, func(s string) string {
		i, err := strconv.Atoi(placeholder.FindStringSubmatch(s)[1])
		if err != nil || i >= len(t.actions) {
			return s
		}
		return t.actions[i]
	})
	for _, child := range n.Content {
		t.restore(child)
	}
}
