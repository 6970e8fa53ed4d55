package tarball

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/volume"
)

// tmpfs mounts a file system of 1 MiB, which only root can do.
func tmpfs(t *testing.T, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "size=1m"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

func planOf(size int64) *bundle.Plan {
	d := v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: digest.Of(nil)}
	return &bundle.Plan{Graph: &bundle.Graph{}, Blobs: []bundle.Blob{{Descriptor: &d}}}
}

func TestNoSpace(t *testing.T) {
	t.Parallel()
	dir := tmpfs(t, 0)
	for _, size := range []int64{1 << 20, 1 << 40, 1 << 61} {
		_, err := Create(filepath.Join(dir, "a.tar"), planOf(size), Request{}, 1)
		require.ErrorIs(t, err, ErrNoSpace)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, entries)
	}
	w, err := Create(filepath.Join(dir, "a.tar"), planOf(1<<19), Request{}, 1)
	require.NoError(t, err)
	info, err := os.Stat(w.f.Name())
	require.NoError(t, err)
	assert.Equal(t, w.Size(), info.Size(), "the blocks are taken")
	_, err = Create(filepath.Join(dir, "b.tar"), planOf(1<<19), Request{}, 1)
	require.ErrorIs(t, err, ErrNoSpace, "there is room for one of the two")
	require.NoError(t, w.Suspend())
}

// TestAllocate: the space may vanish between the look and the allocation.
func TestAllocate(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(tmpfs(t, 0), "f"))
	require.NoError(t, err)
	defer f.Close()
	require.ErrorIs(t, noSpace(allocate(f, 2<<20)), ErrNoSpace)
	require.NoError(t, allocate(f, 1<<19))
	r, err := os.Open(f.Name())
	require.NoError(t, err)
	defer r.Close()
	require.ErrorIs(t, allocate(r, 1), unix.EBADF)
	assert.NotErrorIs(t, noSpace(allocate(r, 1)), ErrNoSpace)
	assert.NoError(t, noSpace(nil))
}

// TestFileSize: what FAT cannot hold in one file it can hold in volumes; parity needs room, too.
func TestFileSize(t *testing.T) {
	t.Parallel()
	const fat = 1<<32 - 1
	l := &layout{size: 6 << 30}
	err := fits(l, Request{}, 0, 1<<40, fat)
	require.ErrorIs(t, err, ErrFileSize)
	require.ErrorIs(t, err, ErrNoSpace)
	require.EqualError(t, err, "no space in one file: the archive has 6442450944 bytes; this file system holds files of at most 4294967295")
	require.ErrorIs(t, fits(l, Request{VolumeSize: 5 << 30}, 0, 1<<40, fat), ErrFileSize)
	require.NoError(t, fits(l, Request{VolumeSize: 4000 << 20}, 0, 1<<40, fat))
	require.NoError(t, fits(l, Request{VolumeSize: 4000 << 20}, 0, 7<<30, fat))
	err = fits(l, Request{VolumeSize: 4000 << 20, Parity: 1}, 0, 7<<30, fat)
	require.ErrorIs(t, err, ErrNoSpace)
	require.NotErrorIs(t, err, ErrFileSize)
	require.NoError(t, fits(l, Request{VolumeSize: 4000 << 20, Parity: 1}, 4<<30, 7<<30, fat))
	require.ErrorIs(t, fits(l, Request{VolumeSize: 4096}, 0, 1<<40, fat), volume.ErrLayout)
}

func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tmpfs(t, unix.MS_RDONLY), "a.tar")
	_, err := Create(path, planOf(1), Request{}, 1)
	require.ErrorIs(t, err, unix.EROFS)
	assert.NotErrorIs(t, err, ErrNoSpace)
}

func TestFolderWithoutPermission(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	_, err := Create(filepath.Join(dir, "a.tar"), planOf(1), Request{}, 1)
	require.ErrorIs(t, err, os.ErrPermission)
}

func TestFAT(t *testing.T) {
	t.Parallel()
	assert.True(t, isFAT(&unix.Statfs_t{Type: unix.MSDOS_SUPER_MAGIC}))
	assert.False(t, isFAT(&unix.Statfs_t{Type: unix.TMPFS_MAGIC}))
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		err := noSpace(&os.PathError{Op: "write", Path: "f", Err: errno})
		assert.True(t, errors.Is(err, ErrNoSpace) && errors.Is(err, errno))
	}
}
