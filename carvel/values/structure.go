package values

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"relocate/internal/text"
)

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
	if c.branch == 0 {
		c.missing(properties, v, key)
	}
	required, _ := s["required"].([]any) // draft 3 had true in the property: kctrl ignores that, too
	for _, name := range required {
		if name, _ := name.(string); v.fields[name] == nil && !v.defaults[name] && c.spend(1) {
			c.note(v, join(key, name), "is required and not given")
		}
	}
}

// missing checks the defaults of properties that v does not have, and records them: they are there for
// required, also where that is in another branch of the schema.
func (c *checker) missing(properties map[string]any, v *value, key string) {
	v.defaults = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if v.fields[name] == nil {
			property, _ := properties[name].(map[string]any)
			_, v.defaults[name] = property["default"]
			c.absent(property, join(key, name))
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
func (c *checker) absent(s map[string]any, key string) {
	if !c.spend(1) {
		return
	}
	if given, there := s["default"]; there {
		for _, p := range c.try(s, fromJSON(given), key) {
			p.Message = "is not given, and its default does not satisfy the schema: " + p.Message
			c.add(p)
		}
		return
	}
	if s["nullable"] == true {
		return
	}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		c.absent(property, join(key, name))
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
