package kbld

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// pieces make strings that JSON and YAML write in different ways.
var pieces = []string{
	"", " ", "a", "image", "~", "null", "y", "on", "<<", "1", "0755", "1e3", "1:30", "2001-01-01", "0x1f", ".inf", "=", "-", "- ", "?", "#", " #", ": ", "&a", "*a", "!t", "%", "@", "`", "{", "]", ",",
	"'", "\"", "\\", "\t", "\n", "\n\n", "\r", "\x00", "\x1b", "\x7f", "\u0085", "\u00a0", "é", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "😀", "<b>", "---", "...", strings.Repeat("long ", 40), strings.Repeat("\u2028", 200),
}

var numbers = []string{"0", "-0", "1", "-1", "1.5", "1e-7", "1e21", "123456789012", "9007199254740991", "9007199254740992", "-9007199254740993", "18446744073709551615", "1e20", "0.1", "3.0"}

// document returns a random document, as kbld reads it from JSON.
func document(r *rand.Rand) (content map[string]any) {
	text := func() (s string) {
		for range r.IntN(4) {
			s += pieces[r.IntN(len(pieces))]
		}
		return s
	}
	var value func(depth int) any
	value = func(depth int) any {
		switch n := r.IntN(8); {
		case n < 2 && depth < 4:
			m := map[string]any{}
			for range r.IntN(4) {
				m[text()] = value(depth + 1)
			}
			return m
		case n == 2 && depth < 4:
			list := []any{}
			for range r.IntN(4) {
				list = append(list, value(depth+1))
			}
			return list
		case n == 3:
			return json.Number(numbers[r.IntN(len(numbers))])
		case n == 4:
			return []any{nil, true, false}[r.IntN(3)]
		}
		return text()
	}
	written, _ := json.Marshal(map[string]any{"a": value(0), text(): value(0)})
	_ = json.Unmarshal(written, &content)
	return content
}

// TestEncode holds that documents are written as the library writes them, whichever way is taken.
func TestEncode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	short := 0
	for range 20_000 {
		content := document(r)
		want, wantErr := yaml.Marshal(content)
		if isUnchanged(content) {
			short++
		}
		got, err := encode(content)
		require.Equal(t, wantErr, err)
		require.Equal(t, string(want), string(got))
	}
	assert.Greater(t, short, 4_000)
	assert.Less(t, short, 19_000)
}

// BenchmarkRun runs kbld on a stream such as an operator's: definitions, and something with an image.
func BenchmarkRun(b *testing.B) {
	const field = "              field%d:\n                description: 'Says what it is for: see https://example.com/docs#field'\n                type: integer\n                maximum: 65535\n"
	var stream strings.Builder
	for range 20 {
		stream.WriteString("---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec:\n  versions:\n  - name: v1\n    schema:\n      openAPIV3Schema:\n          properties:\n")
		for i := range 400 {
			fmt.Fprintf(&stream, field, i)
		}
	}
	stream.WriteString("---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: example.com/app@sha256:" + strings.Repeat("0", 64) + "\n")
	inputs := []Input{{Path: "-", Data: []byte(stream.String())}}
	b.SetBytes(int64(stream.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(inputs); err != nil {
			b.Fatal(err)
		}
	}
}
