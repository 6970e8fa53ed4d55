package values

import (
	"regexp"
	"regexp/syntax"

	"relocate/internal/text"
)

const (
	// maxPattern is how many steps a pattern may have: those of packages have a few hundred at most. A
	// repetition counts as often as it repeats, and takes 40 bytes for each step when it is compiled.
	maxPattern = 5000

	// maxPatterns is how many patterns are kept compiled.
	maxPatterns = 50
)

// pattern is a regular expression of a schema.
type pattern struct {
	compiled *regexp.Regexp // nil: unusable
	reason   string         // why it is
	steps    int
}

// newPattern compiles a pattern, unless that takes too much.
func newPattern(written string) pattern {
	tree, err := syntax.Parse(written, syntax.Perl)
	if err != nil {
		return pattern{reason: "it needs another regular expression engine"}
	}
	n := stepsOf(tree)
	if n > maxPattern {
		return pattern{reason: "it is too large"}
	}
	compiled, err := regexp.Compile(written)
	if err != nil {
		return pattern{reason: "it needs another regular expression engine"}
	}
	return pattern{compiled: compiled, steps: n}
}

// stepsOf counts the steps of a compiled expression, roughly and at most to a little over maxPattern.
func stepsOf(tree *syntax.Regexp) int {
	n := 1 + len(tree.Rune)
	for _, sub := range tree.Sub {
		if n += stepsOf(sub); n > maxPattern {
			break
		}
	}
	if tree.Op == syntax.OpRepeat {
		n *= max(1, tree.Min, tree.Max)
	}
	return min(n, maxPattern+1)
}

func (c *checker) pattern(given any, _ map[string]any, v *value, key string) {
	written, ok := given.(string)
	if !ok {
		c.unusable(v, key, "pattern", "it is not a string")
		return
	}
	if !c.spend(1) {
		return
	}
	p, known := c.patterns[written]
	if !known {
		if c.patterns == nil || len(c.patterns) == maxPatterns {
			c.patterns = map[string]pattern{}
		}
		p = newPattern(written)
		c.patterns[written] = p
		c.spend(len(written) + p.steps)
	}
	switch s := v.text(); {
	case p.compiled == nil:
		c.unusable(v, key, "pattern "+text.Quote(written), p.reason)
	case c.spend(1+p.steps*(len(s)+1)/64) && !p.compiled.MatchString(s):
		c.note(v, key, "does not match the pattern %s", text.Quote(written))
	}
}
