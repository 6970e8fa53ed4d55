package content

import (
	"regexp"
	"strings"
)

// env has what is known of the names in the expressions of one template.
type env struct {
	values    map[string]value  // by path below data.values or .Values
	chart     map[string]string // by name below .Chart
	variables map[string]string // of Starlark: name → expression

	evaluated map[string]value // of the variables
	depth     int              // of evaluations
}

// value is what an expression gives. hole stands in it for what is not known.
type value struct {
	text   string
	kind   kind
	values []value // of a tuple of arguments
}

type kind int

const (
	textKind kind = iota
	numberKind
	boolKind
	nullKind
	listKind // or a map, with something in it
)

// hole stands for unknown text. No text file has this character.
const hole = "\x00"

var unknownValue = value{text: hole}

// isKnown reports whether all of a value is known.
func (v value) isKnown() bool { return !strings.Contains(v.text, hole) && v.kind != listKind }

// truth returns what the value is as a condition.
func (v value) truth() truth {
	switch {
	case v.kind == listKind:
		return always
	case !v.isKnown():
		return unsure
	case v.kind == nullKind, v.text == "", v.kind == boolKind && v.text == "false", v.kind == numberKind && v.text == "0":
		return never
	}
	return always
}

// Limits on expressions.
const (
	maxExpression = 4096 // bytes
	maxDepth      = 30   // of parentheses and variables
)

// enter begins an evaluation. It returns false when there are too many, one in another.
func (e *env) enter(expr string) bool {
	e.depth++
	return len(expr) <= maxExpression && e.depth <= maxDepth
}

func (e *env) leave() { e.depth-- }

// condition returns what a condition gives. Values can change it unless it is a literal.
func (e *env) condition(expr string) truth {
	if t := (&env{}).expression(expr).truth(); t != unsure {
		return t
	}
	switch e.expression(expr).truth() {
	case always:
		return yes
	case never:
		return no
	}
	return unsure
}

// expression evaluates an expression of either language.
func (e *env) expression(expr string) value {
	if e.chart != nil || strings.HasPrefix(expr, ".") || strings.HasPrefix(expr, "$") || isHelmWord.MatchString(expr) {
		return e.helm(expr)
	}
	return e.starlark(expr)
}

var isHelmWord = regexp.MustCompile(`^(not\s+)?(true|false)$`)

func not(v value) value {
	switch v.truth() {
	case never:
		return value{text: "true", kind: boolKind}
	case always:
		return value{text: "false", kind: boolKind}
	}
	return unknownValue
}

var (
	nameForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	numberForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?`)
)

// maxComposed is the longest text that is composed.
const maxComposed = 2 * maxReference

// join joins texts, within the limit.
func join(parts ...string) string {
	s := strings.Join(parts, "")
	if len(s) > maxComposed {
		return hole
	}
	return s
}

// printf fills %s, %d and %v.
func printf(s string, list []value) string {
	var out []string
	for {
		before, after, ok := strings.Cut(s, "%")
		out = append(out, before)
		switch {
		case !ok:
			return join(out...)
		case after == "" || !strings.Contains("sdv", after[:1]):
			return join(append(out, hole)...)
		}
		v := unknownValue
		if len(list) > 0 {
			if list[0].kind <= numberKind {
				v = list[0]
			}
			list = list[1:]
		}
		out, s = append(out, v.text), after[1:]
	}
}
