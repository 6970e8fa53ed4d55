package tarball

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
)

const gib = 1 << 30

func TestHeader(t *testing.T) {
	t.Parallel()
	name := "blobs/sha256/" + strings.Repeat("0123456789abcdef", 4)
	for _, size := range []int64{0, 1, 511, 512, 513, 8*gib - 1, 8 * gib, 9 * gib, 1 << 40, 1<<62 - 1} {
		b := header(name, size)
		got, err := tar.NewReader(bytes.NewReader(b[:])).Next() // compares the checksum
		require.NoError(t, err, size)
		assert.Equal(t, name, got.Name)
		assert.Equal(t, size, got.Size)
		assert.Equal(t, byte(tar.TypeReg), got.Typeflag)
		assert.Equal(t, int64(0o644), got.Mode)
		assert.Zero(t, got.Uid+got.Gid+int(got.Devmajor+got.Devminor))
		assert.Equal(t, time.Unix(0, 0), got.ModTime)
		assert.Empty(t, got.Uname+got.Gname+got.Linkname)
		assert.Empty(t, got.PAXRecords)
		assert.Equal(t, size >= 8*gib, b[124] == 0x80, "base 256 from 8 GiB on")
		assert.Equal(t, "ustar\x0000", string(b[257:265]))

		n, ok := sizeOf(b[:])
		assert.True(t, ok)
		assert.Equal(t, size, n)

		if size < 8*gib { // the same 512 bytes as Go's own writer of ustar
			var w bytes.Buffer
			require.NoError(t, tar.NewWriter(&w).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
			assert.Equal(t, w.Bytes(), b[:])
		}
		assert.Zero(t, (size+padding(size))%512)
		assert.Less(t, padding(size), int64(512))
		assert.Equal(t, 512+size+padding(size), member(size))
	}
}

func TestSizeOfRefuses(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"00000000008\x00", "-0000000001\x00", " 0000000001\x00", "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"} {
		b := header("x", 0)
		copy(b[124:136], field)
		_, ok := sizeOf(b[:])
		assert.False(t, ok, "%q", field)
	}
}

// TestLargeMember writes everything but the content of a blob of 9 GiB: the file has a hole there.
func TestLargeMember(t *testing.T) {
	t.Parallel()
	d := digest.Of([]byte("the content is a hole"))
	l, err := newLayout(&inventory{Blobs: []blobEntry{{d, 9 * gib}, {digest.Of(nil), 0}}})
	require.NoError(t, err)
	seal, err := l.sealDigest()
	require.NoError(t, err)
	f, err := os.Create(filepath.Join(t.TempDir(), "large.tar"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, l.writeDocs(f))
	for i := range 3 {
		offset, b := l.frame(i)
		_, err = f.WriteAt(b, offset)
		require.NoError(t, err)
	}
	_, err = f.WriteAt(l.end(seal), l.seal)
	require.NoError(t, err)

	a, err := Open(f.Name())
	require.NoError(t, err)
	defer a.Close()
	damage, err := a.checkSealed(t.Context())
	require.NoError(t, err)
	assert.Empty(t, damage)
	assertLists(t, f.Name(), d, 9*gib)
}

// assertLists holds the fourth member to name and size, as Go and GNU tar read it.
func assertLists(t *testing.T, path string, d v1.Hash, size int64) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tr := tar.NewReader(f) // skips by seeking
	var got []*tar.Header
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		got = append(got, h)
	}
	assert.Equal(t, blobName(d), got[3].Name)
	assert.Equal(t, size, got[3].Size)
	assert.Equal(t, "seal", got[len(got)-1].Name, "and what follows is found")

	out, err := exec.CommandContext(t.Context(), "tar", "--version").Output()
	if err != nil || !strings.Contains(string(out), "GNU tar") {
		t.Log("GNU tar is not here: not asked")
		return
	}
	out, err = exec.CommandContext(t.Context(), "tar", "-tvf", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, len(got))
	fields := strings.Fields(lines[3])
	assert.Equal(t, strconv.FormatInt(size, 10), fields[2])
	assert.Equal(t, blobName(d), fields[5])
}

// TestNineGiB writes and checks a blob of 9 GiB. It takes a minute and 9 GiB of disk.
func TestNineGiB(t *testing.T) {
	if os.Getenv("RELOCATE_TEST_LARGE") == "" {
		t.Skip("set RELOCATE_TEST_LARGE=1 to write 9 GiB")
	}
	const size = 9 * gib
	zeros := func() io.Reader { return io.LimitReader(zero{}, size) }
	d, _, err := v1.SHA256(zeros())
	require.NoError(t, err)
	desc := v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: d}
	path := filepath.Join(t.TempDir(), "large.tar")
	start := time.Now()
	w, err := Create(path, &bundle.Plan{Graph: &bundle.Graph{}, Blobs: []bundle.Blob{{Descriptor: &desc}}}, Request{}, 1)
	require.NoError(t, err)
	require.NoError(t, w.PutBlob(t.Context(), desc, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(digest.Reader(zeros(), d, size)), nil
	}))
	require.NoError(t, w.Commit())
	t.Logf("written in %v", time.Since(start))
	start = time.Now()
	a, err := Open(path)
	require.NoError(t, err)
	defer a.Close()
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)
	t.Logf("checked in %v", time.Since(start))
	r, err := a.Blob(t.Context(), name.Repository{}, desc)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	assert.Equal(t, int64(size), n)
	assertLists(t, path, d, size)
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
