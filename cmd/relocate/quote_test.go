package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostileTexts have what a terminal obeys, or what changes the direction of writing.
var hostileTexts = []string{"\x1b[31mred", "bell\a", "c1\u009b2J", "bidi\u202etxt.exe", "mark\u200e", "separator\u2028x", "del\x7f", "cr\rover", "\xff\xfe", "\U000e0001tag"}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, s := range hostileTexts {
		for _, r := range printable(s) + line(s) {
			assert.True(t, isShown(r), "%q in %q", r, s)
		}
	}
	assert.Equal(t, "grüße, 世界\n\tok", printable("grüße, 世界\n\tok"))
	assert.Equal(t, "one line", line("one\n\t line "))
}

func TestPrintableJSON(t *testing.T) {
	t.Parallel()
	for _, s := range hostileTexts {
		if !utf8.ValidString(s) {
			continue
		}
		b, err := encodeJSON(map[string]string{"k": s})
		require.NoError(t, err)
		for _, r := range string(b) {
			assert.True(t, r == '\n' || isShown(r), "%q in %s", r, b)
		}
		var back map[string]string
		require.NoError(t, json.Unmarshal(b, &back))
		assert.Equal(t, s, back["k"], "the meaning stays")
	}
}
