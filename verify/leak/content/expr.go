package content

import (
	"regexp"
	"strconv"
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

// starlark evaluates an expression.
func (e *env) starlark(expr string) value {
	defer e.leave()
	if !e.enter(expr) {
		return unknownValue
	}
	p := &starlark{env: e, rest: expr}
	v := p.or()
	if p.space(); p.failed || p.rest != "" && p.rest[0] != '#' {
		return unknownValue
	}
	return v
}

// starlark parses the few expressions that compose text.
type starlark struct {
	env    *env
	rest   string
	depth  int
	failed bool
}

func (p *starlark) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take takes a token when it is next.
func (p *starlark) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok && isWord(token) && rest != "" && isWord(rest[:1]) {
		return false
	}
	if ok {
		p.rest = rest
	}
	return ok
}

func isWord(s string) bool {
	c := s[len(s)-1]
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *starlark) or() value {
	v := p.and()
	for p.take("or") {
		other := p.and()
		switch v.truth() {
		case never:
			v = other
		case unsure:
			v = unknownValue
		}
	}
	return v
}

func (p *starlark) and() value {
	v := p.not()
	for p.take("and") {
		other := p.not()
		switch v.truth() {
		case always:
			v = other
		case unsure:
			if v = unknownValue; other.truth() == never {
				v = value{text: "false", kind: boolKind}
			}
		}
	}
	return v
}

func (p *starlark) not() value {
	if !p.take("not") {
		return p.sum()
	}
	return not(p.not())
}

func not(v value) value {
	switch v.truth() {
	case never:
		return value{text: "true", kind: boolKind}
	case always:
		return value{text: "false", kind: boolKind}
	}
	return unknownValue
}

func (p *starlark) sum() value {
	v := p.product()
	for p.take("+") {
		other := p.product()
		if v.kind != textKind || other.kind != textKind {
			return p.fail()
		}
		v = value{text: join(v.text, other.text)}
	}
	return v
}

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

func (p *starlark) product() value {
	v := p.postfix()
	for p.take("%") {
		arguments := p.postfix()
		if v.kind != textKind {
			return p.fail()
		}
		if arguments.kind != listKind {
			arguments = value{values: []value{arguments}, kind: listKind}
		}
		v = value{text: printf(v.text, arguments.values)}
	}
	return v
}

func (p *starlark) postfix() value {
	v := p.primary()
	for !p.failed && p.take(".") {
		name := p.name()
		arguments, named, isCall := p.arguments()
		switch {
		case !isCall:
			return p.fail()
		case name == "format" && v.kind == textKind:
			v = value{text: format(v.text, arguments, named)}
		default:
			v = unknownValue
		}
	}
	return v
}

