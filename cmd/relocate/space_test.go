package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoSpace: an archive that does not fit is refused before a layer is fetched.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	dir := mountTemp(t, "size=1m")
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	s.bundle("big/root", "1", nil, s.ref("big/app", s.image("big/app", "1", noise("big", 2<<20))))
	assertFailed(t, tryRelocate(t, "-b", host+"/big/root:1", "--to-tar", filepath.Join(dir, "r.tar")), statusNoSpace, "r.tar", "no space", "hint: make room")
	assert.Empty(t, namesIn(t, dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "r.tar"), []byte("old"), 0o600))
	assertFailed(t, tryRelocate(t, "-b", host+"/big/root:1", "--to-tar", filepath.Join(dir, "r.tar")), statusNoSpace, "r.tar")
	text, err := os.ReadFile(filepath.Join(dir, "r.tar"))
	require.NoError(t, err)
	assert.Equal(t, "old", string(text))
	assert.Equal(t, []string{"r.tar"}, namesIn(t, dir))
}

// TestNoSpaceForWalk: already what the walk reads does not fit.
func TestNoSpaceForWalk(t *testing.T) {
	t.Parallel()
	dir := mountTemp(t, "size=64k")
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	s.bundle("big/root", "1", map[string]string{"config/noise.bin": noise("big", 200_000)})
	assertFailed(t, tryRelocate(t, "-b", host+"/big/root:1", "--to-tar", filepath.Join(dir, "r.tar")), statusNoSpace, "no space", "hint: make room")
	assert.Empty(t, namesIn(t, dir))
}

// TestReadOnlyFolder: an archive cannot be written where nothing can.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := mountTemp(t, "size=1m,ro")
	host := startMemory(t, nil)
	file := filepath.Join(dir, "r.tar")
	r := tryRelocate(t, "-b", pushSample(t, host), "--to-tar", file)
	assertFailed(t, r, statusUsage, dir, "read-only")
	r = tryRelocate(t, "-b", host+"/corp/repository:1.0.0", "--to-tar", filepath.Join(t.TempDir(), "no", "such", "r.tar"))
	assertFailed(t, r, statusUsage, "no such folder", filepath.Join("no", "such"))
}

// mountTemp mounts a file system in memory until the test ends.
func mountTemp(t *testing.T, options string) (dir string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux, to mount a small file system")
	}
	dir = t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", "--lazy", dir).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	})
	return dir
}
