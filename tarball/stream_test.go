package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/tarball"
)

// stream writes the archive of m as a stream, with so many blobs put at once.
func (m *memory) stream(t testing.TB, w io.Writer, jobs int) error {
	t.Helper()
	plan := m.plan(t)
	s, err := tarball.NewStreamWriter(w, plan)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(jobs)
	for _, b := range plan.Blobs {
		g.Go(func() error { return s.PutBlob(ctx, *b.Descriptor, m.opener(*b.Descriptor)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.Commit()
}

// TestStreamWriter writes what Writer writes.
func TestStreamWriter(t *testing.T) {
	t.Parallel()
	m := repository(t, 5<<20, 4<<20, 4<<20+1, 100)
	want := m.bytes(t)
	for _, jobs := range []int{1, 2, 3, 16} {
		var got bytes.Buffer
		require.NoError(t, m.stream(t, &got, jobs))
		assert.True(t, bytes.Equal(want, got.Bytes()), "%d at once", jobs)
	}
}

// TestStreamWriterFails: what cannot be written or read ends it, and so it does for those who wait.
func TestStreamWriterFails(t *testing.T) {
	t.Parallel()
	m := repository(t, 5<<20, 6<<20, 100)
	full := int64(len(m.bytes(t)))
	for _, limit := range []int64{0, 3 << 20, 6 << 20, full - 1} {
		err := m.stream(t, &limited{left: limit}, 4)
		require.ErrorIs(t, err, tarball.ErrNoSpace, "after %d bytes", limit)
		require.ErrorContains(t, err, "write ")
	}
	plan := m.plan(t)
	at := slices.IndexFunc(plan.Blobs, func(b bundle.Blob) bool { return b.Descriptor.Size == 6<<20 })
	broken := plan.Blobs[at] // its beginning is out before its end is known
	right := m.content(broken.Descriptor.Digest)
	m.blobs[broken.Descriptor.Digest] = append(bytes.Clone(right[:len(right)-1]), right[len(right)-1]^1)
	s, err := tarball.NewStreamWriter(io.Discard, plan)
	require.NoError(t, err)
	for _, b := range plan.Blobs[:at] {
		require.NoError(t, s.PutBlob(t.Context(), *b.Descriptor, m.opener(*b.Descriptor)))
	}
	require.ErrorIs(t, s.PutBlob(t.Context(), *broken.Descriptor, m.opener(*broken.Descriptor)), digest.ErrMismatch)
	m.blobs[broken.Descriptor.Digest] = right
	require.Error(t, s.PutBlob(t.Context(), *broken.Descriptor, m.opener(*broken.Descriptor)), "some of it is out")
	require.ErrorContains(t, s.Commit(), "was not written")
}

// limited is a writer that has room for some bytes.
type limited struct{ left int64 }

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "pipe", Err: syscall.ENOSPC}
	}
	return len(p), nil
}

// TestStreamWriterAgain: a blob that was wrong once, and of which nothing is out, can be put again.
func TestStreamWriterAgain(t *testing.T) {
	t.Parallel()
	m := repository(t, 3<<20)
	plan := m.plan(t)
	var got bytes.Buffer
	s, err := tarball.NewStreamWriter(&got, plan)
	require.NoError(t, err)
	for _, b := range plan.Blobs {
		require.ErrorIs(t, s.PutBlob(t.Context(), *b.Descriptor, func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(digest.Reader(io.LimitReader(endless{}, b.Descriptor.Size+1), b.Descriptor.Digest, b.Descriptor.Size)), nil
		}), digest.ErrMismatch)
		require.NoError(t, s.PutBlob(t.Context(), *b.Descriptor, m.opener(*b.Descriptor)))
	}
	require.NoError(t, s.Commit())
	assert.True(t, bytes.Equal(m.bytes(t), got.Bytes()))
}

