package crossing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// schema is a JSON Schema (draft 7, which editors know best).
type schema struct {
	Schema      string    `json:"$schema,omitempty"`
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty"`
	Type        string    `json:"type,omitempty"`
	Enum        []string  `json:"enum,omitempty"`
	MinLength   int       `json:"minLength,omitempty"`
	Minimum     int       `json:"minimum,omitempty"`
	MinItems    int       `json:"minItems,omitempty"`
	MinProps    int       `json:"minProperties,omitempty"`
	Items       *schema   `json:"items,omitempty"`
	Properties  *ordered  `json:"properties,omitempty"`
	Required    []string  `json:"required,omitempty"`
	OneOf       []*schema `json:"oneOf,omitempty"`

	Additional any `json:"additionalProperties,omitempty"` // a *schema, or false
}

// ordered are the properties of an object, in the order of the format.
type ordered struct {
	names   []string
	schemas []*schema
}

// MarshalJSON implements json.Marshaler.
func (o *ordered) MarshalJSON() ([]byte, error) {
	b := []byte("{")
	for i, name := range o.names {
		value, err := json.Marshal(o.schemas[i])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", name, value)
	}
	return append(b, '}'), nil
}

// Schema returns the JSON Schema of a file, for editors.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Crossing](), key{help: "What relocate carries across an air gap, what is known and accepted, and where it goes."})
	s.Schema, s.Title = "http://json-schema.org/draft-07/schema#", "Crossing"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

// schemaOf returns the schema of a key's values.
func schemaOf(t reflect.Type, k key) *schema {
	s := &schema{Description: k.help}
	if k.flag != "" {
		s.Description += " (--" + k.flag + ")"
	}
	switch kind := kindOf(t); kind.yaml {
	case aText:
		s.Type, s.Enum = "string", k.enum
		if k.enum == nil {
			s.MinLength = 1
		}
	case aBool:
		s.Type = "boolean"
	case aNumber:
		s.Type, s.Minimum = "integer", 1
	case aList:
		s.Type, s.MinItems, s.Items = "array", 1, schemaOf(kind.item, key{enum: k.enum})
	case aMapping:
		s.object(t)
	}
	return s
}

// object makes s the schema of a mapping.
func (s *schema) object(t reflect.Type) {
	s.Type, s.MinProps = "object", 1
	if t.Kind() == reflect.Map {
		s.Additional = schemaOf(t.Elem(), key{})
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s.Properties, s.Additional = &ordered{}, false
	for i, k := range keysOf(t) {
		s.Properties.names = append(s.Properties.names, k.name)
		s.Properties.schemas = append(s.Properties.schemas, schemaOf(t.Field(i).Type, k))
		if k.needed {
			s.Required = append(s.Required, k.name)
		}
	}
	if t == reflect.TypeFor[Root]() {
		for _, kind := range rootKinds {
			s.OneOf = append(s.OneOf, &schema{Required: []string{kind}})
		}
	}
}
