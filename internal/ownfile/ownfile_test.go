//go:build unix

package ownfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/ownfile"
)

// TestOpen: only a regular file of the user's own, with one name, that nobody else may write to is opened.
// Everything else is refused, and nothing is waited for.
func TestOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant func(t *testing.T, path string)
		says  string // empty: it is opened
	}{
		"own":      {write, ""},
		"readable": {mode(0o644), ""},
		"group":    {mode(0o620), "other users may write to it"},
		"world":    {mode(0o602), "other users may write to it"},
		"link": {func(t *testing.T, path string) {
			write(t, path+".target")
			require.NoError(t, os.Symlink(path+".target", path))
		}, "it is a symbolic link"},
		"names": {func(t *testing.T, path string) {
			write(t, path)
			require.NoError(t, os.Link(path, path+".other"))
		}, "it has other names (hard links)"},
		"folder": {func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) }, "it is not a regular file"},
		"fifo":   {func(t *testing.T, path string) { require.NoError(t, syscall.Mkfifo(path, 0o600)) }, "it is not a regular file"},
		"device": {func(t *testing.T, path string) {
			needRoot(t)
			if err := syscall.Mknod(path, syscall.S_IFCHR|0o600, 1<<8|3); err != nil {
				t.Skipf("no device can be made here: %v", err)
			}
		}, "it is not a regular file"},
		"another's": {func(t *testing.T, path string) {
			needRoot(t)
			write(t, path)
			require.NoError(t, os.Chown(path, 12345, 12345))
		}, "it belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			c.plant(t, path)
			for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR} {
				f, err := ownfile.Open(path, flag)
				if c.says == "" {
					require.NoError(t, err)
					require.NoError(t, f.Close())
					continue
				}
				require.ErrorIs(t, err, ownfile.ErrUnsafe)
				assert.EqualError(t, err, path+" is not safe to use: "+c.says)
				assert.EqualError(t, ownfile.Check(path), err.Error())
			}
		})
	}
	_, err := ownfile.Open(filepath.Join(t.TempDir(), "missing"), os.O_RDWR)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func write(t *testing.T, path string) { mode(0o600)(t, path) }

func mode(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
		require.NoError(t, os.Chmod(path, mode)) // whatever the umask is
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make this")
	}
}

// TestFolder: it is made for the user alone; one that others may write to, or that leads elsewhere, is refused.
func TestFolder(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	path, err := ownfile.Folder(base, "a", "b")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(base, "a", "b"), path)
	for _, path := range []string{filepath.Dir(path), path} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	}
	_, err = ownfile.Folder(base, "a", "b")
	require.NoError(t, err, "again")

	require.NoError(t, os.Symlink("a", filepath.Join(base, "link")))
	write(t, filepath.Join(base, "file"))
	require.NoError(t, os.Mkdir(filepath.Join(base, "open"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(base, "open"), 0o777))
	says := map[string]string{"link": "it is a symbolic link", "file": "it is not a folder", "open": "other users may write to it"}
	if os.Geteuid() == 0 {
		require.NoError(t, os.Mkdir(filepath.Join(base, "another's"), 0o700))
		require.NoError(t, os.Chown(filepath.Join(base, "another's"), 12345, 12345))
		says["another's"] = "it belongs to another user"
	}
	for name, says := range says {
		_, err := ownfile.Folder(base, name, "c")
		require.ErrorIs(t, err, ownfile.ErrUnsafe)
		assert.EqualError(t, err, filepath.Join(base, name)+" is not safe to use: "+says)
		assert.NoFileExists(t, filepath.Join(base, name, "c"))
		assert.NoDirExists(t, filepath.Join(base, name, "c"))
	}
}
