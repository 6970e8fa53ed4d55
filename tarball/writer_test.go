package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/internal/ownfile"
	"relocate/tarball"
)

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	plan := tiny(t).plan(t)
	dir := t.TempDir()
	_, err := tarball.Create(dir, plan, tarball.Request{}, 1)
	require.ErrorContains(t, err, "is a folder")
	_, err = tarball.Create(filepath.Join(dir, "none", "a.tar"), plan, tarball.Request{}, 1)
	require.ErrorIs(t, err, os.ErrNotExist)
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	_, err = tarball.Create(filepath.Join(plain, "a.tar"), plan, tarball.Request{}, 1)
	require.Error(t, err, "its folder is a file")
	assertOnly(t, dir, "plain")

	sha512 := tiny(t).plan(t)
	sha512.Blobs[2].Descriptor.Digest = v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}
	_, err = tarball.Create(filepath.Join(dir, "a.tar"), sha512, tarball.Request{}, 1)
	require.ErrorContains(t, err, "only sha256 is supported")
	_, err = tarball.New(t.Context(), sha512, nil, tarball.Request{})
	require.ErrorContains(t, err, "only sha256 is supported")
	assertOnly(t, dir, "plain")
}

// TestCreateReplacesNothingElse than a file: rename would put the archive in the place of a device or a
// link. The targets are this test's own: as root, what is refused wrongly would be lost.
func TestCreateReplacesNothingElse(t *testing.T) {
	t.Parallel()
	plan := tiny(t).plan(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	socket, err := net.Listen("unix", path("socket"))
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, os.WriteFile(path("file"), nil, 0o600))
	require.NoError(t, os.Symlink("file", path("link")))
	require.NoError(t, os.Symlink("none", path("dangling")))
	for name, says := range map[string]string{
		"socket":   "it is not a regular file",
		"link":     "it is a symbolic link; name the file that it points to",
		"dangling": "it is a symbolic link; name the file that it points to",
	} {
		_, err := tarball.Create(path(name), plan, tarball.Request{}, 1)
		assert.EqualError(t, err, "create "+path(name)+": "+says)
	}
	assertOnly(t, dir, "dangling", "file", "link", "socket")
}

// assertOnly holds a folder to the names that it has.
func assertOnly(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	assert.Equal(t, want, got)
}

// TestPartThere: a file that has the name of the unfinished archive, and is not ours, stays as it is.
func TestPartThere(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	path := filepath.Join(t.TempDir(), "a.tar")
	require.NoError(t, os.WriteFile(path+".part", []byte("precious"), 0o600))
	_, err := tarball.Create(path, m.plan(t), tarball.Request{}, 1)
	require.ErrorIs(t, err, tarball.ErrPartExists)
	require.NoError(t, tarball.Discard(path))
	kept, err := os.ReadFile(path + ".part")
	require.NoError(t, err)
	assert.Equal(t, "precious", string(kept))
	require.NoError(t, os.Remove(path+".part"))

	require.NoError(t, os.Symlink("elsewhere", path+".part.journal"))
	_, err = tarball.Create(path, m.plan(t), tarball.Request{}, 1)
	require.ErrorIs(t, err, ownfile.ErrUnsafe)
}

// TestOldFileStays until the new one is whole, and when there will be none.
func TestOldFileStays(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	for _, commit := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.tar")
		old := func() string {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			return string(b)
		}
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
		w, err := tarball.Create(path, m.plan(t), tarball.Request{}, 1)
		require.NoError(t, err)
		assert.Equal(t, "old", old())
		put(t, w, 1, m.plan(t).Blobs, m)
		assert.Equal(t, "old", old())
		assertOnly(t, dir, "a.tar", "a.tar.part", "a.tar.part.journal")
		if commit {
			require.NoError(t, w.Commit())
			assert.Equal(t, string(m.bytes(t)), old())
		} else {
			require.NoError(t, w.Suspend())
			assert.Equal(t, "old", old())
			require.NoError(t, tarball.Discard(path))
		}
		assertOnly(t, dir, "a.tar")
	}
}

var errNetwork = errors.New("the network broke")

