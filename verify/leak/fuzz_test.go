package leak

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/carvel"
)

// FuzzTokens: what is recognised is in the text, at its place, and nothing that could belong to it touches it.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		"", "a/b:c", "--image=registry.corp.io:5000/team/web:v1,", "x@" + testDigest, "see a/b@" + testDigest + ".", "docker://a/b:c", "http://a/b:c", "a/b:c%2f", "ä/b:c", "a//b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := 0
		for at, ref := range tokens(text) {
			require.GreaterOrEqual(t, at, end)
			end = at + len(ref)
			require.Equal(t, ref, text[at:end])
			require.LessOrEqual(t, len(ref), maxReference)
			require.True(t, strings.ContainsAny(ref, "/@"), ref)
			if before := text[:at]; !strings.HasSuffix(before, "://") {
				require.False(t, before != "" && inToken[before[len(before)-1]], "%q in %q", ref, text)
			}
		}
	})
}

// FuzzContent: whatever a file says, each finding and reference is in it, and there is an end to them.
func FuzzContent(f *testing.F) {
	cases, err := filepath.Glob("testdata/content/*.txtar")
	require.NoError(f, err)
	for _, name := range cases {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		c, _ := readCase(f, data)
		for _, file := range c.files {
			f.Add(file.path, file.data)
		}
	}
	f.Add("a.yml", []byte("a: &a [*a]\nb: &b {image: *b}\nc: &c x\nimage: *c\n"))
	f.Add("a.yml", []byte("a: >\r\n  b\r\r\n  c/d:e\n\n\u2028\u0085x: \"c/d:e\n\n  \\\n c/d:f\"\n"))
	lock, err := carvel.ParseImagesLock([]byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: registry.corp.io/team/web@" +
		testDigest + "\n  annotations: {kbld.carvel.dev/id: 'registry.corp.io/team/web:v1'}\n"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		for _, steps := range [][]step{nil, {{kind: "ytt"}, {kind: "kbld"}}, {{kind: "helmTemplate", paths: []string{"chart"}}, {kind: "kbld", paths: []string{"-", lockFile, path}}}} {
			c := &content{files: []textFile{{path, data}, {lockFile, nil}}, lock: lock, steps: steps}
			refs, findings := c.references()
			lines := 1 + bytes.Count(data, []byte("\n"))
			for _, r := range refs {
				require.True(t, r.line >= 1 && r.line <= lines, "%d of %d", r.line, lines)
				require.True(t, r.entry == -1 || r.entry == 0)
			}
			for _, found := range findings {
				require.True(t, found.Line >= 0 && found.Line <= lines, "%d of %d", found.Line, lines)
				require.NotEmpty(t, found.Code)
				require.NotEmpty(t, found.Level)
				require.NotEmpty(t, found.Message)
			}
			require.LessOrEqual(t, len(findings), maxFindings+1)
			require.LessOrEqual(t, len(refs), maxReferences)
		}
		(&content{lock: lock}).schemaDefaults(textFile{path, data}, 1)
	})
}
