package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/report"
)

// fifo makes a FIFO, into which something is written once.
func fifo(t *testing.T, write func(io.Writer)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	if write == nil {
		return path
	}
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if assert.NoError(t, err) {
			write(f)
			_ = f.Close()
		}
	}()
	return path
}

// TestFIFO: an archive in a FIFO is verified and imported; zeros after its end are counted, other bytes are
// damage. What must read it twice says so.
func TestFIFO(t *testing.T) {
	t.Parallel()
	good, _ := hostileSample(t)
	host := startMemory(t, nil)
	padded := func(w io.Writer) { _, _ = w.Write(append(bytes.Clone(good), make([]byte, 10240)...)) }
	r := mustRelocate(t, "verify", fifo(t, padded))
	assertAll(t, r.stdout, "OK: ", "every byte is accounted for, every blob hashed", "10240 zero bytes after its end", "rendered 3 of 3", "/fifo is complete and closed")
	r = mustRelocate(t, "--from-tar", fifo(t, padded), "--to-repo", host+"/a")
	assertAll(t, r.stderr, "10240 zero bytes after its end", "imported 3 versions")
	assert.NotContains(t, r.stderr, "verify with")

	last := bytes.Clone(good)
	last[len(last)-2048-600] ^= 1
	r = tryRelocate(t, "verify", fifo(t, func(w io.Writer) { _, _ = w.Write(last) }))
	assert.Equal(t, statusDamage, r.status, r.stdout+r.stderr)
	assert.NotContains(t, r.stdout, "OK")
	for what, b := range map[string][]byte{"follow its end": append(bytes.Clone(good), "x"...), "is cut off": good[:len(good)-1]} {
		assertFailed(t, tryRelocate(t, "verify", fifo(t, func(w io.Writer) { _, _ = w.Write(b) })), statusDamage, what)
		assertFailed(t, tryRelocate(t, "--from-tar", fifo(t, func(w io.Writer) { _, _ = w.Write(b) }), "--to-repo", host+"/b"), statusDamage, what)
	}
	for _, args := range [][]string{{"inspect"}, {"rehearse"}, {"serve"}} {
		assertFailed(t, tryRelocate(t, append(args, fifo(t, nil))...), statusUsage, "can be read only once", "hint: --from-tar and verify")
	}
	assertFailed(t, tryRelocate(t, "verify", "--repo", host+"/a", fifo(t, nil)), statusUsage, "can be read again")
	assertFailed(t, tryRelocate(t, "verify", os.DevNull), statusDamage, "it is empty")
	assertFailed(t, tryRelocate(t, "--from-tar", "/dev/zero", "--to-repo", host+"/b"), statusDamage, "is not an archive")
}

// TestFIFOSilent: an interrupt ends the wait for what is written to a FIFO.
func TestFIFOSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := relocateContext(ctx, "verify", fifo(t, nil))
	assert.Equal(t, statusInterrupted, r.status, r.stderr)
}

// TestBlockDevice: an archive is written to a disk without a file system, and read from there; what follows it
// is not read, as verdicts say.
func TestBlockDevice(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux, for a block device")
	}
	good, _ := hostileSample(t)
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, append(bytes.Clone(good), bytes.Repeat([]byte("junk"), 1<<18)...), 0o600))
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("needs losetup (util-linux) and the right to make a block device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { assert.NoError(t, exec.Command("losetup", "--detach", device).Run()) })
	host := startMemory(t, nil)
	const unread = "what follows the archive on the device, from byte "
	for _, command := range []string{"verify", "rehearse"} {
		r := mustRelocate(t, command, device)
		assertAll(t, r.stdout, "OK: "+device, "not proved:\n", unread)
	}
	mustRelocate(t, "inspect", device)
	assertAll(t, mustRelocate(t, "--from-tar", device, "--to-repo", host+"/a").stderr, "imported 3 versions", unread)
	mustRelocate(t, "verify", "--repo", host+"/a", device)

	f, err := os.Open(device) // as < /dev/sdb
	require.NoError(t, err)
	defer f.Close()
	v, err := relocate.VerifyStream(t.Context(), f, relocate.VerifyOptions{})
	require.NoError(t, err)
	assert.True(t, v.OK)
	assert.Equal(t, &report.Archive{File: device, Size: int64(len(good)), Form: "relocate", Seal: v.Archive.Seal, Unread: true}, v.Archive)
}

// TestExportBytes: an export says how many bytes the archive has, for tools that copy to devices.
func TestExportBytes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.tar")
	r := mustRelocate(t, "-b", pushSample(t, startMemory(t, nil)), "--to-tar", file)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Regexp(t, `a\.tar: \d+ blobs, `+strconv.FormatInt(info.Size(), 10)+` bytes \(`, r.stderr)
}
