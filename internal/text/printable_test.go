package text_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/text"
)

// hostileTexts have what a terminal obeys, or what changes the direction of writing.
var hostileTexts = []string{"\x1b[31mred", "bell\a", "c1\u009b2J", "bidi\u202etxt.exe", "mark\u200e", "separator\u2028x", "del\x7f", "cr\rover", "\xff\xfe", "\U000e0001tag"}

// obeyed finds what a terminal does not only show: control characters, those that change the direction
// of writing, and line breaks that only some see. It is a list of its own, not IsShown.
var obeyed = regexp.MustCompile("[\x00-\x1f\x7f\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, s := range hostileTexts {
		for _, r := range text.Printable(s) + text.Line(s) {
			assert.True(t, text.IsShown(r), "%q in %q", r, s)
		}
	}
	assert.Equal(t, "grüße, 世界\n\tok", text.Printable("grüße, 世界\n\tok"))
	assert.Equal(t, "one line", text.Line("one\n\t line "))
}

// FuzzPrintable: foreign text on a terminal has nothing that it obeys but the line feeds and tabs that
// Printable leaves; a line has not even those. What is harmless stays as it is.
func FuzzPrintable(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s)
	}
	f.Add("grüße, 世界\n\tok")
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Printable(s)
		require.False(t, obeyed.MatchString(strings.NewReplacer("\n", "", "\t", "").Replace(got)), "%q", got)
		require.True(t, utf8.ValidString(got))
		require.Equal(t, got, text.Printable(got))
		require.Equal(t, utf8.RuneCountInString(s), utf8.RuneCountInString(got))

		one := text.Line(s)
		require.False(t, obeyed.MatchString(one), "%q", one)
		require.Equal(t, one, text.Line(one))
		if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e || r < ' ' && r != '\n' && r != '\t' }) {
			require.Equal(t, s, got)
		}
	})
}
