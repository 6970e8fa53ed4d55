package carvel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	yamlv3 "go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/oci"
)

// Schema is the schema of a package's values, OpenAPI v3 as JSON.
type Schema json.RawMessage

// Value is one value of a package's values schema, a row of kctrl's table.
type Value struct {
	Key         string `json:"key"`     // of the properties from the top, joined by dots
	Default     any    `json:"default"` // as encoding/json decodes; nil when absent
	Type        string `json:"type"`    // as written; empty when absent or not a string
	Description string `json:"description"`
}

// errNoProperties has the words of kctrl.
var errNoProperties = errors.New("unable to parse the value schema, the value of key named 'properties' is no map " +
	"(hint: the valuesSchema might not have any properties)")

// Values returns the values of the schema, sorted by key, flattened as kctrl and tanzu do
// (docs/carvel.md, "Values"). A node with properties is not a value, whatever its default: its
// properties are listed instead. A node without properties, or with an empty list of them, is a
// value. Items of arrays and additional properties are not examined, and what is not a schema is
// skipped.
func (s Schema) Values() ([]Value, error) {
	var top map[string]any
	if err := json.Unmarshal(s, &top); err != nil {
		return nil, fmt.Errorf("read values schema: %w", text.Error(err))
	}
	if _, ok := top["properties"].(map[string]any); !ok {
		return nil, errNoProperties
	}
	list, room := appendValues(nil, nil, top, maxKeys)
	if room < 0 {
		return nil, fmt.Errorf("read values schema: %w: its keys, joined, are larger than %d bytes", oci.ErrMalformed, maxKeys)
	}
	slices.SortStableFunc(list, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
	return list, nil
}

// maxKeys is the limit in bytes on all keys of a schema together: each repeats the keys above it.
const maxKeys = 4 * yamlnode.MaxSize

// appendValues adds the values of the node at path to list while their keys fit into room bytes,
// and returns the room that is left. The parser of the document has limited how deep nodes are
// nested.
func appendValues(list []Value, path []string, node map[string]any, room int) ([]Value, int) {
	properties, isMap := node["properties"].(map[string]any)
	if _, there := node["properties"]; there && !isMap {
		return list, room // kctrl drops it
	}
	if len(properties) == 0 {
		v := Value{Key: strings.Join(path, "."), Default: node["default"]}
		v.Type, _ = node["type"].(string)
		v.Description, _ = node["description"].(string)
		return append(list, v), room - len(v.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		if child, ok := properties[key].(map[string]any); ok && room >= 0 {
			list, room = appendValues(list, append(path, key), child, room)
		}
	}
	return list, room
}

// DefaultText returns the default as YAML, without a line feed at the end: empty for null, [] and
// {}.
func (v Value) DefaultText() string {
	switch d := v.Default.(type) {
	case nil:
		return ""
	case []any:
		if len(d) == 0 {
			return ""
		}
	case map[string]any:
		if len(d) == 0 {
			return ""
		}
	}
	text, err := yamlv2.Marshal(v.Default) // kctrl's library, too: it folds long text, and writes 1e+06
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return strings.TrimSpace(string(text))
}

// DefaultFile returns the values file of the schema, as kctrl's --default-values-file-output does:
// every default and every required property, as YAML, commented out.
func (s Schema) DefaultFile() ([]byte, error) {
	var top schemaNode
	d := json.NewDecoder(bytes.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&top); err != nil {
		return nil, fmt.Errorf("read values schema: %w", text.Error(err))
	}
	values := map[string]any{}
	top.fill(values)
	var out strings.Builder
	e := yamlv3.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(values); err != nil {
		return nil, fmt.Errorf("write default values: %w", err)
	}
	return comment(out.String()), nil
}

// schemaNode is what the defaults of a schema depend on.
type schemaNode struct {
	Type       string                `json:"type"`
	Default    any                   `json:"default"`
	Nullable   bool                  `json:"nullable"`
	Required   []string              `json:"required"`
	Properties map[string]schemaNode `json:"properties"`
}

// fill sets the defaults of properties that values does not have, at every depth.
func (n *schemaNode) fill(values map[string]any) {
	for key, property := range n.Properties {
		value, there := values[key]
		given := plainNumbers(property.Default)
		if given == nil && (property.hasDefaults() || slices.Contains(n.Required, key)) {
			given = map[string]any{}
		}
		if given != nil && (!there || value == nil && !property.Nullable) {
			values[key] = given
		}
		if below, ok := values[key].(map[string]any); ok {
			property.fill(below)
		}
	}
}

// hasDefaults reports whether a property below n makes n's own default worth writing: a property
// that is not an object, and has a default or is required.
func (n *schemaNode) hasDefaults() bool {
	for key, property := range n.Properties {
		if property.Type != "object" && (property.Default != nil || slices.Contains(n.Required, key)) {
			return true
		}
		if property.Type == "object" && property.Default == nil && property.hasDefaults() {
			return true
		}
	}
	return false
}

// plainNumbers copies a decoded JSON value, with numbers that YAML writes as such.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // a number, as the parser has checked; one that is too large becomes infinite
		return f
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plainNumbers(v[i])
		}
		return list
	case map[string]any:
		m := map[string]any{}
		for key := range v {
			m[key] = plainNumbers(v[key])
		}
		return m
	}
	return v
}

// comment comments out all lines, also those that only some readers of YAML see, and removes the
// braces of empty maps, so that users can add keys.
func comment(text string) []byte {
	var out bytes.Buffer
	for l := range strings.Lines(oddBreaks.Replace(text)) {
		out.WriteString("# " + strings.Replace(strings.TrimSuffix(l, "\n"), ": {}", ":", 1) + "\n")
	}
	return out.Bytes()
}

// oddBreaks replaces with line feeds what only some readers of YAML treat as a line break.
var oddBreaks = strings.NewReplacer("\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")
