package values

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"relocate/internal/text"
)

// keyword is a keyword that is about values of one kind, or of all.
type keyword struct {
	name  string
	kind  string
	check func(c *checker, given any, s map[string]any, v *value, key string)
}

// isFor reports whether the keyword is about values of a kind.
func (k keyword) isFor(kind string) bool {
	return k.kind == "" || k.kind == kind || k.kind == "number" && kind == "integer"
}

// keywords are in the order in which their problems are listed.
var keywords = []keyword{
	{"enum", "", (*checker).enum},
	{"const", "", (*checker).constant}, // OpenAPI 3.1
	{"minLength", "string", limit("minLength", "must have at least %s, has %d", "character", runes)},
	{"maxLength", "string", limit("maxLength", "must have at most %s, has %d", "character", runes)},
	{"pattern", "string", (*checker).pattern},
	{"format", "string", (*checker).format},
	{"format", "number", (*checker).numberFormat},
	{"minimum", "number", (*checker).minimum},
	{"maximum", "number", (*checker).maximum},
	{"exclusiveMinimum", "number", (*checker).above},
	{"exclusiveMaximum", "number", (*checker).below},
	{"multipleOf", "number", (*checker).multipleOf},
	{"minItems", "array", limit("minItems", "must have at least %s, has %d", "item", items)},
	{"maxItems", "array", limit("maxItems", "must have at most %s, has %d", "item", items)},
	{"uniqueItems", "array", (*checker).unique},
	{"minProperties", "object", limit("minProperties", "must have at least %s, has %d", "key", keys)},
	{"maxProperties", "object", limit("maxProperties", "must have at most %s, has %d", "key", keys)},
}

// What limits count.
func runes(v *value) int { return utf8.RuneCountInString(v.text()) }
func items(v *value) int { return len(v.items) }
func keys(v *value) int  { return len(v.keys) }

// text returns the text of a string.
func (v *value) text() string {
	s, _ := v.scalar.(string)
	return s
}

// limit makes a check of a number of things.
func limit(name, message, noun string, size func(*value) int) func(*checker, any, map[string]any, *value, string) {
	least := strings.HasPrefix(name, "min")
	return func(c *checker, given any, _ map[string]any, v *value, key string) {
		n, ok := given.(float64)
		if !ok {
			c.unusable(v, key, name, "it is not a number")
			return
		}
		have := size(v)
		if least && float64(have) < n || !least && float64(have) > n {
			c.note(v, key, message, plural(n, noun), have)
		}
	}
}

func plural(n float64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n) + " " + noun
}

// maxAlternatives is how many values of an enum a message lists.
const maxAlternatives = 20

func (c *checker) enum(given any, _ map[string]any, v *value, key string) {
	list, ok := given.([]any)
	if !ok {
		c.unusable(v, key, "enum", "it is not a list")
		return
	}
	have := canonical(v.decoded())
	var names []string
	for _, one := range list {
		name := canonical(one)
		if !c.spend(1+len(name)/64) || name == have {
			return
		}
		names = append(names, text.Clip(name, 60))
	}
	if len(names) > maxAlternatives {
		names = append(names[:maxAlternatives], "…")
	}
	c.note(v, key, "must be one of %s", strings.Join(names, ", "))
}

func (c *checker) constant(given any, s map[string]any, v *value, key string) {
	c.enum([]any{given}, s, v, key)
}

// number returns a number exactly; nil for what is none, or is not finite.
func number(v any) *big.Float {
	f := new(big.Float).SetPrec(128)
	switch v := v.(type) {
	case int64:
		return f.SetInt64(v)
	case uint64:
		return f.SetUint64(v)
	case float64:
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			return f.SetFloat64(v)
		}
	}
	return nil
}

// compare compares a value with a bound. What is infinite, or no number, is neither above nor below.
func (c *checker) compare(name string, bound any, v *value, key string) (int, bool) {
	b, n := number(bound), number(v.scalar)
	if b == nil {
		c.unusable(v, key, name, "it is not a number")
	}
	if b == nil || n == nil {
		return 0, false
	}
	return n.Cmp(b), true
}

func (c *checker) minimum(given any, s map[string]any, v *value, key string) {
	order, ok := c.compare("minimum", given, v, key)
	switch exclusive := s["exclusiveMinimum"] == true; {
	case ok && exclusive && order <= 0:
		c.note(v, key, "must be more than %v", given)
	case ok && order < 0:
		c.note(v, key, "must be at least %v", given)
	}
}

func (c *checker) maximum(given any, s map[string]any, v *value, key string) {
	order, ok := c.compare("maximum", given, v, key)
	switch exclusive := s["exclusiveMaximum"] == true; {
	case ok && exclusive && order >= 0:
		c.note(v, key, "must be less than %v", given)
	case ok && order > 0:
		c.note(v, key, "must be at most %v", given)
	}
}

// above checks exclusiveMinimum, a number in OpenAPI 3.1; in 3.0 it belongs to minimum.
func (c *checker) above(given any, _ map[string]any, v *value, key string) {
	if _, ok := given.(bool); ok {
		return
	}
	if order, ok := c.compare("exclusiveMinimum", given, v, key); ok && order <= 0 {
		c.note(v, key, "must be more than %v", given)
	}
}

func (c *checker) below(given any, _ map[string]any, v *value, key string) {
	if _, ok := given.(bool); ok {
		return
	}
	if order, ok := c.compare("exclusiveMaximum", given, v, key); ok && order >= 0 {
		c.note(v, key, "must be less than %v", given)
	}
}

func (c *checker) multipleOf(given any, _ map[string]any, v *value, key string) {
	of, n := number(given), number(v.scalar)
	if of == nil || of.Sign() <= 0 {
		c.unusable(v, key, "multipleOf", "it is not a number above 0")
		return
	}
	if n == nil {
		return
	}
	q, _ := new(big.Float).Quo(n, of).Float64()
	if math.Abs(q-math.Round(q)) > 1e-9*max(1, math.Abs(q)) {
		c.note(v, key, "must be a multiple of %v", given)
	}
}

func (c *checker) unique(given any, _ map[string]any, v *value, key string) {
	if given != true {
		return
	}
	first := map[string]int{}
	for i, item := range v.items {
		have := canonical(item.decoded())
		if !c.spend(1 + len(have)/64) {
			return
		}
		if j, twice := first[have]; twice {
			c.note(item, fmt.Sprintf("%s[%d]", key, i), "is the same as [%d]; items must be unique", j)
		}
		first[have] = i
	}
}
