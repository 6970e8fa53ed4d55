package choose_test

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
)

var bundleImage = regexp.MustCompile(`imgpkgBundle:\s+image: (\S+)`)

// TestTCE chooses from the Packages of Tanzu Community Edition. RELOCATE_TEST_LAB is the lab's folder, beside
// which they are.
func TestTCE(t *testing.T) {
	t.Parallel()
	lab := os.Getenv("RELOCATE_TEST_LAB")
	if lab == "" {
		t.Skip("RELOCATE_TEST_LAB does not name the lab, beside which the definitions of Tanzu Community Edition are")
	}
	folder := filepath.Join(lab, "..", "tce", "addons", "packages")
	files := map[string][]byte{}
	lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, pattern := range []string{"*/*/package.yaml", "*/metadata.yaml"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		require.NoError(t, err)
		for _, file := range found {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			name, _ := filepath.Rel(folder, file)
			files["packages/"+filepath.ToSlash(name)] = data
			if m := bundleImage.FindSubmatch(data); m != nil {
				digest := digestOf("0")
				if _, d, has := strings.Cut(string(m[1]), "@"); has {
					digest = d
				}
				lock += "- image: registry.example/packages@" + digest + "\n  annotations: {kbld.carvel.dev/id: " + string(m[1]) + "}\n"
			}
		}
	}
	files[carvel.LockFile] = []byte(lock)
	repo := read(t, renderer(t), files)
	assert.Empty(t, repo.Findings)
	require.Len(t, repo.Packages, 188)

	newest := map[string]string{} // by another rule: the last in order of the numbers of its versions
	for _, p := range repo.Packages {
		if !strings.Contains(strings.Split(p.Version, "+")[0], "-") && carvel.CompareVersions(p.Version, cmp.Or(newest[p.Name], "0.0.0-0")) > 0 {
			newest[p.Name] = p.Version
		}
	}
	chosen, d, err := derive(t, repo, choose.Choice{Latest: 1})
	require.NoError(t, err)
	got := map[string]string{}
	for _, v := range chosen.Versions {
		assert.Empty(t, got[v.Name])
		got[v.Name] = v.Version
	}
	assert.Equal(t, newest, got)
	assert.Equal(t, 187, len(chosen.Left)+len(newest), "one version is there twice")
	want, locked := map[string]bool{}, map[string]bool{}
	for _, v := range chosen.Versions {
		for _, f := range v.Fetches {
			want[f.Digest.String()] = true
		}
	}
	for _, digest := range digestsOf(lockIn(t, d)) {
		locked[digest] = true
	}
	assert.Equal(t, want, locked)
	packages := 0
	for file, text := range filesOf(t, d) {
		if file != carvel.LockFile {
			assert.Equal(t, string(files[file]), text, "each file has one document")
			packages += strings.Count(text, "\nkind: Package\n")
		}
	}
	assert.Equal(t, len(newest), packages)

	// Each package by itself, all versions.
	for name := range newest {
		chosen, _, err := derive(t, repo, choose.Choice{Packages: []choose.Pattern{{Name: name}}, Prereleases: true})
		require.NoError(t, err)
		var want []string
		for _, p := range repo.Packages {
			if p.Name == name && !slices.Contains(want, p.Version) {
				want = append(want, p.Version)
			}
		}
		assert.Len(t, chosen.Versions, len(want), name)
	}
}
