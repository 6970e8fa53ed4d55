package content

import "strings"

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
	switch {
	case w == "true", w == "false":
		return value{text: w, kind: boolKind}
	case w == "nil":
		return value{kind: nullKind}
	case isBetween(w, '"', '"'), isBetween(w, '`', '`'):
		return value{text: w[1 : len(w)-1]}
	case isBetween(w, '(', ')'):
		return e.helm(w[1 : len(w)-1])
	case numberForm.FindString(w) == w && w != "":
		return value{text: w, kind: numberKind}
	}
	return e.field(strings.TrimPrefix(w, "$"))
}

func isBetween(s string, first, last byte) bool {
	return len(s) >= 2 && s[0] == first && s[len(s)-1] == last
}

// field returns the value at a path, such as .Values.image.
func (e *env) field(path string) value {
	if key, ok := strings.CutPrefix(path, ".Values."); ok && e.values != nil {
		if v, known := e.values[key]; known {
			return v
		}
		return value{kind: nullKind}
	}
	if key, ok := strings.CutPrefix(path, ".Chart."); ok {
		if v, known := e.chart[key]; known {
			return value{text: v}
		}
	}
	return unknownValue
}

// call calls a function of a template. The last argument is that from before the bar.
func call(name string, arguments []value) value {
	switch len(arguments) {
	case 0:
		return unknownValue
	case 1:
		return callWithOne(name, arguments[0])
	}
	switch {
	case name == "printf" && arguments[0].kind == textKind:
		return value{text: printf(arguments[0].text, arguments[1:])}
	case name == "default" && len(arguments) == 2:
		switch arguments[1].truth() {
		case never:
			return arguments[0]
		case always:
			return arguments[1]
		}
	}
	return unknownValue
}

// callWithOne calls a function of one argument. A literal stands for itself.
func callWithOne(name string, argument value) value {
	switch name {
	case "printf":
		if argument.kind == textKind {
			return value{text: printf(argument.text, nil)}
		}
	case "not":
		return not(argument)
	case "quote", "squote", "toString", "trim", "true", "false":
		return argument
	default:
		if nameForm.FindString(name) != name {
			return argument
		}
	}
	return unknownValue
}
