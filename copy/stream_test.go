package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
)

// flowing is a plan whose layers come in once. Its small section is the fixture's.
type flowing struct {
	*fixture
	next  int
	ended error // at the end; nil is io.EOF
	cut   v1.Hash
}

// newFlowing adds a layer that is too large to be held in memory.
func newFlowing(t *testing.T) (*flowing, v1.Descriptor) {
	t.Helper()
	f := newFixture(t)
	large := f.addBlob(types.OCILayer, bytes.Repeat([]byte("large"), maxHeld/4))
	f.lone = f.addImage(t, "large", f.base, large, f.layer)
	f.root = f.addBundle(t, f.inner, f.lone, f.shared)
	f.memory.tags["1.0"] = f.root.Digest
	g, err := bundle.Walk(t.Context(), f, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{})
	require.NoError(t, err)
	f.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	f.opt.Tags = []Tag{{"1.0", f.root.Digest}}
	return &flowing{fixture: f, next: f.plan.Small}, large
}

func (f *flowing) Next() (v1.Hash, io.Reader, error) {
	if f.next == len(f.plan.Blobs) {
		if f.ended != nil {
			return v1.Hash{}, nil, f.ended
		}
		return v1.Hash{}, nil, io.EOF
	}
	d := f.plan.Blobs[f.next].Descriptor.Digest
	f.next++
	var r io.Reader = bytes.NewReader(f.blobs[d])
	if d == f.cut {
		r = io.MultiReader(bytes.NewReader(f.blobs[d][:len(f.blobs[d])/2]), iotest.ErrReader(errCut))
	}
	return d, r, nil
}

var errCut = errors.New("cut")

// pour copies what flows to dst.
func (f *flowing) pour(t *testing.T, dst Repository, scratch scratchSpace) (*Result, error) {
	t.Helper()
	return FromStream(t.Context(), f.plan, f, dst, target, scratch, 100, f.opt)
}

// kept is a scratch file with so much room, in bytes.
type scratchFile struct {
	b    []byte
	room int64
}

func newScratchFile() *scratchFile { return &scratchFile{room: 100 << 20} }

func (s *scratchFile) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.room {
		return 0, syscall.ENOSPC
	}
	if more := int(off) + len(p) - len(s.b); more > 0 {
		s.b = append(s.b, make([]byte, more)...)
	}
	return copy(s.b[off:], p), nil
}

func (s *scratchFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, off)
}

// TestFromStream makes of a stream what ToRepository makes of a file; a second one writes nothing.
func TestFromStream(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{1, 5} {
		f, _ := newFlowing(t)
		f.opt.Jobs = jobs
		dst, whole, scratch := newMemory(), newMemory(), newScratchFile()
		result, err := f.pour(t, dst, scratch)
		require.NoError(t, err)
		want, err := f.fill(t, whole)
		require.NoError(t, err)
		assert.Equal(t, want, result)
		assert.Equal(t, whole.tags, dst.tags)
		assert.Equal(t, whole.manifests, dst.manifests)
		assert.Equal(t, whole.blobs, dst.blobs)
		checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
		assert.Equal(t, make([]byte, 100), scratch.b[:100], "what comes before the layers is not touched")

		f.next, dst.puts = f.plan.Small, nil
		_, err = f.pour(t, dst, newScratchFile())
		require.NoError(t, err)
		assert.Empty(t, dst.puts)
	}
}

// TestFromStreamBroken: nothing is put but layers when the stream breaks or its end is wrong.
func TestFromStreamBroken(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(f *flowing, large v1.Descriptor){
		"end":           func(f *flowing, _ v1.Descriptor) { f.ended = errCut },
		"cut, large":    func(f *flowing, large v1.Descriptor) { f.cut = large.Digest },
		"cut, small":    func(f *flowing, _ v1.Descriptor) { f.cut = f.layer.Digest },
		"damaged large": func(f *flowing, large v1.Descriptor) { f.blobs[large.Digest][5] ^= 1 },
		"damaged small": func(f *flowing, _ v1.Descriptor) { f.blobs[f.layer.Digest][5] ^= 1 },
	} {
		for _, keepGoing := range []bool{false, true} {
			f, large := newFlowing(t)
			f.opt.KeepGoing = keepGoing
			spoil(f, large)
			dst := newMemory()
			_, err := f.pour(t, dst, newScratchFile())
			require.Error(t, err, name)
			require.NotErrorAs(t, err, new(*PartialError), "%s: a broken stream is the end", name)
			assert.Empty(t, dst.manifests, name)
		}
	}
}

// trying is a repository that tries uploads again, and breaks the first of large blobs in the middle.
type trying struct {
	*memory
	breaks atomic.Int32
	after  int64
}

func (r *trying) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	for d.Size > r.after && r.breaks.Add(-1) >= 0 {
		body, err := open(ctx)
		if err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, body, r.after+int64(r.breaks.Load()))
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	return r.memory.PutBlob(ctx, d, open)
}

