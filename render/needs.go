package render

import (
	"regexp"
	"slices"
	"strings"
)

// The forms in which a message names a data value, from the surest: the line of a template that
// reads it; the key that a validation begins with; the field that is missing; and in the text of an
// assert.fail, what looks like a key.
var needForms = []*regexp.Regexp{
	regexp.MustCompile(`(?:\b|\.)[vV]alues\.([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)`),
	regexp.MustCompile(`(?m)^ *([\w.-]+)\n +from: `),
	regexp.MustCompile(`has no \.(\w+) field or method`),
	regexp.MustCompile(`(?:^|[^\\\w]|\\n)((?:\w+\.)*\w+) is required`),
	regexp.MustCompile(`\b([a-z]+(?:[A-Z]+[a-z]*)+|[a-z]+(?:_[a-z]+)+)\b`),
}

// needs returns the data values that a message of ytt or helm asks for, as far as it names them.
func needs(message string) (keys []string) {
	for i, form := range needForms {
		text := message
		if i == len(needForms)-1 {
			_, text, _ = strings.Cut(message, "fail: fail: ")
			text, _, _ = strings.Cut(text, "\n")
		}
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			isFile := slices.Contains([]string{"yaml", "yml", "star"}, m[1])
			if !isFile && !slices.Contains(keys, m[1]) {
				keys = append(keys, m[1])
			}
		}
		if len(keys) > 0 {
			break
		}
	}
	return keys
}
