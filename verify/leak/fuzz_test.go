package leak

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// FuzzContent: whatever a file says, each finding and reference is in it, and there is an end to them.
func FuzzContent(f *testing.F) {
	cases, err := filepath.Glob("testdata/content/*.txtar")
	require.NoError(f, err)
	for _, name := range cases {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		c, _ := readCase(f, data)
		for _, file := range c.files {
			f.Add(file.Path, file.Data)
		}
	}
	f.Add("a.yml", []byte("a: &a [*a]\nb: &b {image: *b}\nc: &c x\nimage: *c\n"))
	f.Add("a.yml", []byte("a: >\r\n  b\r\r\n  c/d:e\n\n\u2028\u0085x: \"c/d:e\n\n  \\\n c/d:f\"\n"))
	lock, err := carvel.ParseImagesLock([]byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nKind: ImagesLock\nimages:\n- image: registry.corp.io/team/web@" +
		testDigest + "\n  annotations: {kbld.carvel.dev/id: 'registry.corp.io/team/web:v1'}\n"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		for _, steps := range []kappctrl.Steps{nil, {{Kind: "ytt"}, {Kind: "kbld"}}, {{Kind: "helmTemplate", Paths: []string{"chart"}}, {Kind: "kbld", Paths: []string{"-", carvel.LockFile, path}}}} {
			c := &packageFiles{files: []content.File{{Path: path, Data: data}, {Path: carvel.LockFile}}, locks: bundleLock(lock), steps: steps}
			refs, findings := c.references()
			lines := 1 + bytes.Count(data, []byte("\n"))
			for _, r := range refs {
				require.True(t, r.Line >= 1 && r.Line <= lines, "%d of %d", r.Line, lines)
				require.True(t, r.Entry == -1 || r.Entry == 0)
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
		(&packageFiles{locks: bundleLock(lock)}).schemaDefaults(content.File{Path: path, Data: data})
	})
}

// FuzzNested: whatever a file says, what is found in it has a line of it.
func FuzzNested(f *testing.F) {
	for _, name := range []string{"installs", "installs-helm", "installs-inline", "nested-objects"} {
		data, err := os.ReadFile("testdata/repository/" + name + ".txtar")
		require.NoError(f, err)
		f.Add(data, false)
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, rendered bool) {
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r"))
		check := func(line int) { require.True(t, line >= 0 && line <= lines, "%d of %d", line, lines) }
		o := &nestedObjects{in: &traversal{}, rendered: rendered}
		o.note = func(line int, _ report.Finding) { check(line) }
		o.selects = func(i Install) { check(i.Line) }
		o.search("a.yml", data)
	})
}
