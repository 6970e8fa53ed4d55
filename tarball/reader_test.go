package tarball_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/tarball"
)

func TestNotAnArchive(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, err := zw.Write(tiny(t).bytes(t))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	damagedLayout := tiny(t).bytes(t)
	copy(damagedLayout[100:], "nine bytes")
	for says, content := range map[string][]byte{
		"it is empty":                              {},
		"it is compressed with gzip":               zipped.Bytes(),
		"it is compressed with zstd":               []byte("\x28\xb5\x2f\xfd\x00\x00"),
		"it is a tar of docker save":               pack(t, []member{file("manifest.json", []byte(`[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`))}),
		"its manifest.json lists no image":         pack(t, []member{file("manifest.json", []byte("[]"))}),
		`it is a tar that begins with "etc/hosts"`: pack(t, []member{file("etc/hosts", noise(9))}),
		"it is an OCI layout of another program":   pack(t, []member{file("oci-layout", []byte("{}"))}),
		"another program, or damaged":              damagedLayout,
		"it is text":                               []byte("kind: PackageRepository\n"),
		"it has only 3 bytes":                      {0, 1, 2},
		"it does not begin as one":                 slices.Repeat([]byte{0xff, 0}, 1000),
	} {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := tarball.Open(path)
		require.ErrorIs(t, err, tarball.ErrNotArchive)
		assert.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, path+" is not an archive of relocate: ")
	}
	_, err = tarball.Open(t.TempDir())
	require.ErrorIs(t, err, tarball.ErrNotArchive)
	_, err = tarball.Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestOpenErrors: each says what the file is.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	flipped := slices.Clone(good)
	flipped[3] ^= 1
	for says, content := range map[string][]byte{
		fmt.Sprintf("is cut off: it has 10000 bytes of %d", len(good)):                                                  good[:10000],
		fmt.Sprintf("is damaged: other bytes than zeros follow its end at %d, from byte %d on", len(good), len(good)+1): append(slices.Clone(good), 0, 1),
		"is damaged: the header of oci-layout is damaged at byte 3":                                                     flipped,
		"is not an archive of relocate: it is text":                                                                     []byte("text"),
	} {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := tarball.Open(path)
		require.EqualError(t, err, path+" "+says)
	}
}

// TestFileIsWritten while it is read.
func TestFileIsWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"size": func(path string) error { // and the time set back
			info, err := os.Stat(path)
			return errors.Join(err, os.Truncate(path, 1<<20), os.Chtimes(path, time.Time{}, info.ModTime()))
		},
		"time": func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tiny(t).write(t)
			a, err := tarball.Open(path)
			require.NoError(t, err)
			defer a.Close()
			require.NoError(t, a.Unchanged())
			require.NoError(t, change(path))
			_, err = a.Check(t.Context(), 1, nil)
			for _, err := range []error{err, a.Unchanged()} {
				require.ErrorIs(t, err, tarball.ErrDamaged)
				assert.EqualError(t, err, path+" is damaged: it was changed while it was read")
			}
		})
	}
}

var errMedium = errors.New("input/output error")

// medium fails to read the byte at bad; -1 for none. It gives io.EOF as early as it may.
type medium struct {
	b   []byte
	bad int64
}

func (m medium) ReadAt(p []byte, at int64) (int, error) {
	if at <= m.bad && m.bad < at+int64(len(p)) {
		return copy(p, m.b[at:m.bad]), errMedium
	}
	n := copy(p, m.b[min(at, int64(len(m.b))):])
	if at+int64(n) == int64(len(m.b)) {
		return n, io.EOF
	}
	return n, nil
}

// TestUnreadable: a file that cannot be read is not one that was changed.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	for at := -1; at < len(good); at += 100 {
		a, err := tarball.NewArchive(medium{good, int64(at)}, int64(len(good)))
		var damage []tarball.Damage
		if err == nil {
			damage, err = a.Check(t.Context(), 1, nil)
		}
		assert.Empty(t, damage, "byte %d", at)
		if at < 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, errMedium, "byte %d", at)
		require.NotErrorIs(t, err, tarball.ErrTruncated, "byte %d", at)
		require.NotErrorIs(t, err, tarball.ErrDamaged, "byte %d", at)
	}
}

// TestChangedAfterOpen: blobs are hashed each time they are read.
func TestChangedAfterOpen(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	b, plan := m.bytes(t), m.plan(t)
	a, err := open(b)
	require.NoError(t, err)
	for at, r := range regions(t, b) {
		if at == r.start && r.kind == "content" && strings.HasPrefix(r.member, "blobs/") {
			b[at] ^= 1
		}
	}
	for _, blob := range plan.Blobs {
		r, err := a.Blob(t.Context(), blob.Node.From, *blob.Descriptor)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, digest.ErrMismatch)
		assert.Less(t, int64(len(got)), blob.Descriptor.Size)
		if blob.IsManifest {
			_, _, err = a.Manifest(t.Context(), blob.Node.From.Digest(blob.Descriptor.Digest.String()))
			require.ErrorIs(t, err, digest.ErrMismatch)
		}
	}
	_, err = a.Plan(context.Background(), 1, nil)
	require.ErrorIs(t, err, digest.ErrMismatch)
}

// unstable is a medium that gives other bytes the first time.
type unstable struct {
	*bytes.Reader
	at    int64
	reads atomic.Int32
}

func (u *unstable) ReadAt(p []byte, off int64) (int, error) {
	n, err := u.Reader.ReadAt(p, off)
	if i := u.at - off; i >= 0 && i < int64(n) && u.reads.Add(1) == 1 {
		p[i] ^= 1
	}
	return n, err
}

// TestUnstableMedium: damage that is another when it is read again is told as such, and damage that stays
// is not.
func TestUnstableMedium(t *testing.T) {
	t.Parallel()
	b := repository(t, 300_000).bytes(t)
	at := int64(bytes.Index(b, noise(300_000)) + 1234)
	a, err := tarball.NewArchive(&unstable{Reader: bytes.NewReader(b), at: at}, int64(len(b)))
	require.NoError(t, err)
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	require.Len(t, damage, 1)
	assert.Contains(t, damage[0].Reason, "unstable")

	b[at] ^= 1
	damage, err = inspect(b)
	require.NoError(t, err)
	require.Len(t, damage, 1)
	assert.NotContains(t, damage[0].Reason, "unstable")
}
