package choose_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/child"
	"relocate/internal/imgpkg"
	"relocate/render"
)

// digestOf is a digest by a letter.
func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// pkg is a Package that fetches the bundle with a digest by a letter.
func pkg(name, version, letter string) string {
	return fmt.Sprintf(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: %[1]s.%[2]s # its full name
spec:
  refName: %[1]s
  version: %[2]s
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: registry.example/%[1]s@%[3]s
`, name, version, digestOf(letter))
}

func metadata(name string) string {
	return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata:\n  name: " + name + "\nspec:\n  displayName: \"on\"\n"
}

// lockOf is a lock of the bundles of packages: name → letters.
func lockOf(t *testing.T, images ...[2]string) []byte {
	t.Helper()
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, image := range images {
		ref := "registry.example/" + image[0] + "@" + digestOf(image[1])
		text += "- image: " + ref + "\n  annotations:\n    kbld.carvel.dev/id: " + ref + "\n    example.com/note: kept\n"
	}
	return []byte(text)
}

// renderer runs ytt in the test binary.
func renderer(t *testing.T) *render.Renderer {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return &render.Renderer{Program: child.Program{Path: path}}
}

// read makes a bundle of files and reads it.
func read(t *testing.T, r *render.Renderer, files map[string][]byte) *choose.Repository {
	t.Helper()
	image, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	repo, err := choose.Read(t.Context(), image.Descriptor.Digest, bytes.NewReader(image.Layer), r)
	require.NoError(t, err)
	return repo
}

// derive chooses and derives.
func derive(t *testing.T, repo *choose.Repository, c choose.Choice) (*choose.Chosen, *choose.Derived, error) {
	t.Helper()
	chosen, err := repo.Choose(t.Context(), c, nil)
	require.NoError(t, err)
	d, err := repo.Derive(t.Context(), chosen)
	return chosen, d, err
}

// filesOf returns the files of a bundle.
func filesOf(t *testing.T, image *imgpkg.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	all := func(string, int64) bool { return true }
	require.NoError(t, imgpkg.ReadLayer(bytes.NewReader(image.Layer), all, func(p string, data []byte) error {
		files[p] = string(data)
		return nil
	}))
	return files
}

// TestDerive: the derived bundle has the chosen documents as they were, and the lock's entries of them.
func TestDerive(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*render.Renderer{"rendered": renderer(t), "as it is": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			several := "# Copyright\n---\n" + pkg("a.example.com", "1.0.0", "1") + "# after 1.0.0\n---\n# before 2.0.0\n" + pkg("a.example.com", "2.0.0", "2") + "---\n" + metadata("a.example.com")
			repo := read(t, r, map[string][]byte{
				carvel.LockFile:           lockOf(t, [2]string{"a.example.com", "1"}, [2]string{"a.example.com", "2"}, [2]string{"b.example.com", "3"}),
				"packages/a.yml":          []byte(several),
				"packages/b/package.yaml": []byte(strings.ReplaceAll(pkg("b.example.com", "1.0.0", "3"), "\n", "\r\n")),
				"packages/b/meta.yml":     []byte(metadata("b.example.com")),
				"README.md":               []byte("x"),
			})
			_, d, err := derive(t, repo, choose.Choice{Packages: []choose.Pattern{{Name: "a.*"}}, Latest: 1})
			require.NoError(t, err)
			assert.Equal(t, map[string]string{
				carvel.LockFile:  string(filesOf(t, d.Image)[carvel.LockFile]),
				"packages/a.yml": "---\n# before 2.0.0\n" + pkg("a.example.com", "2.0.0", "2") + "---\n" + metadata("a.example.com"),
			}, filesOf(t, d.Image))
			require.Len(t, d.Lock.Images, 1)
			assert.Equal(t, "kept", d.Lock.Images[0].Annotations["example.com/note"])
		})
	}
}