// TestFromStreamRetry: another try gets the bytes that have gone by, and reads on.
func TestFromStreamRetry(t *testing.T) {
	t.Parallel()
	for _, breaks := range []int32{1, 3} {
		f, large := newFlowing(t)
		dst := &trying{memory: newMemory(), after: maxHeld}
		dst.breaks.Store(breaks)
		_, err := f.pour(t, dst, newScratchFile())
		require.NoError(t, err)
		assert.Equal(t, f.blobs[large.Digest], dst.blobs[large.Digest])
		assert.Contains(t, dst.tags, "1.0")
	}
}

// spoiling is a repository to which blobs come damaged, so often each.
type spoiling struct {
	*memory
	times int
	mu    sync.Mutex
	count map[v1.Hash]int
}

func (r *spoiling) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	r.mu.Lock()
	r.count[d.Digest]++
	isDamaged := r.count[d.Digest] <= r.times
	r.mu.Unlock()
	if !isDamaged {
		return r.memory.PutBlob(ctx, d, open)
	}
	body, err := open(ctx)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, body); err == nil {
		err = fmt.Errorf("refused: %w", digest.ErrMismatch)
	}
	return errors.Join(err, body.Close())
}

// TestFromStreamDamagedOnItsWay: a layer that came in right and did not arrive so is sent once more, small or large; one
// that came in damaged is not.
func TestFromStreamDamagedOnItsWay(t *testing.T) {
	t.Parallel()
	for _, times := range []int{1, 2} {
		f, large := newFlowing(t)
		dst := &spoiling{memory: newMemory(), times: times, count: map[v1.Hash]int{}}
		var again atomic.Int64
		f.opt.Progress = func(s Step) { again.Add(int64(s.Reread)) }
		_, err := f.pour(t, dst, newScratchFile())
		if times == 2 {
			require.ErrorIs(t, err, digest.ErrMismatch)
			assert.Empty(t, dst.manifests)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, f.blobs[large.Digest], dst.blobs[large.Digest])
		assert.Contains(t, dst.tags, "1.0")
		for _, d := range []v1.Hash{large.Digest, f.layer.Digest} {
			assert.Equal(t, 2, dst.count[d])
		}
		assert.GreaterOrEqual(t, again.Load(), int64(2))
	}
	f, large := newFlowing(t)
	f.blobs[large.Digest][5] ^= 1
	dst := &spoiling{memory: newMemory(), count: map[v1.Hash]int{}}
	_, err := f.pour(t, dst, newScratchFile())
	require.ErrorIs(t, err, digest.ErrMismatch)
	assert.Equal(t, 1, dst.count[large.Digest])
}

// waiting is a repository that refuses small blobs, and takes large ones until that ends the copy.
type waiting struct{ *memory }

func (waiting) PutBlob(ctx context.Context, d v1.Descriptor, _ func(context.Context) (io.ReadCloser, error)) error {
	if d.Size <= maxHeld {
		return errCut
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestFromStreamOneFailure: the failure that ends a copy is told once, and not again for each layer that it stopped.
func TestFromStreamOneFailure(t *testing.T) {
	t.Parallel()
	f, large := newFlowing(t)
	_, err := f.pour(t, waiting{newMemory()}, newScratchFile())
	require.ErrorIs(t, err, errCut)
	assert.NotContains(t, err.Error(), large.Digest.String())
}

// TestFromStreamWithoutRoom: a layer that cannot be kept goes through when its first try does.
func TestFromStreamWithoutRoom(t *testing.T) {
	t.Parallel()
	for _, room := range []int64{0, 100, 101, 1 << 20} {
		f, large := newFlowing(t)
		dst := &trying{memory: newMemory(), after: maxHeld}
		_, err := f.pour(t, dst, &scratchFile{room: room})
		require.NoError(t, err)
		assert.Equal(t, f.blobs[large.Digest], dst.blobs[large.Digest])

		f, _ = newFlowing(t)
		dst = &trying{memory: newMemory(), after: maxHeld}
		dst.breaks.Store(1)
		_, err = f.pour(t, dst, &scratchFile{room: room})
		require.ErrorContains(t, err, "another try is not possible: keep its beginning")
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.Empty(t, dst.manifests)

		f, large = newFlowing(t)
		f.opt.KeepGoing = true
		dst = &trying{memory: newMemory(), after: maxHeld}
		dst.breaks.Store(1)
		result, err := f.pour(t, dst, &scratchFile{room: room})
		assert.Equal(t, []v1.Hash{large.Digest}, failuresOf(t, err))
		require.NotNil(t, result)
		assert.NotContains(t, dst.manifests, f.lone.Digest)
		assert.Contains(t, dst.manifests, f.shared.Digest)
		assert.NotContains(t, dst.tags, "1.0")
	}
}
