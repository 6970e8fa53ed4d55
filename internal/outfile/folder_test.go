package outfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/outfile"
)

// TestWriteFolder: what is up to date stays, what is new is written, a skeleton that was filled in is kept, and
// line ends of Windows are no change.
func TestWriteFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	list := []outfile.File{
		{Path: "a.yml", Text: []byte("a: 1\n")}, {Path: "secret.yml", Text: []byte("password: FILL-IN\n"), Skeleton: true},
		{Path: "nodes/containerd/ca.crt", Text: []byte("pem\n")},
	}
	write := func(written int, kept ...string) {
		t.Helper()
		f, err := outfile.WriteFolder(dir, list, false)
		require.NoError(t, err)
		assert.Equal(t, written, f.Written)
		assert.Len(t, f.Kept, len(kept))
		for _, path := range kept {
			assert.Contains(t, f.Kept, path)
		}
	}
	write(3)
	write(0)
	edit(t, filepath.Join(dir, "a.yml"), "\n", "\r\n")
	write(0)
	list[0].Text = []byte("a: 2\n")
	write(1)
	edit(t, filepath.Join(dir, "secret.yml"), "FILL-IN", "hunter2")
	list[1].Text = []byte("password: FILL-IN\nuser: FILL-IN\n")
	write(0, "secret.yml")
}

// TestWriteFolderRefused: a file that was changed, or that something else wrote, or that is not in the list any longer,
// stays as it is, and nothing is written.
func TestWriteFolderRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		says  string
	}{
		"changed": {func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "a.yml"), "1", "3") }, "a.yml was changed since emit wrote it"},
		"foreign": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yml"), []byte("a: 1\n"), 0o600))
		}, "a.yml was not written by emit"},
		"earlier": {func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "a.yml"), filepath.Join(dir, "nodes", "a.conf")))
		}, "nodes/a.conf was written by another emit"},
	} {
		dir := t.TempDir()
		list := []outfile.File{{Path: "a.yml", Text: []byte("a: 1\n")}, {Path: "nodes/b", Text: []byte("b: 1\n")}}
		_, err := outfile.WriteFolder(dir, list, false)
		require.NoError(t, err)
		c.spoil(t, dir)
		before := all(t, dir)
		_, err = outfile.WriteFolder(dir, []outfile.File{list[0], {Path: "nodes/b", Text: []byte("b: 2\n")}}, false)
		var refused *outfile.RefusedError
		require.ErrorAs(t, err, &refused, name)
		assert.Len(t, refused.Reasons, 1, name)
		assert.ErrorContains(t, err, c.says)
		assert.ErrorContains(t, err, "nothing was written")
		assert.Equal(t, before, all(t, dir), name)
	}
}

// TestWriteFolderPruned: files of an earlier call that are not in the list any longer are removed, with the folders that this
// leaves empty; nothing else is, and nothing at all where one of them was changed.
func TestWriteFolderPruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := []outfile.File{{Path: "a.yml", Text: []byte("a: 1\n")}, {Path: "secret.yml", Text: []byte("password: FILL-IN\n"), Skeleton: true},
		{Path: "nodes/x/y/ca.crt", Text: []byte("pem\n")}, {Path: "nodes/x/other", Text: []byte("o: 1\n")}}
	_, err := outfile.WriteFolder(dir, list, true)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine.yml"), []byte("mine"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nodes", "x", "mine"), []byte("mine"), 0o600))

	edit(t, filepath.Join(dir, "secret.yml"), "FILL-IN", "hunter2")
	before := all(t, dir)
	_, err = outfile.WriteFolder(dir, []outfile.File{{Path: "a.yml", Text: []byte("a: 2\n")}}, true)
	require.ErrorContains(t, err, "secret.yml was changed since emit wrote it, and is no longer needed: remove it yourself; nothing was written")
	assert.Equal(t, before, all(t, dir))

	edit(t, filepath.Join(dir, "secret.yml"), "hunter2", "FILL-IN")
	f, err := outfile.WriteFolder(dir, list[:1], true)
	require.NoError(t, err)
	assert.Equal(t, []string{"nodes/x/other", "nodes/x/y/ca.crt", "secret.yml"}, f.Removed)
	left := all(t, dir)
	assert.Len(t, left, 3)
	assert.Contains(t, left, filepath.Join(dir, "nodes", "x", "mine"))
	assert.NoDirExists(t, filepath.Join(dir, "nodes", "x", "y"))
}

// edit replaces what is in a file.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	first, rest, _ := strings.Cut(string(text), "\n")
	changed := first + "\n" + strings.ReplaceAll(rest, from, to) // the digest in the first line stays
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
}

// all returns the content of all files below dir.
func all(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	}))
	return files
}

// TestWriteFolderLinks: what is behind a link is neither written nor removed.
func TestWriteFolderLinks(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	nodes := []outfile.File{{Path: "nodes/a.yml", Text: []byte("a: 1\n")}}
	_, err := outfile.WriteFolder(outside, nodes, false)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(outside, "nodes"), filepath.Join(dir, "nodes")))

	f, err := outfile.WriteFolder(dir, []outfile.File{{Path: "b.yml", Text: []byte("b: 1\n")}}, true)
	require.NoError(t, err)
	assert.Empty(t, f.Removed)
	assert.FileExists(t, filepath.Join(outside, "nodes", "a.yml"))

	var refused *outfile.RefusedError
	_, err = outfile.WriteFolder(dir, []outfile.File{{Path: "nodes/a.yml", Text: []byte("a: 2\n")}}, true)
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, []string{"nodes/a.yml was not written by emit"}, refused.Reasons)
}
