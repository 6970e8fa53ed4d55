package yamlnode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"

	"relocate/testdata/seed"
)

var hostileStreams = []string{
	"", "---", "---\n---\n", "a: 1\n---\nb: 2\n", "# c\n---\na: 1\n...\nb: 2\n", "--- a\n--- {b: 1}\n", "%YAML 1.1\n---\na: 1\n", "a: |\n  x\n ---\n  y\n---\nb: 1",
	"a: 'x\n--- y'\n", "\ufeff---\na: 1\n", "a: 1\r\n---\r\nb: 2\r\n", "a: 1\r---\rb: 2\r", "a: 1\u2028---\u2028b: 2", "----\na\n", "---a\n", "#@ x = 1\na: #@ x\n",
}

func addYAML(f *testing.F) {
	for _, data := range seed.Files(f, "../..", seed.YAML...) {
		f.Add(data)
	}
	for _, text := range hostileStreams {
		f.Add([]byte(text))
	}
}

// FuzzDocuments: the documents of a stream are parts of it, in order, at the lines that they say; what
// lies between them is comments; and no mapping that a reader of the stream sees is hidden from who
// reads the documents one by one.
func FuzzDocuments(f *testing.F) {
	addYAML(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		end := 0 // of the document before
		var apart []string
		for doc := range Documents(data) {
			at := end + bytes.Index(data[end:], doc.Text)
			require.GreaterOrEqual(t, at, end)
			require.True(t, bytes.HasPrefix(data[at:], doc.Text))
			require.False(t, hasContent(data[end:at]), "%q was left out", data[end:at])
			end = at + len(doc.Text)
			require.LessOrEqual(t, doc.Line, 1+bytes.Count(data[:at], []byte("\n")))
			var v any
			if yamlv2.Unmarshal(doc.Text, &v) == nil {
				apart = append(apart, mappings(v)...)
			}
		}
		require.False(t, hasContent(data[end:]))
		if Check(data) == nil && HiddenBreak(string(data)) == 0 {
			if stream, ok := readStream(data); ok {
				require.Equal(t, stream, apart)
			}
		}
	})
}

// FuzzJSONValue: JSONValue returns what decoding the JSON of a document does, or nothing; and it takes
// no document that ToJSON refuses.
func FuzzJSONValue(f *testing.F) {
	addYAML(f)
	for _, text := range []string{
		"a: 9007199254740992", "a: 9007199254740991", "a: -9007199254740993", "a: 1.5", "a: 1e3", "a: 1e17", "a: .inf", "a: .nan", "1: a", "true: a", "~: a", "a: 2001-01-01",
		"a: !!binary gA==", "a: !!binary YQ==", "a: &a [1]\nb: *a", "a: &a {b: 1}\nc: {<<: *a}", "a: 1\na: 2", "a: 0755", "a: 18446744073709551615", "[a, {b: c}]", "a: \"\\x00\"", "a: b\n...\nc: d",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok, err := JSONValue(data)
		raw, toErr := ToJSON(data)
		if err != nil {
			require.EqualError(t, toErr, err.Error())
		}
		if !ok {
			return
		}
		require.NoError(t, toErr)
		var want any
		require.NoError(t, json.Unmarshal(raw, &want))
		require.Equal(t, want, got)
	})
}

// readStream returns the mappings of a stream as the parser sees them; not ok when it is no YAML, or
// one of aliases.
func readStream(data []byte) (list []string, ok bool) {
	if bytes.ContainsAny(data, "*&") {
		return nil, false
	}
	d := yamlv2.NewDecoder(bytes.NewReader(data))
	for {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return list, true
		}
		if err != nil {
			return nil, false
		}
		list = append(list, mappings(v)...)
	}
}

// mappings returns v as text if it is a mapping.
func mappings(v any) []string {
	if m, ok := v.(map[any]any); ok {
		return []string{fmt.Sprint(m)}
	}
	return nil
}
