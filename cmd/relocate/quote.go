package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// isShown reports whether a terminal shows r, and does nothing else: no control characters, no change
// of the direction of writing.
func isShown(r rune) bool { return unicode.IsPrint(r) }

// printable replaces what a terminal would obey: text from registries and archives is in errors and
// tables. Line feeds and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || isShown(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// line makes one line of foreign text that a terminal only shows.
func line(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printableJSON escapes in JSON what printable replaces, so that it keeps its meaning.
func printableJSON(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r == '\n' || isShown(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, "\\u%04x\\u%04x", high, low)
		default:
			fmt.Fprintf(&out, "\\u%04x", r)
		}
	}
	return out.Bytes()
}
