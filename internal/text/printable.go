package text

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// IsShown reports whether a terminal displays r and does nothing else: r is not a control character
// and does not change the direction of writing.
func IsShown(r rune) bool { return unicode.IsPrint(r) }

// Printable replaces what a terminal would obey: errors and tables have text from registries and
// archives. Line feeds and tabs stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || IsShown(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Line puts foreign text on one line, and replaces what a terminal would obey.
func Line(s string) string { return Printable(strings.Join(strings.Fields(s), " ")) }

// PrintableJSON escapes in JSON what Printable replaces, so that it keeps its meaning.
func PrintableJSON(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r == '\n' || IsShown(r):
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
