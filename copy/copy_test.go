package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
)

// sink is a Sink that notes what it got.
type sink func(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error

func (s sink) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
	return s(ctx, d, open)
}

func readAll(ctx context.Context, open func(context.Context, int64) (io.ReadCloser, error)) error {
	r, err := open(ctx, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func TestToArchive(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{0, 1, 5} {
		t.Run(fmt.Sprint(jobs), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			progress, done := progressOf()
			var mu sync.Mutex
			var got, want []v1.Hash
			err := ToArchive(t.Context(), f.plan, f, sink(func(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
				mu.Lock()
				got = append(got, d.Digest)
				mu.Unlock()
				r, err := open(ctx, 0) // a first try that breaks off
				if err != nil {
					return err
				}
				if _, err := io.CopyN(io.Discard, r, d.Size/2); err != nil {
					return err
				}
				return errors.Join(r.Close(), readAll(ctx, open), readAll(ctx, open))
			}), ArchiveOptions{Jobs: jobs, Progress: progress})
			require.NoError(t, err)
			for _, b := range f.plan.Blobs {
				want = append(want, b.Descriptor.Digest)
			}
			if jobs <= 1 {
				assert.Equal(t, want, got, "file order")
			} else {
				assert.ElementsMatch(t, want, got)
			}
			blobs, bytes := done()
			assert.Equal(t, len(f.plan.Blobs), blobs)
			assert.Equal(t, f.plan.Size(), bytes)
		})
	}
}

// A sink that has a blob already need not read it.
func TestProgressWithoutReading(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	progress, done := progressOf()
	none := sink(func(context.Context, v1.Descriptor, func(context.Context, int64) (io.ReadCloser, error)) error {
		return nil
	})
	require.NoError(t, ToArchive(t.Context(), f.plan, f, none, ArchiveOptions{Jobs: 2, Progress: progress}))
	blobs, bytes := done()
	assert.Equal(t, len(f.plan.Blobs), blobs)
	assert.Equal(t, f.plan.Size(), bytes)
	assert.NoError(t, ToArchive(t.Context(), f.plan, f, none, ArchiveOptions{Jobs: 2}))
}

func TestToArchiveFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	full := errors.New("full")
	n := 0
	err := ToArchive(t.Context(), f.plan, f, sink(func(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
		if n++; n == 3 {
			return full
		}
		return readAll(ctx, open)
	}), ArchiveOptions{})
	assert.ErrorIs(t, err, full)
	assert.ErrorContains(t, err, "copy blob "+f.plan.Blobs[2].Descriptor.Digest.String()+" of "+f.plan.Blobs[2].Node.Name()+": full")
	assert.Equal(t, 3, n, "nothing follows")

	f.blobs[f.layer.Digest] = append([]byte("x"), f.blobs[f.layer.Digest][1:]...)
	progress, done := progressOf()
	err = ToArchive(t.Context(), f.plan, f, sink(func(ctx context.Context, _ v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
		return readAll(ctx, open)
	}), ArchiveOptions{Jobs: 3, Progress: progress})
	assert.ErrorIs(t, err, digest.ErrMismatch)
	assert.ErrorContains(t, err, "copy blob "+f.layer.Digest.String()+" of "+source+"@"+f.lone.Digest.String())
	blobs, _ := done()
	assert.Less(t, blobs, len(f.plan.Blobs))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, ToArchive(ctx, f.plan, f, sink(nil), ArchiveOptions{Jobs: 3}), context.Canceled)
}