var (
	nameForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	numberForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?`)
)

func (p *starlark) name() string {
	p.space()
	name := nameForm.FindString(p.rest)
	p.rest = p.rest[len(name):]
	return name
}

func (p *starlark) fail() value {
	p.failed = true
	return unknownValue
}

func (p *starlark) primary() value {
	if p.space(); p.rest == "" || p.depth == maxDepth {
		return p.fail()
	}
	p.depth++
	defer func() { p.depth-- }()
	switch c := p.rest[0]; {
	case c == '"' || c == '\'':
		return p.literal(c)
	case c >= '0' && c <= '9':
		n := numberForm.FindString(p.rest)
		p.rest = p.rest[len(n):]
		return value{text: n, kind: numberKind}
	case c == '(':
		list, _, _ := p.arguments()
		if len(list) == 1 {
			return list[0]
		}
		return value{values: list, kind: listKind}
	}
	return p.named()
}

// literal takes a string in quotes.
func (p *starlark) literal(quote byte) value {
	var s strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return value{text: s.String()}
		case c == '\\' && i+1 < len(p.rest):
			i++
			s.WriteByte(p.rest[i])
		default:
			s.WriteByte(c)
		}
	}
	return p.fail()
}

// arguments takes a list in parentheses. The names are those of keyword arguments.
func (p *starlark) arguments() (list []value, named map[string]value, ok bool) {
	if !p.take("(") {
		return nil, nil, false
	}
	named = map[string]value{}
	for !p.failed && !p.take(")") {
		p.space()
		name := nameForm.FindString(p.rest)
		after := strings.TrimLeft(p.rest[len(name):], " ")
		if name != "" && strings.HasPrefix(after, "=") && !strings.HasPrefix(after, "==") {
			p.rest = after[1:]
			named[name] = p.or()
		} else {
			list = append(list, p.or())
		}
		if !p.take(",") && !strings.HasPrefix(p.rest, ")") {
			p.fail()
		}
	}
	return list, named, true
}

// named takes a name, with what is below it.
func (p *starlark) named() value {
	name := p.name()
	if name == "" {
		return p.fail()
	}
	full := name
	for strings.HasPrefix(p.rest, ".") {
		part := nameForm.FindString(p.rest[1:])
		if strings.HasPrefix(p.rest[1+len(part):], "(") || part == "" {
			break // a method
		}
		full += "." + part
		p.rest = p.rest[1+len(part):]
	}
	switch full {
	case "None":
		return value{kind: nullKind}
	case "True", "False":
		return value{text: strings.ToLower(full), kind: boolKind}
	}
	if arguments, _, isCall := p.arguments(); isCall {
		if full == "str" && len(arguments) == 1 && arguments[0].kind <= numberKind {
			return value{text: arguments[0].text}
		}
		return unknownValue
	}
	if p.take("[") { // an item
		return p.fail()
	}
	return p.env.named(full)
}

// named returns the value of a name.
func (e *env) named(name string) value {
	if key, ok := strings.CutPrefix(name, "data.values."); ok {
		if v, known := e.values[key]; known {
			return v
		}
		return unknownValue
	}
	expr, isVariable := e.variables[name]
	if !isVariable {
		return unknownValue
	}
	v, done := e.evaluated[name]
	if !done {
		e.evaluated[name] = unknownValue // of a variable that is defined by itself
		v = e.starlark(expr)
		e.evaluated[name] = v
	}
	return v
}

// format is the method of a string of that name.
func format(s string, list []value, named map[string]value) string {
	var out []string
	next := 0
	for {
		before, after, ok := strings.Cut(s, "{")
		out = append(out, before)
		if !ok {
			return join(out...)
		}
		field, rest, ok := strings.Cut(after, "}")
		if !ok {
			return hole
		}
		s = rest
		v, known := named[field]
		if i, err := strconv.Atoi(field); field == "" || err == nil {
			if field == "" {
				i = next
				next++
			}
			if known = i >= 0 && i < len(list); known {
				v = list[i]
			}
		}
		if !known || v.kind > numberKind {
			v = unknownValue
		}
		out = append(out, v.text)
	}
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

// helm evaluates a pipeline of a chart's template.
func (e *env) helm(pipeline string) value {
	defer e.leave()
	if !e.enter(pipeline) {
		return unknownValue
	}
	var v *value
	for _, command := range cutOutside(pipeline, '|') {
		var words []value
		parts := cutOutside(strings.TrimSpace(command), ' ')
		for i, word := range parts {
			if i == 0 && nameForm.FindString(word) == word && word != "true" && word != "false" && word != "nil" {
				continue // a function
			}
			words = append(words, e.word(word))
		}
		if v != nil {
			words = append(words, *v)
		}
		result := call(parts[0], words)
		v = &result
	}
	return *v
}

// cutOutside cuts text at each separator outside of quotes and parentheses. It leaves out empty parts, but returns one
// part at least.
func cutOutside(s string, separator byte) (parts []string) {
	start, depth, quote := 0, 0, byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == separator && depth == 0:
			if i > start {
				parts = append(parts, s[start:i])
			}
			start = i + 1
		}
	}
	if rest := s[start:]; rest != "" || parts == nil {
		parts = append(parts, rest)
	}
	return parts
}

// word evaluates an argument of a function of a template.
func (e *env) word(w string) value {
	path := strings.TrimPrefix(w, "$")
	switch {
	case w == "true", w == "false":
		return value{text: w, kind: boolKind}
	case w == "nil":
		return value{kind: nullKind}
	case len(w) >= 2 && (w[0] == '"' || w[0] == '`') && w[len(w)-1] == w[0]:
		return value{text: w[1 : len(w)-1]}
	case len(w) >= 2 && w[0] == '(' && w[len(w)-1] == ')':
		return e.helm(w[1 : len(w)-1])
	case numberForm.FindString(w) == w && w != "":
		return value{text: w, kind: numberKind}
	case strings.HasPrefix(path, ".Values."):
		if v, known := e.values[strings.TrimPrefix(path, ".Values.")]; known {
			return v
		}
		if e.values != nil {
			return value{kind: nullKind}
		}
	case strings.HasPrefix(path, ".Chart."):
		if v, known := e.chart[strings.TrimPrefix(path, ".Chart.")]; known {
			return value{text: v}
		}
	}
	return unknownValue
}

// call calls a function of a template. The last argument is that from before the bar.
func call(name string, arguments []value) value {
	n := len(arguments)
	switch {
	case n == 0:
		return unknownValue
	case name == "printf" && arguments[0].kind == textKind:
		return value{text: printf(arguments[0].text, arguments[1:])}
	case name == "default" && n == 2:
		switch arguments[1].truth() {
		case never:
			return arguments[0]
		case always:
			return arguments[1]
		}
	case name == "not" && n == 1:
		return not(arguments[0])
	case (name == "quote" || name == "squote" || name == "toString" || name == "trim") && n == 1:
		return arguments[0]
	case nameForm.FindString(name) != name || name == "true" || name == "false":
		if n == 1 {
			return arguments[0]
		}
	}
	return unknownValue
}
