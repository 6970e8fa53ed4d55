package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"
)

var hostileStreams = []string{
	"", "---", "---\n---\n", "a: 1\n---\nb: 2\n", "# c\n---\na: 1\n...\nb: 2\n", "--- a\n--- {b: 1}\n", "%YAML 1.1\n---\na: 1\n", "a: |\n  x\n ---\n  y\n---\nb: 1",
	"a: 'x\n--- y'\n", "\ufeff---\na: 1\n", "a: 1\r\n---\r\nb: 2\r\n", "a: 1\r---\rb: 2\r", "a: 1\u2028---\u2028b: 2", "----\na\n", "---a\n", "#@ x = 1\na: #@ x\n",
}

func addYAML(f *testing.F) {
	for _, data := range seeds(f, yamlSuffixes, interopFiles, sampleFiles) {
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
		if checkYAML(data) == nil && oddBreak(string(data)) == 0 {
			if stream, ok := readStream(data); ok {
				require.Equal(t, stream, apart)
			}
		}
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

// FuzzPackageFile: whatever is in a file below packages/, there are not more packages, findings and
// fetches than the file can have, each at a line of the file, and each with what a Package needs.
func FuzzPackageFile(f *testing.F) {
	addYAML(f)
	f.Add([]byte("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nspec:\n  version: &v 1\n  template: {spec: {fetch: [&f {image: {url: a}}, *f, *f, {http: {url: b}}, {git: {url: c}}, {helmChart: {name: d}}, {inline: {}}, {}]}}\n"))
	f.Add([]byte("apiVersion: package.carvel.dev/v1alpha1\nkind: PackageVersion\nspec: {publicName: a, version: 1.0.0}\n---\napiVersion: package.carvel.dev/v1alpha1\nkind: Package\nspec: {displayName: a}\n"))
	kinds := []string{"", "inline", "image", "http", "git", "helmChart", "imgpkgBundle"}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 1 + bytes.Count(data, []byte("\n"))
		got := parsePackageFile(file{path: "packages/a.yml", data: data})
		for _, finding := range got.findings {
			require.True(t, finding.Line >= 1 && finding.Line <= lines, "line %d of %d: %s", finding.Line, lines, finding.Message)
			require.Equal(t, "packages/a.yml", finding.File)
			require.Less(t, len(finding.Message), 1500)
		}
		fetches := 0
		for _, p := range got.packages {
			require.NotEmpty(t, p.Version)
			require.True(t, p.Line >= 1 && p.Line <= lines)
			for _, fetch := range p.Fetches {
				fetches++
				require.True(t, slices.Contains(kinds, fetch.Kind), fetch.Kind)
				require.True(t, fetch.Line >= p.Line && fetch.Line <= lines, "line %d of %d", fetch.Line, lines)
				require.True(t, fetch.Kind != "inline" && fetch.Kind != "" || fetch.Reference == "")
			}
		}
		require.LessOrEqual(t, len(got.packages)+len(got.metadata)+fetches, got.size)
		require.LessOrEqual(t, len(got.findings), 4+2*got.size)
		documents := strings.Count("\n"+string(data), "\n---") + 1
		require.LessOrEqual(t, len(got.packages)+len(got.metadata), min(documents, maxDocuments))
	})
}

// FuzzVersions: versions have an order, whatever they are.
func FuzzVersions(f *testing.F) {
	for _, s := range [][3]string{{"1.0.0", "1.0.0-a", "1.0.0+b"}, {"", "-", "+"}, {"1.0", "1.00", "1.a"}, {"1.0.0+1.2", "1.0.0+1", "1.0.0-1.2+3"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return min(max(n, -1), 1) }
		require.Zero(t, CompareVersions(a, a))
		require.Equal(t, sign(CompareVersions(a, b)), -sign(CompareVersions(b, a)))
		if CompareVersions(a, b) <= 0 && CompareVersions(b, c) <= 0 {
			require.LessOrEqual(t, CompareVersions(a, c), 0, "%q ≤ %q ≤ %q", a, b, c)
		}
	})
}
