//go:build unix

package outfile_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/outfile"
)

// TestWrite: a file is replaced where it is, and a link to it stays a link.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("file", link))
	for _, path := range []string{file, link, file} {
		require.NoError(t, outfile.Check(path))
		require.NoError(t, outfile.Write(path, []byte(path)))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, path, string(got))
	}
	assert.True(t, outfile.IsSame(file, link))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSymlink, info.Mode().Type())
	assert.ElementsMatch(t, []string{"file", "link"}, namesIn(t, dir))
}

// TestWriteRefused: what cannot be written stays as it is.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	read, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, outfile.Write(pipe, []byte("text")))
	got, err := io.ReadAll(read)
	require.NoError(t, err)
	assert.Equal(t, "text", string(got))
	require.NoError(t, read.Close())
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("none", link))
	for _, path := range []string{link, dir} {
		require.ErrorIs(t, outfile.Check(path), outfile.ErrNotRegular)
		require.ErrorContains(t, outfile.Write(path, nil), "write "+path)
	}
	assert.ElementsMatch(t, []string{"pipe", "link"}, namesIn(t, dir))
}

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
