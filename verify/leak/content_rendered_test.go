package leak

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/child"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/testdata/judges"
	"relocate/verify/leak/kappctrl"
)

var update = flag.Bool("update", false, "write testdata/rendered.txt again")

// TestContentRendered renders the packages of testdata/content. testdata/rendered.txt has what is found then:
// CASE, and a finding a line: level, code, basis, file:line, reference; "other" for one with other values only.
func TestContentRendered(t *testing.T) {
	t.Parallel()
	helm := judges.Program(t, "helm")
	cases, err := filepath.Glob("testdata/content/*.txtar")
	require.NoError(t, err)
	var got strings.Builder
	for _, file := range cases {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		if a := renderedCase(t, bytes.ReplaceAll(data, []byte("DIGEST"), []byte(testDigest)), helm); a != nil {
			fmt.Fprintln(&got, strings.TrimSuffix(filepath.Base(file), ".txtar"))
			for _, f := range a.out.findings.list {
				other := ""
				if strings.HasSuffix(f.Message, ", only with other values") {
					other = " other"
				}
				fmt.Fprintf(&got, "  %s %s %s %s:%d %s%s\n", f.Level, f.Code, cmp.Or(f.Basis, "-"), f.File, f.Line, f.Reference, other)
			}
		}
	}
	text := strings.ReplaceAll(got.String(), testDigest, "DIGEST")
	if *update {
		require.NoError(t, os.WriteFile("testdata/rendered.txt", []byte(text), 0o644))
	}
	want, err := os.ReadFile("testdata/rendered.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// renderedCase examines a case as the folder of its Package, whose images all end inside. It is nil for a case
// without a Package.
func renderedCase(t *testing.T, data []byte, helm string) *appFolder {
	t.Helper()
	c, _ := readCase(t, data)
	var doc *kappctrl.Document
	for _, f := range cutFiles(data) {
		if f.Path == "package.yml" {
			carvel.ReadPackageFile(f.Path, f.Data, func(d carvel.PackageDocument) bool {
				var err error
				doc, err = kappctrl.ReadDocument(f.Path, d)
				require.NoError(t, err)
				return false
			})
		}
	}
	if doc == nil {
		return nil
	}
	repo, err := name.NewRepository("registry.corp.io/app")
	require.NoError(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	renderer := &render.Renderer{Program: child.Program{Path: program}, Helm: helm}
	t.Cleanup(renderer.Close)
	u := use{at: position{pkg: "a", file: "package.yml"}, of: doc}
	a := &appFolder{
		in:   &traversal{opt: Options{RenderPackages: true, Renderer: renderer}},
		work: &work{parts: []part{{node: &bundle.Node{From: repo}}}, uses: []use{u}}, pkg: "a", files: c.files,
		named: map[int]bool{}, fetched: make([][]ytt.File, 1), locks: make([]*lock, 1),
	}
	for _, f := range c.files {
		a.fetched[0] = append(a.fetched[0], ytt.File{Path: f.Path, Data: f.Data})
	}
	if len(c.locks) > 0 {
		a.locks[0] = &lock{images: c.locks[0].Images, ends: make([]problem, len(c.locks[0].Images.Images))}
	}
	require.NoError(t, a.localiseLocks())
	a.nested()
	require.NoError(t, a.examine(t.Context(), group{uses: a.work.uses, pkg: "a"}))
	a.out.findings.sort(func(report.Finding) int { return 0 })
	return a
}
