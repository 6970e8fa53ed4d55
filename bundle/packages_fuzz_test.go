package bundle

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"relocate/internal/yamlnode"
	"relocate/render"
	"relocate/testdata/seed"
)

// FuzzPackageFile: whatever is in a file below packages/, there are not more packages, findings and
// fetches than the file can have, each at a line of the file, and each with what a Package needs.
func FuzzPackageFile(f *testing.F) {
	for _, data := range seed.Files(f, "..", seed.YAML...) {
		f.Add(data)
	}
	f.Add([]byte("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nspec:\n  version: &v 1\n  template: {spec: {fetch: [&f {image: {url: a}}, *f, *f, {http: {url: b}}, {git: {url: c}}, {helmChart: {name: d}}, {inline: {}}, {}]}}\n"))
	f.Add([]byte("apiVersion: package.carvel.dev/v1alpha1\nkind: PackageVersion\nspec: {publicName: a, version: 1.0.0}\n---\napiVersion: package.carvel.dev/v1alpha1\nkind: Package\nspec: {displayName: a}\n"))
	kinds := []string{"", "inline", "image", "http", "git", "helmChart", "imgpkgBundle"}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 1 + bytes.Count(data, []byte("\n"))
		var got packageFiles
		packages := (*render.Renderer)(nil).Packages(v1.Hash{}, got.add)
		packages.Add("packages/a.yml", data)
		var err error
		got.findings, err = packages.End(t.Context())
		require.NoError(t, err)
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
		require.LessOrEqual(t, len(got.packages)+len(got.metadata), min(documents, yamlnode.MaxDocuments))
	})
}
