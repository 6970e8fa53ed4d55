package values

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// value is a node of values files, or of a default.
type value struct {
	file   string // empty for a default
	line   int
	kind   string // type in the words of OpenAPI, or null
	plain  bool   // a scalar without quotes
	scalar any    // bool, int64, uint64, float64 or string
	items  []*value
	keys   []string // of fields, in order
	fields map[string]*value

	defaults map[string]bool // keys that are not in fields and have a default
}

// reader reads one file.
type reader struct {
	file string
	docs []*value
	add  func(Problem)
}

func (r *reader) note(line int, key, format string, args ...any) {
	r.add(Problem{File: r.file, Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) read(data []byte) {
	if err := yamlnode.Check(data); err != nil {
		r.note(0, "", "%v", err)
		return
	}
	if bytes.HasPrefix(data, []byte("\uFEFF")) {
		r.note(1, "", "begins with a byte order mark, which ytt takes as part of the first key")
		return
	}
	if carvel.HasDirectives(data) {
		before, _, _ := bytes.Cut(data, []byte("#@"))
		r.note(1+bytes.Count(before, []byte("\n")), "", "has a comment with #@, which ytt refuses in values")
	}
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Tree()
		var at *yamlnode.Error
		switch {
		case errors.As(err, &at):
			r.note(at.Line, "", "%v", err)
		case err != nil:
			r.note(doc.Line, "", "%v", err)
		case n != nil && n.Kind != yaml.MappingNode:
			r.note(n.Line, "", "is not a map of values")
		case n != nil:
			r.docs = append(r.docs, r.value(n, ""))
		}
	}
}

// value returns a node, whose aliases are resolved.
func (r *reader) value(n *yaml.Node, key string) *value {
	v := &value{file: r.file, line: n.Line}
	switch n.Kind {
	case yaml.MappingNode:
		v.kind, v.fields = "object", map[string]*value{}
		r.fields(v, n, key)
	case yaml.SequenceNode:
		v.kind = "array"
		for i, item := range n.Content {
			v.items = append(v.items, r.value(item, fmt.Sprintf("%s[%d]", key, i)))
		}
	default:
		v.plain = n.Style&^yaml.TaggedStyle == 0
		v.kind, v.scalar = kindOf(scalar(n))
	}
	return v
}

// fields adds the keys of a mapping to v. Those that it merges come last: they do not replace others.
func (r *reader) fields(v *value, n *yaml.Node, key string) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, below := n.Content[i], n.Content[i+1]
		if name.Tag == "!!merge" {
			if below.Kind == yaml.SequenceNode {
				merged = append(merged, below.Content...)
			} else {
				merged = append(merged, below)
			}
			continue
		}
		text, ok := scalar(name).(string)
		if !ok || name.Kind != yaml.ScalarNode {
			kind, _ := kindOf(scalar(name))
			r.note(name.Line, join(key, name.Value),
				"YAML reads this key as %s, and ytt takes no such keys: write it in quotes", article(kind))
			continue
		}
		child := r.value(below, join(key, text))
		child.line = name.Line
		v.add(text, child)
	}
	for _, m := range merged {
		if m.Kind != yaml.MappingNode {
			r.note(m.Line, join(key, "<<"), "merges what is not a map")
			continue
		}
		r.fields(v, m, key)
	}
}

// add adds a key that v does not have.
func (v *value) add(key string, below *value) {
	if _, there := v.fields[key]; !there {
		v.keys = append(v.keys, key)
		v.fields[key] = below
	}
}

// scalar returns what ytt reads: its parser is a fork of this one, for YAML 1.1.
func scalar(n *yaml.Node) any {
	written := n.Value
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		written = n.Tag + " " + strconv.Quote(n.Value)
	case n.Style != 0 || strings.Contains(n.Value, "\n"):
		return n.Value
	}
	return decodedScalar(written, n.Value)
}

// decodedScalar returns what YAML 1.1 makes of a scalar, and other where that fails.
func decodedScalar(written, other string) any {
	var v any
	if err := yamlv2.Unmarshal([]byte(written), &v); err != nil {
		return other
	}
	return v
}

// kindOf returns the type of a scalar that YAML or JSON decoded.
func kindOf(v any) (string, any) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case bool:
		return "boolean", v
	case int:
		return "integer", int64(v)
	case int64:
		return "integer", v
	case uint64:
		return "integer", v
	case float64:
		return "number", v
	case time.Time:
		return "string", v.Format(time.RFC3339)
	}
	return "string", fmt.Sprint(v)
}

// fromJSON returns the value of a default.
func fromJSON(v any) *value {
	switch v := v.(type) {
	case map[string]any:
		o := &value{kind: "object", fields: map[string]*value{}}
		for key, below := range v {
			o.add(key, fromJSON(below))
		}
		slices.Sort(o.keys)
		return o
	case []any:
		a := &value{kind: "array"}
		for _, item := range v {
			a.items = append(a.items, fromJSON(item))
		}
		return a
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return &value{kind: "integer", scalar: int64(v)}
		}
	}
	s := &value{}
	s.kind, s.scalar = kindOf(v)
	return s
}

// decoded returns a value as encoding/json decodes it, but that integers are exact.
func (v *value) decoded() any {
	switch v.kind {
	case "object":
		m := make(map[string]any, len(v.keys))
		for key, below := range v.fields {
			m[key] = below.decoded()
		}
		return m
	case "array":
		a := []any{}
		for _, item := range v.items {
			a = append(a, item.decoded())
		}
		return a
	}
	return v.scalar
}

// canonical returns a text that equal values share; empty for none.
func canonical(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // infinite, or no number
		return ""
	}
	return string(b)
}

// merge returns left with the values of right, which win. Maps are merged key by key.
func merge(left, right *value) *value {
	if left.kind != "object" || right.kind != "object" {
		return right
	}
	m := &value{file: right.file, line: right.line, kind: "object", fields: map[string]*value{}}
	for _, key := range left.keys {
		m.add(key, left.fields[key])
	}
	for _, key := range right.keys {
		if other, there := m.fields[key]; there {
			m.fields[key] = merge(other, right.fields[key])
		} else {
			m.add(key, right.fields[key])
		}
	}
	return m
}

// join returns the path of a key below another.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// article returns a type with its article.
func article(kind string) string {
	switch kind {
	case "null":
		return kind
	case "array", "integer", "object":
		return "an " + kind
	}
	return "a " + text.Clip(kind, 40)
}
