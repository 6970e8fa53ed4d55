package values

import (
	"fmt"
	"slices"
)

// try returns the errors that a check finds, without adding them.
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
		c.note(v, key, "must not fit the schema under not")
	}
	c.alternatives("anyOf", s, v, key)
	c.alternatives("oneOf", s, v, key)
}

// alternatives checks anyOf or oneOf.
func (c *checker) alternatives(keyword string, s map[string]any, v *value, key string) {
	list, _ := s[keyword].([]any)
	fits, nearest := 0, []Problem(nil)
	for _, schema := range list {
		errors := c.try(schema, v, key)
		if len(errors) == 0 {
			fits++
		} else if nearest == nil || len(errors) < len(nearest) {
			nearest = errors
		}
	}
	switch {
	case len(list) == 0 || c.left < 0:
	case fits == 0:
		p := nearest[0]
		p.Message = fmt.Sprintf("fits none of %d alternatives (%s of the schema); in the nearest, it %s",
			len(list), keyword, p.Message)
		c.add(p)
	case fits > 1 && keyword == "oneOf":
		c.note(v, key, "fits %d of %d alternatives, must fit exactly one (oneOf of the schema)", fits, len(list))
	}
}
