package extract_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/extract"
	"relocate/testdata/interop"
)

// TestBundle: the files are those of the bundle; a folder that is not empty, and a bundle that cannot be read, leave
// everything as it was.
func TestBundle(t *testing.T) {
	t.Parallel()
	want := map[string]string{".imgpkg/images.yml": "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n", "config/a/b.yml": "a: b\n"}
	var src interop.Registry
	ref := src.Repo("reg.test/bundle").PutBundle(want)
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	r, err := extract.Bundle(t.Context(), &src, ref, dir)
	require.NoError(t, err)
	assert.Equal(t, &extract.Result{Files: 2, Bytes: int64(len(want[".imgpkg/images.yml"]) + len(want["config/a/b.yml"]))}, r)
	assert.Equal(t, want, files(t, dir))

	_, err = extract.Bundle(t.Context(), &src, ref, dir)
	require.ErrorIs(t, err, extract.ErrFolder)
	_, err = extract.Bundle(t.Context(), &src, ref, filepath.Join(dir, "config", "a", "b.yml"))
	require.ErrorIs(t, err, extract.ErrFolder)
	_, err = extract.Bundle(t.Context(), new(interop.Registry), ref, filepath.Join(parent, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	entries, err := os.ReadDir(parent)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "only the first folder")
	assert.Equal(t, want, files(t, dir))
}

// files returns the content of the files below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		relative, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(relative)] = string(text)
		return err
	}))
	return all
}
