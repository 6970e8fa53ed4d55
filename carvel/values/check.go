package values

import (
	"fmt"
	"slices"
	"strings"

	"relocate/internal/text"
)

// checker is a run of Check.
type checker struct {
	found     []Problem
	seen      map[Problem]bool // of found
	left      int              // steps
	typesOnly bool             // of one file of several: types and unknown keys
	closed    bool             // the schema permits no other keys, as those that ytt writes
	branch    int              // depth of allOf, anyOf, oneOf and not: keys may be in another branch
	patterns  map[string]pattern
}

// note adds a problem of v at key. A default has no file.
func (c *checker) note(v *value, key, format string, args ...any) {
	c.add(Problem{File: v.file, Line: v.line, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(v *value, key, format string, args ...any) {
	c.add(Problem{File: v.file, Line: v.line, Key: key, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (c *checker) add(p Problem) {
	p.Message = text.Line(p.Message)
	if len(c.found) < maxProblems && !c.seen[p] {
		c.seen[p] = true
		c.found = append(c.found, p)
	}
}

// unusable says that a keyword of the schema is not checked.
func (c *checker) unusable(v *value, key, keyword, why string) {
	c.warn(v, key, "%s of the schema was not checked: %s", keyword, why)
}

// spend counts n steps, and reports whether any are left.
func (c *checker) spend(n int) bool {
	c.left -= n
	return c.left >= 0
}

// check checks v and all below it.
func (c *checker) check(schema any, v *value, key string) {
	if !c.spend(1) {
		return
	}
	s, ok := schema.(map[string]any)
	if !ok {
		c.constantSchema(schema, v, key)
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		c.unusable(v, key, "$ref "+text.Quote(ref), "references are not supported")
		return
	}
	if !c.typed(s, v, key) {
		return
	}
	switch v.kind {
	case "object":
		c.object(s, v, key)
	case "array":
		c.array(s, v, key)
	}
	if !c.typesOnly {
		c.keywords(s, v, key)
		c.combined(s, v, key)
	}
}

// constantSchema checks by what is no map: true allows all, and false nothing (OpenAPI 3.1).
func (c *checker) constantSchema(schema any, v *value, key string) {
	switch schema {
	case true:
	case false:
		c.note(v, key, "the schema allows no value here")
	default:
		c.unusable(v, key, "this part", "it is not a schema")
	}
}

// keywords checks all but types, and what is below v.
func (c *checker) keywords(s map[string]any, v *value, key string) {
	if s["deprecated"] == true && v.file != "" {
		c.warn(v, key, "is deprecated")
	}
	for _, k := range keywords {
		if given, there := s[k.name]; there && k.isFor(v.kind) {
			k.check(c, given, s, v, key)
		}
	}
}

// typed checks the type, and reports whether the other keywords count: they do not for null.
func (c *checker) typed(s map[string]any, v *value, key string) bool {
	want := types(s)
	if len(want) == 0 || s["nullable"] == true || slices.Contains(want, "null") {
		if v.kind == "null" {
			return false
		}
	}
	if len(want) == 0 || isOf(want, v.kind) {
		return true
	}
	// Many schemas that people write have a default of another type: null, or what their templates
	// take as well.
	if given, there := s["default"]; there && canonical(v.decoded()) == canonical(given) {
		return false
	}
	for i := range want {
		want[i] = article(want[i])
	}
	if v.kind == "null" && !c.closed {
		// Who wrote this schema likely left nullable out: packages give null where nothing is set.
		c.warn(v, key, "is null, and the schema asks for %s", strings.Join(want, " or "))
		return false
	}
	c.note(v, key, "must be %s, is %s%s", strings.Join(want, " or "), article(v.kind), quotes(types(s), v))
	return false
}

// isOf reports whether a value of a kind is of one of the types.
func isOf(types []string, kind string) bool {
	return slices.Contains(types, kind) || kind == "integer" && slices.Contains(types, "number")
}

// types returns the types that a schema names; none for any.
func types(s map[string]any) (list []string) {
	if s["x-kubernetes-int-or-string"] == true {
		return []string{"integer", "string"}
	}
	switch t := s["type"].(type) {
	case string:
		return []string{t}
	case []any: // OpenAPI 3.1
		for _, one := range t {
			if one, ok := one.(string); ok {
				list = append(list, one)
			}
		}
	}
	return list
}

// quotes says how to write a value of another type, if quotes make the difference.
func quotes(want []string, v *value) string {
	if v.plain && v.kind != "null" && slices.Contains(want, "string") {
		return ": write it in quotes"
	}
	if v.kind == "string" && !v.plain && len(v.text()) < 40 {
		if kind, _ := kindOf(decodedScalar(v.text(), "")); kind != "string" && isOf(want, kind) {
			return ": write it without quotes"
		}
	}
	return ""
}
