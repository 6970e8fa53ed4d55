package printer_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/internal/printer"
	"relocate/internal/text"
)

// hostileTexts have what a terminal obeys, or what changes the direction of writing.
var hostileTexts = []string{"\x1b[31mred", "bell\a", "c1\u009b2J", "bidi\u202etxt.exe", "mark\u200e", "separator\u2028x", "del\x7f", "cr\rover", "\xff\xfe", "\U000e0001tag"}

// obeyed finds what a terminal does not only show: control characters, those that change the direction
// of writing, and line breaks that only some see. It is a list of its own, not that of package text.
var obeyed = regexp.MustCompile("[\x00-\x1f\x7f\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

func TestJSON(t *testing.T) {
	t.Parallel()
	for _, s := range hostileTexts {
		if !utf8.ValidString(s) {
			continue
		}
		b, err := printer.JSON(map[string]string{"k": s})
		require.NoError(t, err)
		for _, r := range string(b) {
			assert.True(t, r == '\n' || text.IsShown(r), "%q in %s", r, b)
		}
		var back map[string]string
		require.NoError(t, json.Unmarshal(b, &back))
		assert.Equal(t, s, back["k"], "the meaning stays")
	}
}

// TestGrid: cells of several lines, and text that would steer the terminal or make rows of its own.
func TestGrid(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printer.Grid(&out, [][]string{{"A", "B", "C"}, {"x", "- a\n- bb\n", "é"}, {"", "\x1b[2J", "a\tb\r\nc"}})
	assert.Equal(t, "A  B     C\nx  - a   é\n   - bb\n-  \ufffd[2J  a b\ufffd\n         c\n", out.String())
	assert.Equal(t, "aaa "+strings.Repeat("b", 76)+"\nc\n\nd", printer.Wrap("aaa "+strings.Repeat("b", 76)+" c\n\nd\n"))
	assert.Equal(t, strings.Repeat("x", 90), printer.Wrap(strings.Repeat("x", 90)))
	assert.Equal(t, "- a\n- b c", printer.List([]string{"a", "b\nc"}))
}

// TestFirst: a list that is too long says how many lines are left.
func TestFirst(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a\nb", printer.First([]string{"a", "b"}, 2, "; see x"))
	assert.Equal(t, "a\n  … and 2 more; see x", printer.First([]string{"a", "b", "c"}, 1, "; see x"))
}

// FuzzJSON: JSON for people has nothing that a terminal obeys but line feeds, and its meaning:
// it decodes to what went in, so that two values never look the same.
func FuzzJSON(f *testing.F) {
	for _, s := range hostileTexts {
		text, err := json.Marshal(map[string]any{s: []string{s}, "n": 1.5e300, "null": nil})
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`"\ud800"`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return
		}
		text, err := printer.JSON(v)
		require.NoError(t, err)
		require.False(t, obeyed.MatchString(strings.ReplaceAll(string(text), "\n", "")), "%q", text)
		var again any
		require.NoError(t, json.Unmarshal(text, &again), "%s", text)
		require.Equal(t, v, again)
	})
}

// FuzzYAML: YAML says what JSON says, and has nothing that a terminal obeys but line feeds.
func FuzzYAML(f *testing.F) {
	for _, s := range append(hostileTexts, "yes", "1.0", "---\na: b", "null", "0x1f", "a: b", " a ", "\n", "é", "2001-01-01", "<<", "- a", "%x", "a\r\nb", "\ta", "# a", "&a *b", "!!int 1", "\U0001f3f4\U000e0067", "\u0085", `\u202e`) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v := struct{ Text []string }{[]string{value, value}}
		asJSON, err := printer.JSON(v)
		require.NoError(t, err)
		asYAML, err := printer.YAML(v)
		require.NoError(t, err)
		var want, got struct{ Text []string }
		require.NoError(t, json.Unmarshal(asJSON, &want))
		require.NoError(t, yaml.UnmarshalStrict(asYAML, &got), "%q", asYAML)
		require.Equal(t, want, got)
		require.False(t, obeyed.MatchString(strings.ReplaceAll(string(asYAML), "\n", "")), "%q", asYAML)
	})
}

// FuzzTable: a table has a line for each row, whatever is in its cells, and nothing that a terminal
// obeys.
func FuzzTable(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s, "b", "c\nd")
	}
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var out strings.Builder
		printer.Table(&out, [][]string{{"A", "B"}, {a, b}, {b, c}})
		text := out.String()
		require.Equal(t, 3, strings.Count(text, "\n"))
		require.False(t, obeyed.MatchString(strings.ReplaceAll(text, "\n", "")), "%q", text)
	})
}
