package tarball_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// TestZeros: zero bytes after the end are no damage and are counted, in both formats; other bytes are, wherever
// they are.
func TestZeros(t *testing.T) {
	t.Parallel()
	for name, good := range map[string][]byte{"relocate": tiny(t).bytes(t), "imgpkg": tiny(t).imgpkgBytes(t)} {
		for _, n := range []int{0, 1, 512, 10240, 3<<20 + 7} {
			padded := append(bytes.Clone(good), make([]byte, n)...)
			a, err := tarball.NewArchive(bytes.NewReader(padded), int64(len(padded)))
			require.NoError(t, err, "%s, %d zeros", name, n)
			zeros, unread := a.After()
			assert.Equal(t, int64(n), zeros, name)
			assert.False(t, unread)
			assert.Equal(t, int64(len(good)), a.Size(), name)
			damage, err := a.Check(t.Context(), 1, nil)
			require.NoError(t, err)
			assert.Empty(t, damage)
			if n == 0 {
				continue
			}
			at := len(good) + rand.IntN(n)
			padded[at] = 1
			_, err = tarball.NewArchive(bytes.NewReader(padded), int64(len(padded)))
			require.ErrorIs(t, err, tarball.ErrDamaged)
			assert.ErrorContains(t, err, fmt.Sprintf("follow its end at %d, from byte %d on", len(good), at))
		}
		_, err := tarball.NewArchive(bytes.NewReader(good), 2<<30)
		require.ErrorIs(t, err, tarball.ErrDamaged)
		assert.ErrorContains(t, err, "more than the limit")
	}
}

// TestStreamZeros does the same with a stream.
func TestStreamZeros(t *testing.T) {
	t.Parallel()
	m := repository(t)
	good := m.bytes(t)
	read := func(after io.Reader) (*tarball.Stream, error) {
		s, err := tarball.OpenStream(io.MultiReader(bytes.NewReader(good), after), &ram{})
		require.NoError(t, err)
		_, err = s.Plan(t.Context(), 1, nil)
		require.NoError(t, err)
		_, err = s.Check(t.Context(), 1, func(int, int64) {})
		return s, err
	}
	for _, n := range []int{0, 1, 10240, 3<<20 + 7} {
		s, err := read(bytes.NewReader(make([]byte, n)))
		require.NoError(t, err)
		zeros, unread := s.After()
		assert.Equal(t, int64(n), zeros)
		assert.False(t, unread)
		_, err = read(io.MultiReader(bytes.NewReader(make([]byte, n)), strings.NewReader("x")))
		require.ErrorIs(t, err, tarball.ErrDamaged)
		assert.ErrorContains(t, err, fmt.Sprintf("follow its end at %d, from byte %d on", len(good), len(good)+n))
	}
	_, err := read(zeros{})
	require.ErrorIs(t, err, tarball.ErrDamaged)
	assert.ErrorContains(t, err, "more than 1073741824 zero bytes follow")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestStreamDevice: of a device nothing is read after the block in which the archive ends.
func TestStreamDevice(t *testing.T) {
	t.Parallel()
	good := repository(t).bytes(t)
	s, err := tarball.OpenStream(io.MultiReader(bytes.NewReader(good), failing{t}), &ram{})
	require.NoError(t, err)
	s.Device = true
	_, err = s.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	_, err = s.Check(t.Context(), 1, func(int, int64) {})
	require.NoError(t, err)
	zeros, unread := s.After()
	assert.Zero(t, zeros)
	assert.True(t, unread)
}

type failing struct{ t *testing.T }

func (f failing) Read([]byte) (int, error) { f.t.Error("read after the end"); return 0, io.EOF }

// TestStreamCheck names each blob that is damaged, in a stream as in a file, while others read the small
// section.
func TestStreamCheck(t *testing.T) {
	t.Parallel()
	m := repository(t)
	bad := m.bytes(t)
	plan := m.plan(t)
	for _, b := range plan.Blobs[plan.Small:] {
		if d := b.Descriptor; d.Size > 1000 {
			bad[bytes.Index(bad, m.content(d.Digest))+int(d.Size)/2] ^= 1
			break
		}
	}
	a, err := tarball.NewArchive(bytes.NewReader(bad), int64(len(bad)))
	require.NoError(t, err)
	want, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	require.Len(t, want, 1)

	s, err := tarball.OpenStream(bytes.NewReader(bad), &ram{})
	require.NoError(t, err)
	_, err = s.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		var err error
		for _, b := range plan.Blobs {
			_, one := s.Blob(t.Context(), b.Node.From, *b.Descriptor)
			if !errors.Is(one, tarball.ErrPassed) {
				err = errors.Join(err, one)
			}
		}
		read <- err
	}()
	blobs, size := 0, int64(0)
	got, err := s.Check(t.Context(), 1, func(n int, bytes int64) { blobs += n; size += bytes })
	require.NoError(t, err)
	require.NoError(t, <-read)
	assert.Equal(t, want, got)
	wantBlobs, wantSize := a.Blobs()
	assert.Equal(t, wantBlobs, blobs)
	assert.Equal(t, wantSize, size)
}

// TestOpenKinds: what can be read once, or not at all, is said at once.
func TestOpenKinds(t *testing.T) {
	t.Parallel()
	_, err := tarball.Open(os.DevNull)
	require.ErrorIs(t, err, tarball.ErrOnce)
	assert.EqualError(t, err, os.DevNull+" can be read only once, from front to back")
	_, err = tarball.Open(t.TempDir())
	require.ErrorIs(t, err, tarball.ErrNotArchive)
	assert.ErrorContains(t, err, "it is a folder")
}

// loop makes a block device of a file's content.
func loop(t *testing.T, content []byte) (device string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux, for a block device")
	}
	file := filepath.Join(t.TempDir(), "device")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("needs losetup (util-linux) and the right to make a block device: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		out, err := exec.Command("losetup", "--detach", device).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	})
	return device
}

// TestOpenDevice: an archive on a block device ends where its inventory says, and nothing is said of what
// follows.
func TestOpenDevice(t *testing.T) {
	t.Parallel()
	for name, good := range map[string][]byte{"relocate": tiny(t).bytes(t), "imgpkg": tiny(t).imgpkgBytes(t)} {
		disk := bytes.Repeat([]byte("junk"), 1<<18)
		copy(disk, good)
		a, err := tarball.Open(loop(t, disk))
		require.NoError(t, err, name)
		defer a.Close()
		assert.Equal(t, int64(len(good)), a.Size(), name)
		zeros, unread := a.After()
		assert.Zero(t, zeros)
		assert.True(t, unread, name)
		damage, err := a.Check(t.Context(), 1, nil)
		require.NoError(t, err)
		assert.Empty(t, damage, name)

		for _, n := range []int{len(good) - 512, len(good) / 2 &^ 511, 1024} {
			_, err := tarball.Open(loop(t, good[:n]))
			require.ErrorIs(t, err, tarball.ErrTruncated, "%s of %d bytes", name, n)
		}
		_, err = tarball.Open(loop(t, make([]byte, 1<<20)))
		require.ErrorIs(t, err, tarball.ErrNotArchive, name)
	}
}