// take reads a stream to its end, as an import does, and returns its blobs.
func take(t testing.TB, r io.Reader, file *ram) (blobs map[string]bool, err error) {
	t.Helper()
	s, err := tarball.OpenStream(r, file)
	if err != nil {
		return nil, err
	}
	plan, err := s.Plan(t.Context(), 3, nil)
	if err != nil {
		return nil, err
	}
	blobs = map[string]bool{}
	for _, b := range plan.Blobs[plan.Small:] {
		d, r, err := s.Next()
		if err != nil {
			return blobs, err
		}
		require.Equal(t, b.Descriptor.Digest, d)
		if _, err := io.Copy(io.Discard, digest.Reader(r, d, b.Descriptor.Size)); err != nil {
			return blobs, err
		}
		blobs[d.String()] = true
	}
	if _, _, err := s.Next(); err != io.EOF {
		return blobs, err
	}
	for _, b := range plan.Blobs[:plan.Small] {
		r, err := s.Blob(t.Context(), b.Node.From, *b.Descriptor)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r)
		require.NoError(t, err)
	}
	_, err = s.Blob(t.Context(), plan.Blobs[plan.Small].Node.From, *plan.Blobs[plan.Small].Descriptor)
	require.ErrorIs(t, err, tarball.ErrPassed)
	return blobs, nil
}

// ram is a scratch file.
type ram struct {
	mu    sync.Mutex
	b     []byte
	limit int
}

func (r *ram) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off >= int64(len(r.b)) {
		return 0, io.EOF
	}
	n := copy(p, r.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *ram) WriteAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := int(off) + len(p); r.limit > 0 && end > r.limit {
		return 0, &os.PathError{Op: "write", Path: "scratch", Err: syscall.ENOSPC}
	} else if end > len(r.b) {
		r.b = append(r.b, make([]byte, end-len(r.b))...)
	}
	return copy(r.b[off:], p), nil
}

// TestStreamRead reads a stream, however it comes.
func TestStreamRead(t *testing.T) {
	t.Parallel()
	b := repository(t).bytes(t)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(b), "a byte at a time": iotest.OneByteReader(bytes.NewReader(b)),
		"halves": iotest.HalfReader(bytes.NewReader(b)), "the end with the last bytes": iotest.DataErrReader(bytes.NewReader(b)),
	} {
		file := &ram{}
		blobs, err := take(t, r, file)
		require.NoError(t, err, name)
		assert.Len(t, blobs, 9, name)
		assert.Less(t, len(file.b), len(b)-70_000, "layers are not kept")
	}
}

// TestStreamCut: wherever it ends, it is cut off, or too short to be told.
func TestStreamCut(t *testing.T) {
	t.Parallel()
	b := repository(t).bytes(t)
	for n := 0; n < len(b); n += 499 {
		_, err := take(t, bytes.NewReader(b[:n]), &ram{})
		require.Error(t, err, "%d bytes", n)
		require.True(t, errors.Is(err, tarball.ErrTruncated) || n < 1536 && errors.Is(err, tarball.ErrNotArchive), "%d bytes: %v", n, err)
	}
	_, err := take(t, io.MultiReader(bytes.NewReader(b), bytes.NewReader([]byte{0, 1})), &ram{})
	require.ErrorIs(t, err, tarball.ErrDamaged)
	for _, n := range []int{0, 5000, len(b) / 2, len(b)} {
		_, err := take(t, io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(errNetwork)), &ram{})
		require.ErrorIs(t, err, errNetwork, "after %d bytes", n)
	}
}

// TestStreamFlipped: no flipped bit goes unseen.
func TestStreamFlipped(t *testing.T) {
	t.Parallel()
	b := repository(t).bytes(t)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		damaged, at := bytes.Clone(b), rnd.IntN(len(b))
		damaged[at] ^= 1 << rnd.IntN(8)
		_, err := take(t, bytes.NewReader(damaged), &ram{})
		require.Error(t, err, "byte %d, seed %d", at, seed)
	}
}

// TestStreamScratchFull says so, wherever it happens and whoever reads meanwhile.
func TestStreamScratchFull(t *testing.T) {
	t.Parallel()
	b := repository(t).bytes(t)
	file := &ram{}
	_, err := take(t, bytes.NewReader(b), file)
	require.NoError(t, err)
	for limit := 1; limit < len(file.b); limit += 1009 {
		_, err := take(t, bytes.NewReader(b), &ram{limit: limit})
		require.ErrorIs(t, err, tarball.ErrNoSpace, fmt.Sprint(limit))
		require.ErrorContains(t, err, "write scratch")
	}
}
