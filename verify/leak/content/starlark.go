package content

import (
	"strconv"
	"strings"
)

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
