package tarball_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// watching notes which bytes are read.
type watching struct {
	io.ReaderAt
	read []bool
}

func (w *watching) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(p, at)
	for i := range n {
		w.read[int(at)+i] = true
	}
	return n, err
}

// TestReadSeal: the seal of the bytes is that of the documents, whatever blobs hold; no content of a blob is read,
// and any other byte that is changed gives another seal or an error.
func TestReadSeal(t *testing.T) {
	t.Parallel()
	archive := repository(t).bytes(t)
	want, end := sealOf(t, archive)
	w := &watching{bytes.NewReader(archive), make([]bool, len(archive))}
	seal, err := tarball.ReadSealFrom(w)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(want), seal.String())
	content, step := contentOf(t, archive), 0
	for at := range end - 512 { // the seal's header is read, and not covered
		require.NotEqual(t, content[at], w.read[at], "byte %d", at)
		if step++; content[at] || step%23 != 0 {
			continue
		}
		bad := slices.Clone(archive)
		bad[at] ^= 1
		got, err := tarball.ReadSealFrom(bytes.NewReader(bad))
		require.True(t, err != nil || got != seal, "byte %d", at)
	}
	path := filepath.Join(t.TempDir(), "a.tar")
	require.NoError(t, os.WriteFile(path, archive, 0o600))
	seal, err = tarball.ReadSeal(path)
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(want), seal.String())
}

// contentOf says of each byte whether it is content of a blob.
func contentOf(t *testing.T, archive []byte) []bool {
	t.Helper()
	content, at := make([]bool, len(archive)), 0
	for _, m := range unpack(t, archive) {
		for i := range m.data {
			content[at+512+i] = strings.HasPrefix(m.Name, "blobs/")
		}
		at += 512 + (len(m.data)+511)/512*512
	}
	return content
}

// TestReadSealErrors: what is no archive, or not all of one, has no seal.
func TestReadSealErrors(t *testing.T) {
	t.Parallel()
	archive := tiny(t).bytes(t)
	_, sealAt := sealOf(t, archive)
	for at := 0; at < sealAt; at += 5 {
		_, err := tarball.ReadSealFrom(bytes.NewReader(archive[:at]))
		require.True(t, isOfArchive(err), "cut at %d: %v", at, err)
		assertSpeaks(t, err)
	}
	dir := t.TempDir()
	for want, content := range map[string][]byte{
		"has imgpkg's format": pack(t, []member{file("manifest.json", []byte("[]"))}),
		"it is text":          []byte("text\n"),
		"it is empty":         nil,
	} {
		path := filepath.Join(dir, "a.tar")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := tarball.ReadSeal(path)
		require.ErrorContains(t, err, want)
	}
	_, err := tarball.ReadSeal(dir)
	require.ErrorIs(t, err, tarball.ErrNotArchive)
}

func isOfArchive(err error) bool {
	for _, target := range []error{tarball.ErrNotArchive, tarball.ErrTruncated, tarball.ErrDamaged} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// FuzzReadSeal: of bytes in which Check finds nothing wrong, the seal is that of the documents; and bytes that have
// it are wrong in nothing but blobs and the last member.
func FuzzReadSeal(f *testing.F) {
	good := tiny(f).bytes(f)
	f.Add(good)
	for at := 0; at < len(good); at += 700 {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		f.Add(bad)
		f.Add(good[:at])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seal, sealErr := tarball.ReadSealFrom(bytes.NewReader(b))
		a, err := open(b)
		if err != nil || a.Format() == tarball.Imgpkg {
			return
		}
		damage, err := a.Check(t.Context(), 1, nil)
		require.NoError(t, err)
		if len(damage) == 0 {
			require.NoError(t, sealErr)
			require.Equal(t, a.Seal(), seal)
		}
		if sealErr != nil || seal != a.Seal() {
			return
		}
		for _, d := range damage {
			require.True(t, d.Digest.Hex != "" || d.Member == "seal", d)
		}
	})
}
