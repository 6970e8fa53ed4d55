package oci

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"relocate/testdata/seed"
)

// FuzzJSON: what CheckJSON lets pass is one JSON value in UTF-8, and a second reader, written by hand,
// finds no key twice in it and no nesting beyond the limit.
func FuzzJSON(f *testing.F) {
	for _, m := range manifestSeeds(f) {
		f.Add([]byte(m.Raw))
	}
	for _, s := range []string{
		`{"a":1,"A":2}`, `{"s":1,"ſ":2}`, `{"k":1,"K":2}`, `{"\u0061":1,"a":2}`, `{"annotations":{"a":1,"A":2}}`, `{"annotations":{"a":1,"a":2}}`,
		`{"annotations":[{"a":1,"A":2}]}`, `{"Annotations":{"a":1,"A":2}}`, `{"\ud800":1,"\udfff":2}`, `[[[]],{"":{"":""}}]`, `{} {}`, "\xff", `"\""`, `1e999`,
		strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting), strings.Repeat("[", maxNesting+1) + strings.Repeat("]", maxNesting+1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := CheckJSON(raw); err != nil {
			seed.RequireLine(t, err)
			return
		}
		if !json.Valid(raw) || !utf8.Valid(raw) {
			t.Fatalf("%q is no JSON", raw)
		}
		r := handReader{rest: strings.TrimSpace(string(raw))}
		if err := r.value(0, false); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

// handReader reads JSON that is known to be valid.
type handReader struct{ rest string }

// next returns the next character that is no blank.
func (r *handReader) next() byte {
	r.rest = strings.TrimLeft(r.rest, " \t\r\n")
	return r.rest[0]
}

// value reads a value; the keys of a free one may differ in case only.
func (r *handReader) value(depth int, free bool) error {
	if depth > maxNesting {
		return errors.New("nested too deep")
	}
	switch r.next() {
	case '"':
		r.text()
	case '{', '[':
		return r.list(depth, free)
	default:
		r.rest = strings.TrimLeft(r.rest, "+-.0123456789Eabcdefghijklmnopqrstuvwxyz")
	}
	return nil
}

// list reads an object or an array.
func (r *handReader) list(depth int, free bool) error {
	end := byte('}')
	if r.rest[0] == '[' {
		end = ']'
	}
	if depth == maxNesting {
		return errors.New("nested too deep")
	}
	var keys []string
	for r.rest = r.rest[1:]; r.next() != end; {
		if r.rest[0] == ',' {
			r.rest = r.rest[1:]
			continue
		}
		key := ""
		if end == '}' {
			key = r.text()
			for _, other := range keys {
				if key == other || !free && strings.EqualFold(key, other) {
					return errors.New("has the key " + key + " twice")
				}
			}
			if len(keys) < 100 { // of very many, the first: this check takes its time
				keys = append(keys, key)
			}
			r.next()
			r.rest = r.rest[1:] // the colon
		}
		if err := r.value(depth+1, key == "annotations"); err != nil {
			return err
		}
	}
	r.rest = r.rest[1:]
	return nil
}

// text reads a string.
func (r *handReader) text() string {
	r.next()
	end := 1
	for r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	var s string
	_ = json.Unmarshal([]byte(r.rest[:end+1]), &s) // it is valid
	r.rest = r.rest[end+1:]
	return s
}
