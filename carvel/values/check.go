package values

import (
	"fmt"
	"maps"
	"regexp"
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
	patterns  map[string]*regexp.Regexp
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
		if allows, isBool := schema.(bool); isBool && !allows {
			c.note(v, key, "the schema allows no value here")
		} else if !isBool {
			c.unusable(v, key, "this part", "it is no schema")
		}
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
	if c.typesOnly {
		return
	}
	if s["deprecated"] == true && v.file != "" {
		c.warn(v, key, "is deprecated")
	}
	for _, k := range keywords {
		if given, there := s[k.name]; there && (k.kind == "" || k.kind == v.kind || k.kind == "number" && v.kind == "integer") {
			k.check(c, given, s, v, key)
		}
	}
	c.combined(s, v, key)
}

// typed checks the type, and reports whether the other keywords count: they do not for null.
func (c *checker) typed(s map[string]any, v *value, key string) bool {
	want := types(s)
	nullable := s["nullable"] == true || len(want) == 0 || slices.Contains(want, "null")
	if v.kind == "null" && nullable {
		return false
	}
	if len(want) == 0 || slices.Contains(want, v.kind) || v.kind == "integer" && slices.Contains(want, "number") {
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
	c.note(v, key, "must be %s, is %s%s", strings.Join(want, " or "), article(v.kind), quotes(want, v))
	return false
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
	switch {
	case v.plain && v.kind != "null" && slices.Contains(want, "a string"):
		return ": write it in quotes"
	case v.kind == "string" && !v.plain && len(v.text()) < 40:
		if kind, _ := kindOf(decodedScalar(v.text(), "")); slices.Contains(want, article(kind)) || kind == "integer" && slices.Contains(want, "a number") {
			return ": write it without quotes"
		}
	}
	return ""
}

// object checks the keys of v, and what is below them.
func (c *checker) object(s map[string]any, v *value, key string) {
	properties, _ := s["properties"].(map[string]any)
	for _, name := range v.keys {
		below, at := v.fields[name], join(key, name)
		if property, known := properties[name]; known {
			c.check(property, below, at)
		} else {
			c.unknown(s, properties, below, at)
		}
	}
	if c.typesOnly {
		return
	}
	required, isList := s["required"].([]any)
	if _, there := s["required"]; there && !isList {
		required = nil // as draft 3 had it, in a property: kctrl ignores it, too
	}
	for _, name := range required {
		name, _ := name.(string)
		property, _ := properties[name].(map[string]any)
		if _, hasDefault := property["default"]; v.fields[name] == nil && !hasDefault && c.spend(1) {
			c.note(v, join(key, name), "is required and not given")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if v.fields[name] == nil {
			c.absent(properties[name], join(key, name))
		}
	}
}

// unknown checks a key that is no property.
func (c *checker) unknown(s, properties map[string]any, v *value, key string) {
	more, there := s["additionalProperties"]
	if s["x-kubernetes-preserve-unknown-fields"] == true || s["patternProperties"] != nil {
		return
	}
	switch {
	case more == false:
		c.note(v, key, "is not a key of the schema%s", known(properties))
	case there && more != true:
		c.check(more, v, key)
	case !there && len(properties) > 0 && c.branch == 0:
		c.warn(v, key, "is not a key of the schema, which permits others%s", known(properties))
	}
}

// maxKnown is how many keys of a schema a message lists.
const maxKnown = 12

// known lists the keys that a schema has.
func known(properties map[string]any) string {
	if len(properties) == 0 || len(properties) > maxKnown {
		return ""
	}
	return ": " + text.Clip(strings.Join(slices.Sorted(maps.Keys(properties)), ", "), 300)
}

// absent checks the default of a key that is not given: a schema may have one that it refuses, so that
// a value must be given.
func (c *checker) absent(schema any, key string) {
	s, ok := schema.(map[string]any)
	if !ok || !c.spend(1) {
		return
	}
	if given, there := s["default"]; there {
		before := len(c.found)
		c.check(s, fromJSON(given), key)
		for i := range c.found[before:] {
			if p := &c.found[before+i]; !p.Warning {
				p.Message = "is not given, and its default does not satisfy the schema: " + p.Message
			}
		}
		return
	}
	if s["nullable"] == true {
		return
	}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		c.absent(properties[name], join(key, name))
	}
}

// array checks the items of v.
func (c *checker) array(s map[string]any, v *value, key string) {
	items, there := s["items"]
	for i, item := range v.items {
		if there {
			c.check(items, item, fmt.Sprintf("%s[%d]", key, i))
		}
	}
}

// try returns what a check finds, without adding it.
func (c *checker) try(schema any, v *value, key string) (errors []Problem) {
	found, seen := c.found, c.seen
	c.found, c.seen = nil, map[Problem]bool{}
	c.branch++
	c.check(schema, v, key)
	c.branch--
	errors = slices.DeleteFunc(c.found, func(p Problem) bool { return p.Warning })
	c.found, c.seen = found, seen
	return errors
}

// combined checks allOf, anyOf, oneOf and not.
func (c *checker) combined(s map[string]any, v *value, key string) {
	all, _ := s["allOf"].([]any)
	c.branch++
	for _, schema := range all {
		c.check(schema, v, key)
	}
	c.branch--
	if no, there := s["not"]; there && len(c.try(no, v, key)) == 0 && c.left >= 0 {
		c.note(v, key, "fits the schema of not, which it must not")
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		alternatives, ok := s[keyword].([]any)
		if !ok || len(alternatives) == 0 {
			continue
		}
		fits, nearest := 0, []Problem(nil)
		for _, schema := range alternatives {
			errors := c.try(schema, v, key)
			if len(errors) == 0 {
				fits++
			} else if nearest == nil || len(errors) < len(nearest) {
				nearest = errors
			}
		}
		switch {
		case c.left < 0:
		case fits == 0:
			p := nearest[0]
			p.Message = fmt.Sprintf("fits none of %d alternatives (%s of the schema); in the nearest, it %s", len(alternatives), keyword, p.Message)
			c.add(p)
		case fits > 1 && keyword == "oneOf":
			c.note(v, key, "fits %d alternatives of %d, must fit one (oneOf of the schema)", fits, len(alternatives))
		}
	}
}