// TestPutBlobRefuses: content that is not the blob's leaves an archive that cannot be committed.
func TestPutBlobRefuses(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20-513, 1<<20-512, 3<<20)
	plan, empty := m.plan(t), m.layer(0)
	from := func(r ...io.Reader) func([]byte) io.Reader {
		return func([]byte) io.Reader { return io.MultiReader(r...) }
	}
	tests := map[string]struct {
		reader func(content []byte) io.Reader // what is read in place of content
		says   string
	}{
		"nothing":          {from(), "too few"},
		"a byte too few":   {func(b []byte) io.Reader { return bytes.NewReader(b[:len(b)-1]) }, "1 bytes too few"},
		"a byte too many":  {func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b), strings.NewReader("x")) }, "more than"},
		"far too many":     {func([]byte) io.Reader { return endless{} }, "more than"},
		"an error at once": {from(iotest.ErrReader(errNetwork)), errNetwork.Error()},
		"an error in the middle": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errNetwork))
		}, errNetwork.Error()},
		"an error in place of the end": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errNetwork))
		}, errNetwork.Error()},
		"a connection closed in place of the end": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, "unexpected EOF"},
		"an error that tells of a connection closed": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errors.Join(errNetwork, io.ErrUnexpectedEOF, io.EOF)))
		}, errNetwork.Error()},
		"wrong content": {func(b []byte) io.Reader {
			return digest.Reader(bytes.NewReader(bytes.ToUpper(b)), digest.Of(b), int64(len(b)))
		}, digest.ErrMismatch.Error()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w, err := tarball.Create(filepath.Join(dir, "a.tar"), plan, tarball.Request{}, 1)
			require.NoError(t, err)
			closed := 0
			for _, b := range plan.Blobs {
				content := m.content(b.Descriptor.Digest)
				if len(content) < 2 || bytes.Equal(content, bytes.ToUpper(content)) {
					require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, m.opener(*b.Descriptor)))
					continue
				}
				err := w.PutBlob(t.Context(), *b.Descriptor, func(context.Context, int64) (io.ReadCloser, error) {
					return &closer{test.reader(content), &closed}, nil
				})
				require.ErrorContains(t, err, test.says, "%d bytes", len(content))
				closed--
			}
			assert.Zero(t, closed, "each reader is closed once")
			require.ErrorContains(t, w.Commit(), "was not written")
			require.NoFileExists(t, filepath.Join(dir, "a.tar"))
		})
	}
	t.Run("empty blob", func(t *testing.T) {
		t.Parallel()
		w, err := tarball.Create(filepath.Join(t.TempDir(), "a.tar"), plan, tarball.Request{}, 1)
		require.NoError(t, err)
		for _, r := range []io.Reader{strings.NewReader("x"), iotest.ErrReader(errNetwork), iotest.ErrReader(io.ErrUnexpectedEOF)} {
			require.Error(t, w.PutBlob(t.Context(), empty, func(context.Context, int64) (io.ReadCloser, error) { return io.NopCloser(r), nil }))
		}
		require.NoError(t, w.Suspend())
	})
}

type closer struct {
	io.Reader
	closed *int
}

func (c *closer) Close() error {
	*c.closed++
	return nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestPutBlobAgain: what failed once may be tried again, and then nothing of the first try is left.
func TestPutBlobAgain(t *testing.T) {
	t.Parallel()
	m := repository(t, 2<<20)
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := tarball.Create(path, m.plan(t), tarball.Request{}, 1)
	require.NoError(t, err)
	for _, b := range m.plan(t).Blobs {
		require.Error(t, w.PutBlob(t.Context(), *b.Descriptor, func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, b.Descriptor.Size/2)), iotest.ErrReader(errNetwork))), nil
		}))
	}
	whole := 0
	for _, b := range m.plan(t).Blobs {
		require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, func(ctx context.Context, from int64) (io.ReadCloser, error) {
			if from == 0 && b.Descriptor.Size == 2<<20 {
				whole++
			}
			return m.opener(*b.Descriptor)(ctx, from)
		}))
	}
	assert.Equal(t, 1, whole, "of the layer, zeros were kept")
	put(t, w, 1, m.plan(t).Blobs, m)
	put(t, w, 4, m.plan(t).Blobs, m)
	require.NoError(t, w.Commit())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(m.bytes(t), got))
}

func TestPutBlobOutsideThePlan(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	dir := t.TempDir()
	w, err := tarball.Create(filepath.Join(dir, "a.tar"), m.plan(t), tarball.Request{}, 1)
	require.NoError(t, err)
	never := func(context.Context, int64) (io.ReadCloser, error) {
		t.Error("the content is not wanted")
		return nil, errNetwork
	}
	require.ErrorContains(t, w.PutBlob(t.Context(), describe("", []byte("other")), never), "is not in the plan")
	d := m.layer(600)
	d.Size--
	require.ErrorContains(t, w.PutBlob(t.Context(), d, never), "is not in the plan")
	err = w.PutBlob(t.Context(), m.layer(600), func(context.Context, int64) (io.ReadCloser, error) { return nil, errNetwork })
	require.ErrorIs(t, err, errNetwork)
	err = w.PutBlob(t.Context(), m.layer(600), func(context.Context, int64) (io.ReadCloser, error) {
		return struct {
			io.Reader
			io.Closer
		}{bytes.NewReader(noise(600)), closeError{}}, nil
	})
	require.ErrorIs(t, err, errNetwork, "an error of Close counts")
	require.NoError(t, w.Suspend())
	assertOnly(t, dir)
}

type closeError struct{}

func (closeError) Close() error { return errNetwork }

func TestCommitWithoutABlob(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	blobs := m.plan(t).Blobs
	for missing := range blobs {
		dir := t.TempDir()
		w, err := tarball.Create(filepath.Join(dir, "a.tar"), m.plan(t), tarball.Request{}, 1)
		require.NoError(t, err)
		put(t, w, 1, blobs[:missing], m)
		put(t, w, 1, blobs[missing+1:], m)
		err = w.Commit()
		require.ErrorContains(t, err, "blob "+blobs[missing].Descriptor.Digest.String()+" was not written")
		require.NoError(t, tarball.Discard(filepath.Join(dir, "a.tar")))
		assertOnly(t, dir)
	}
}

// TestCommitOnAFolder: what became a folder meanwhile stays one.
func TestCommitOnAFolder(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar")
	w, err := tarball.Create(path, m.plan(t), tarball.Request{}, 1)
	require.NoError(t, err)
	put(t, w, 1, m.plan(t).Blobs, m)
	require.NoError(t, os.Mkdir(path, 0o755))
	require.Error(t, w.Commit())
	assertOnly(t, dir, "a.tar", "a.tar.part", "a.tar.part.journal")
}
