package crossing_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yaml "go.yaml.in/yaml/v3"

	"relocate/crossing"
)

// schema is the part of JSON Schema that ours is written in.
type schema struct {
	Type        string
	Enum        []string
	MinLength   int
	Minimum     int
	MinItems    int
	MinProps    int `json:"minProperties"`
	Items       *schema
	Properties  map[string]*schema
	Required    []string
	OneOf       []*schema
	Description string

	AdditionalProperties json.RawMessage
}

func readSchema(t testing.TB) *schema {
	t.Helper()
	text, err := crossing.Schema()
	require.NoError(t, err)
	var s schema
	require.NoError(t, json.Unmarshal(text, &s))
	return &s
}

// wrong returns what is wrong with a value, as an editor would find it; empty for nothing.
func (s *schema) wrong(at string, v any) string {
	switch v := v.(type) {
	case map[string]any:
		return s.wrongObject(at, v)
	case []any:
		for i, item := range v {
			if s.Items == nil {
				break
			}
			if w := s.Items.wrong(fmt.Sprintf("%s[%d]", at, i), item); w != "" {
				return w
			}
		}
		return s.unless(at, s.Type == "array" && len(v) >= s.MinItems)
	case string:
		return s.unless(at, s.Type == "string" && utf8.RuneCountInString(v) >= s.MinLength && (s.Enum == nil || slices.Contains(s.Enum, v)))
	case bool:
		return s.unless(at, s.Type == "boolean")
	case int:
		return s.unless(at, s.Type == "integer" && v >= s.Minimum)
	}
	return at + " is null"
}

func (s *schema) unless(at string, right bool) string {
	if right {
		return ""
	}
	return at + " is no " + s.Type
}

func (s *schema) wrongObject(at string, v map[string]any) string {
	if s.Type != "object" && s.OneOf == nil && s.Required == nil {
		return at + " is an object"
	}
	if len(v) < s.MinProps {
		return at + " is empty"
	}
	for _, key := range s.Required {
		if _, has := v[key]; !has {
			return at + " lacks " + key
		}
	}
	if s.Type != "object" {
		return ""
	}
	var other *schema
	if string(s.AdditionalProperties) != "false" {
		other = &schema{}
		if err := json.Unmarshal(s.AdditionalProperties, other); err != nil {
			return at + ": " + err.Error()
		}
	}
	for key, value := range v {
		of := s.Properties[key]
		if of == nil {
			of = other
		}
		if of == nil {
			return at + " has " + key
		}
		if w := of.wrong(at+"."+key, value); w != "" {
			return w
		}
	}
	matching := 0
	for _, one := range s.OneOf {
		if one.wrongObject(at, v) == "" {
			matching++
		}
	}
	if s.OneOf != nil && matching != 1 {
		return at + " is not one of several"
	}
	return ""
}

// TestSchema: an editor finds the same mistakes in the structure of a file as the program, and no others.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := readSchema(t)
	for text, right := range map[string]bool{
		whole:                           true,
		head:                            true,
		head + "roots: []":              false,
		head + "platforms: []":          false,
		head + "choose: {}":             false,
		head + "choose: {packages: []}": false,
		head + "destination: {}":        false,
		head + "render: {values: {}}":   false,
		head + "roots: [{bundle: a.b/c, choose: {}}]": false,
		"kind: Crossing":                                       false,
		"apiVersion: v1\nkind: Crossing":                       false,
		head + "a: 1":                                          false,
		head + "destination: {a: 1}":                           false,
		head + "roots: [{}]":                                   false,
		head + "roots: [{bundle: a.b/c, lock: d}]":             false,
		head + "roots: [{bundle: 1}]":                          false,
		head + "roots: a.b/c":                                  false,
		head + "roots: [a.b/c]":                                false,
		head + "strict: 'true'":                                false,
		head + "strict: null":                                  false,
		head + "choose: {latest: 1}":                           true,
		head + "choose: {latest: 0}":                           false,
		head + "choose: {latest: 1.5}":                         false,
		head + "choose: {packages: a}":                         false,
		head + "roots: [{bundle: a.b/c, choose: {latest: 1}}]": true,
		head + "roots: [{bundle: a.b/c, choose: {a: 1}}]":      false,
		head + "platformMode: none":                            false,
		head + "allow: [{}]":                                   false,
		head + "allow: ['']":                                   false,
		head + "attachments: some":                             false,
		head + "render: {values: {a: 1}}":                      false,
		head + "destination: {tag: 1.0}":                       false,
		head + "destination: [{tag: a}]":                       false,
		head + "destination: {repository: [a.b/c]}":            false,
	} {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(text), &v))
		_, err := crossing.Parse("f.yml", []byte(text))
		assert.Equal(t, right, err == nil, "%s\n%v", text, err)
		assert.Equal(t, right, s.wrong("", v) == "", "%s\n%s", text, s.wrong("", v))
	}
}

// TestDescribed: every key has a description, and begins as the help of flags does.
func TestDescribed(t *testing.T) {
	t.Parallel()
	for _, k := range crossing.Keys() {
		assert.NotEmpty(t, k.Help, k.Name)
		assert.Equal(t, strings.ToLower(k.Help[:1]), k.Help[:1], k.Name)
	}
}

// FuzzParse: what the program reads, an editor accepts; an error is one line, with the file; and what a file
// says in place of flags is never empty.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(head + "roots: [{bundle: a.b/c, lock: d}]\nallow: &a [b.c]\n"))
	f.Add([]byte(head + "render: {values: {a: b}}\r\n...\n"))
	s := readSchema(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := crossing.Parse("f.yml", text)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "f.yml:"), "%q", err)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		var v any
		require.NoError(t, yaml.Unmarshal(text, &v))
		require.Empty(t, s.wrong("", v))
		for _, setting := range c.Settings() {
			require.Positive(t, setting.Line)
			require.NotEmpty(t, setting.Flag)
			require.NotContains(t, setting.Values, "")
		}
	})
}
