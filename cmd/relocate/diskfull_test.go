package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDiskFull exports to file systems of many sizes. Where the archive does not fit, the run says so, names
// the path and leaves nothing under the final name; with more room the same command goes through.
func TestDiskFull(t *testing.T) {
	skipShort(t)
	t.Parallel()
	root, _ := pushLarge(site{t: t, host: startReal(t).Addr}, 2<<20, 700<<10)
	whole := export(t, root)
	info, err := os.Stat(whole)
	require.NoError(t, err)
	size, want := info.Size(), digestOfFile(t, whole)
	for _, bytes := range []int64{64 << 10, 128 << 10, 256 << 10, 1 << 20, size - 100<<10, size, size + 4<<10, size + 64<<10, size + 1<<20} {
		t.Run(fmt.Sprint(bytes>>10, " KiB"), func(t *testing.T) {
			t.Parallel()
			dir := mountTemp(t, fmt.Sprint("size=", bytes))
			file := filepath.Join(dir, "r.tar")
			args := []string{"-b", root, "--to-tar", file}
			if r := newProcess(t, args...).run(t); r.status != 0 {
				assertFailed(t, r, statusNoSpace, dir, "no space", "hint: make room")
				require.NoFileExists(t, file)
				out, err := exec.Command("mount", "-o", fmt.Sprint("remount,size=", size+2<<20), dir).CombinedOutput()
				require.NoError(t, err, "%s", out)
				mustRun(t, args...)
			} else {
				assert.Greater(t, bytes, size)
			}
			assert.Equal(t, want, digestOfFile(t, file))
			assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
		})
	}
}

// TestDiskFullMeanwhile: another program takes the room while the archive is written, where no room can be
// taken beforehand. What is durable is kept.
func TestDiskFullMeanwhile(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, _ := pushLarge(site{t: t, host: m.host}, 12<<20, 3<<20)
	want := digestOfFile(t, export(t, root))
	for name, dir := range map[string]string{"tmpfs": mountTemp(t, "size=40m"), "ext2": mountExt2(t, 48)} {
		file, fat := filepath.Join(dir, "r.tar"), filepath.Join(dir, "fat")
		cutExport(t, m, file, 9<<20, "-b", root, "--concurrency", "1")
		fill(t, fat)
		r := newProcess(t, "-b", root, "--to-tar", file).run(t)
		if name == "tmpfs" && r.status == 0 {
			continue // it had its room already
		}
		assertFailed(t, r, statusNoSpace, file, "no space", "hint: make room")
		require.NoFileExists(t, file, name)
		assert.FileExists(t, file+".part", name)
		require.NoError(t, os.Remove(fat))
		before := m.down.Load()
		mustRun(t, "-b", root, "--to-tar", file)
		m.settle()
		assert.Less(t, m.down.Load()-before, int64(15<<20), "%s: all of it is more, so some was kept", name)
		assert.Equal(t, want, digestOfFile(t, file), name)
	}
}

// fill takes all the room of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) >= 512; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

// mountExt2 mounts a file system that cannot allocate before it writes (fallocate).
func mountExt2(t *testing.T, mib int) (dir string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, int64(mib)<<20))
	dir = t.TempDir()
	for _, args := range [][]string{{"mkfs.ext2", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("needs %s: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", "--lazy", dir).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	})
	require.NoError(t, os.Remove(filepath.Join(dir, "lost+found")))
	return dir
}

// TestScratchFull: the folder for scratch files is full, by --tmpdir or by TMPDIR.
func TestScratchFull(t *testing.T) {
	skipShort(t)
	t.Parallel()
	host := startReal(t).Addr
	root, _ := pushLarge(site{t: t, host: host}, 100<<10)
	full := mountTemp(t, "size=8k")
	fill(t, filepath.Join(full, "fat"))
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	r := newProcess(t, "-b", root, "--to-tar", file, "--tmpdir", full).run(t)
	assertFailed(t, r, statusNoSpace, full, "no space left", "hint: make room")
	assert.Empty(t, namesIn(t, dir))
	p := newProcess(t, "-b", root, "--to-repo", host+"/x")
	p.cmd.Env = append(p.cmd.Env, "TMPDIR="+full)
	r = p.run(t)
	assertFailed(t, r, statusNoSpace, full, "no space left", "hint: make room")
	p = newProcess(t, "-b", root, "--to-tar", file) // which does not need it
	p.cmd.Env = append(p.cmd.Env, "TMPDIR="+full)
	r = p.run(t)
	require.Zero(t, r.status, r.stderr)
	p = newProcess(t, "--from-tar", file, "--to-repo", host+"/y")
	p.cmd.Env = append(p.cmd.Env, "TMPDIR="+full)
	r = p.run(t)
	require.Zero(t, r.status, r.stderr)
	assert.Equal(t, []string{"fat"}, namesIn(t, full))
}

// TestFileSizeLimit: no file may be larger than a limit (RLIMIT_FSIZE).
func TestFileSizeLimit(t *testing.T) {
	skipShort(t)
	t.Parallel()
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("needs prlimit (util-linux)")
	}
	root, _ := pushLarge(site{t: t, host: startReal(t).Addr}, 2<<20, 700<<10)
	whole := export(t, root)
	info, err := os.Stat(whole)
	require.NoError(t, err)
	ext2 := mountExt2(t, 16)
	for _, place := range []string{t.TempDir(), ext2} {
		file := filepath.Join(place, "r.tar")
		for _, limit := range []int64{4 << 10, 20 << 10, 100 << 10, 1 << 20, info.Size() - 1} {
			p := newProcess(t, "-b", root, "--to-tar", file)
			p.cmd.Args = append([]string{prlimit, fmt.Sprint("--fsize=", limit), p.cmd.Path}, p.cmd.Args[1:]...)
			p.cmd.Path = prlimit
			r := p.run(t)
			assertFailed(t, r, statusNoSpace, place, "file too large", "hint: make room")
			require.NoFileExists(t, file)
		}
		mustRun(t, "-b", root, "--to-tar", file)
		assert.Equal(t, digestOfFile(t, whole), digestOfFile(t, file))
		assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, place))
	}
}

// TestReadOnlyAgain: a folder that became read-only names the cause, and keeps what it has.
func TestReadOnlyAgain(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMeter(t, startReal(t).Addr)
	root, _ := pushLarge(site{t: t, host: m.host}, 6<<20)
	dir := mountTemp(t, "size=32m")
	file := filepath.Join(dir, "r.tar")
	cutExport(t, m, file, 5<<20, "-b", root, "--concurrency", "1")
	remount := func(option string) {
		out, err := exec.Command("mount", "-o", "remount,"+option, dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	remount("ro")
	before := namesIn(t, dir)
	r := newProcess(t, "-b", root, "--to-tar", file).run(t)
	assert.NotZero(t, r.status)
	assertAll(t, r.stderr, file, "read-only file system")
	assert.Equal(t, before, namesIn(t, dir))
	remount("rw")
	assertAll(t, mustRun(t, "-b", root, "--to-tar", file).stderr, "note: continues with ")
	assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
}