func scratch(t *testing.T) *os.File {
	file, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// TestSpool walks through a spool, and copies from it: the walk's documents are read once, even when
// many ask for them at once.
func TestSpool(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := scratch(t)
	spool := NewSpool(f, file)
	ref := name.MustParseReference(source + ":1.0")
	g, err := bundle.Walk(t.Context(), spool.Keeping(), []name.Reference{ref}, bundle.WalkOptions{Jobs: 8})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	all := sink(func(ctx context.Context, _ v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
		return readAll(ctx, open)
	})
	require.NoError(t, ToArchive(t.Context(), plan, spool, all, ArchiveOptions{Jobs: 8}))
	for what, n := range f.reads {
		assert.Equal(t, 1, n, what)
	}

	// What the file has is checked.
	require.NoError(t, file.Truncate(0))
	require.NoError(t, file.Truncate(1<<20))
	err = ToArchive(t.Context(), plan, spool, all, ArchiveOptions{})
	assert.ErrorIs(t, err, digest.ErrMismatch)
	assert.ErrorContains(t, err, "read from the scratch file")
	r, err := spool.Blob(t.Context(), target, g.Node(f.root.Digest).Blobs[0])
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	assert.ErrorIs(t, err, digest.ErrMismatch)
}

func TestSpoolConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const readers = 16
	waiting := make(chan struct{}, 2*readers)
	f.before = func(context.Context, string) error {
		for range readers - 1 { // so that all of them ask while the first reads
			<-waiting
		}
		return nil
	}
	src := NewSpool(f, scratch(t)).Keeping()
	repo := name.MustParseReference(source).Context()
	var g errgroup.Group
	for range readers {
		g.Go(func() error {
			waiting <- struct{}{}
			_, _, err := src.Manifest(t.Context(), repo.Digest(f.lone.Digest.String()))
			if err != nil {
				return err
			}
			waiting <- struct{}{}
			r, err := src.Blob(t.Context(), repo, f.layer)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		})
	}
	require.NoError(t, g.Wait())
	assert.Equal(t, map[string]int{"manifest " + f.lone.Digest.String(): 1, "blob " + f.layer.Digest.String(): 1}, f.reads)
}

// A scratch file that is full fails the walk.
func TestSpoolIsFull(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := scratch(t)
	require.NoError(t, file.Close())
	_, _, err := NewSpool(f, file).Keeping().Manifest(t.Context(), target.Digest(f.lone.Digest.String()))
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorContains(t, err, "keep "+f.lone.Digest.String())
}

// TestSpoolReadsAgain: one damaged transfer does not end a walk; content that stays damaged does.
func TestSpoolReadsAgain(t *testing.T) {
	t.Parallel()
	for damaged, want := range map[int]int{0: 0, 1: 1, 2: 0} {
		f := newFixture(t)
		src := &flipping{fixture: f, of: f.layer.Digest, left: damaged}
		spool := NewSpool(src, scratch(t))
		r, err := spool.Keeping().Blob(t.Context(), target, f.layer)
		if damaged == 2 {
			require.ErrorIs(t, err, digest.ErrMismatch)
			assert.ErrorContains(t, err, "read twice")
		} else {
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, f.blobs[f.layer.Digest], got)
		}
		assert.Equal(t, want, spool.ReadAgain(), "%d damaged", damaged)
	}
}

// flipping is a source that damages a blob in the next left transfers.
type flipping struct {
	*fixture
	of   v1.Hash
	left int
}

func (f *flipping) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if d.Digest != f.of || f.left == 0 {
		return f.fixture.Blob(ctx, repo, d)
	}
	f.left--
	raw := slices.Clone(f.blobs[d.Digest])
	raw[len(raw)/2] ^= 1
	return io.NopCloser(digest.Reader(bytes.NewReader(raw), d.Digest, d.Size)), nil
}

// refusing answers every request for a manifest with an error, and counts them.
type refusing struct {
	bundle.Source
	answer error
	asked  int
}

func (r *refusing) Manifest(context.Context, name.Reference) (v1.Descriptor, []byte, error) {
	r.asked++
	return v1.Descriptor{}, nil, r.answer
}

// elsewhere has no manifests in one repository.
type elsewhere struct {
	*fixture
	not name.Repository
}

func (e elsewhere) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if ref.Context() == e.not {
		return v1.Descriptor{}, nil, fs.ErrNotExist
	}
	return e.fixture.Manifest(ctx, ref)
}

// TestSpoolKnowsPlaces: what one repository has and another has not is found in the same place by a second walk.
func TestSpoolKnowsPlaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	far, err := name.NewRepository("far.test/lone")
	require.NoError(t, err)
	src := NewSpool(elsewhere{f, far}, scratch(t)).Keeping()
	d := f.lone.Digest.String()
	for range 2 {
		_, _, err := src.Manifest(t.Context(), far.Digest(d))
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, _, err = src.Manifest(t.Context(), target.Digest(d))
		require.NoError(t, err)
	}
}

// TestSpoolRemembersAbsence: walks ask once for what a place does not have, or does not show.
func TestSpoolRemembersAbsence(t *testing.T) {
	t.Parallel()
	for answer, want := range map[error]int{fs.ErrNotExist: 1, fs.ErrPermission: 1, errors.New("try again"): 3} {
		src := &refusing{answer: answer}
		spool := NewSpool(src, scratch(t)).Keeping()
		for range 3 {
			_, _, err := spool.Manifest(t.Context(), name.MustParseReference(source+":1.0"))
			require.ErrorIs(t, err, answer)
		}
		assert.Equal(t, want, src.asked, answer)
	}
}
