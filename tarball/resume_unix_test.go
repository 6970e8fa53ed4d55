//go:build unix

package tarball_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/ownfile"
	"relocate/tarball"
)

// TestResumeOthers: an unfinished archive or a journal that another may have put there is not gone on with,
// not replaced and not removed. Nothing waits for a FIFO.
func TestResumeOthers(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	base := m.halves(t, m.plan(t).Small)
	for how, change := range map[string]func(path string) error{
		"others may write": func(path string) error { return os.Chmod(path, 0o666) },
		"hard link":        func(path string) error { return os.Link(path, path+".other") },
		"fifo": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		},
		"another's": func(path string) error { return os.Chown(path, 12345, 12345) },
	} {
		for _, name := range []string{".part", ".part.journal"} {
			if how == "another's" && os.Geteuid() != 0 {
				continue // only root can give a file away
			}
			path := filepath.Join(memoryDir(t), "a.tar")
			require.NoError(t, os.WriteFile(path+".part", base.part, 0o600))
			require.NoError(t, os.WriteFile(path+".part.journal", base.journal, 0o600))
			require.NoError(t, change(path+name))
			before, err := os.Lstat(path + name)
			require.NoError(t, err)
			_, _, err = tarball.Resume(t.Context(), path, request, 1, nil)
			require.ErrorIs(t, err, ownfile.ErrUnsafe, "%s: %s", name, how)
			require.ErrorContains(t, err, path+name)
			_, err = tarball.Create(path, m.plan(t), request, 1)
			require.ErrorIs(t, err, ownfile.ErrUnsafe, "%s: %s", name, how)
			after, err := os.Lstat(path + name)
			require.NoError(t, err)
			assert.Equal(t, before, after, "%s: %s", name, how)
			assert.NoFileExists(t, path)
		}
	}
}

// TestModeOfArchive: an archive is its owner's alone, whatever its unfinished form allowed to be read.
func TestModeOfArchive(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	path := filepath.Join(memoryDir(t), "a.tar")
	m.cut(t, path, m.plan(t).Small)
	require.NoError(t, os.Chmod(path+".part", 0o744))
	_, err := m.resume(t, path, request)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestReplacedPart: what another put in the place of the unfinished archive, while it was written, does not
// become the archive.
func TestReplacedPart(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	path := filepath.Join(memoryDir(t), "a.tar")
	plan := m.plan(t)
	w, err := tarball.Create(path, plan, request, 1)
	require.NoError(t, err)
	put(t, w, 1, plan.Blobs, m)
	require.NoError(t, os.Remove(path+".part"))
	require.NoError(t, os.WriteFile(path+".part", []byte("another's"), 0o600))
	require.ErrorContains(t, w.Commit(), path+".part was replaced by another file")
	assert.NoFileExists(t, path)
}
