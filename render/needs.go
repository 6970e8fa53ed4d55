package render

import (
	"regexp"
	"slices"
)

// The forms in which a message names a data value: by the line of a template that reads it, and by
// the key that a validation begins with.
var (
	readValue   = regexp.MustCompile(`(?:data\.values|\.Values)((?:\.[A-Za-z_][\w-]*)+)`)
	invalidName = regexp.MustCompile(`(?m)^ *([\w.-]+)\n +from: `)
	noField     = regexp.MustCompile(`has no \.(\w+) field or method`)
)

// needs returns the data values that a message of ytt or helm asks for, as far as it names them.
func needs(message string) (keys []string) {
	add := func(key string) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, m := range readValue.FindAllStringSubmatch(message, -1) {
		add(m[1][1:])
	}
	for _, m := range invalidName.FindAllStringSubmatch(message, -1) {
		add(m[1])
	}
	if len(keys) == 0 {
		for _, m := range noField.FindAllStringSubmatch(message, -1) {
			add(m[1])
		}
	}
	return keys
}
