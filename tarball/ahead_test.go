package tarball_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/internal/digest"
)

// TestRangedAgain: a blob that arrived damaged among others is asked for again, alone.
func TestRangedAgain(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := layered(t, 60, 60_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	plan, err := s.CheckedPlan(t.Context(), 8, nil)
	require.NoError(t, err)
	bad := slices.Clone(archive)
	for i := 2 << 20; i < len(bad); i++ {
		bad[i] ^= 1
	}
	swap := func(archive []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.archive = archive
	}
	swap(bad)
	wrong := 0
	for _, b := range plan.Blobs[plan.Small:] {
		if err := s.readBlob(t.Context(), *b.Descriptor); err != nil {
			require.ErrorIs(t, err, digest.ErrMismatch)
			wrong++
			swap(archive)
			require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
			swap(bad)
		}
	}
	assert.Greater(t, wrong, 20)
}

// TestRangedFails: a blob that cannot be read fails, and those that were to come with it are asked for again.
func TestRangedFails(t *testing.T) {
	t.Parallel()
	archive := layered(t, 60, 60_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	plan, err := s.CheckedPlan(t.Context(), 8, nil)
	require.NoError(t, err)
	answer := func(h http.Handler) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answer = h
	}
	failed := 0
	for i, b := range plan.Blobs[plan.Small:] {
		if i%3 == 0 {
			answer(http.NotFoundHandler())
		}
		err := s.readBlob(t.Context(), *b.Descriptor)
		if answer(nil); err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
			failed++
			require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
		}
	}
	assert.Positive(t, failed)
}

// TestRangedSparse: where the destination has most blobs, the others cost about what they are. Those that follow
// one another are read together again.
func TestRangedSparse(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := layered(t, 400, 20_000).bytes(t)
	for _, each := range []int{2, 3, 10, 50} {
		s, err := serveArchive(t, archive)
		require.NoError(t, err)
		plan, err := s.Plan(t.Context(), 8, nil)
		require.NoError(t, err)
		before, bytes := s.file.Counts(), int64(0)
		layers := plan.Blobs[plan.Small+60:]
		for i := 0; i < len(layers)-100; i += each {
			require.NoError(t, s.readBlob(t.Context(), *layers[i].Descriptor))
			bytes += layers[i].Descriptor.Size
		}
		_, read := s.spent(before)
		assert.Less(t, read, bytes+1<<20, "every %d-th", each)
		before = s.file.Counts()
		for _, b := range layers[len(layers)-100:] {
			require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
		}
		requests, _ := s.spent(before)
		assert.Less(t, requests, int64(30), "after every %d-th", each)
	}
}

// TestRangedGaps: blobs that nobody asks for while those around them are read can be read later, and no connection
// stays open for them.
func TestRangedGaps(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := layered(t, 400, 20_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	plan, err := s.Plan(t.Context(), 8, nil)
	require.NoError(t, err)
	layers := plan.Blobs[plan.Small:]
	for gaps := range 2 {
		for i, b := range layers {
			if (i%7 == 0) == (gaps == 1) {
				require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
			}
		}
	}
	assert.Less(t, s.file.Counts().Read, int64(len(archive))*5/4)
}

// TestRangedAnyOrder: blobs are right in whatever order they are read, at once, twice, or not to their end, although
// connections break; and nothing stays open. What they cost stays within what was read ahead.
func TestRangedAnyOrder(t *testing.T) {
	t.Parallel()
	m := layered(t, 120, 30_000)
	archive := m.bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	plan, err := s.Plan(t.Context(), 8, nil)
	require.NoError(t, err)
	s.mu.Lock()
	s.answer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(&breaker{w, 500_000}, r, "", time.Unix(1, 0), bytes.NewReader(archive))
	})
	s.mu.Unlock()
	random := rand.New(rand.NewPCG(1, 2))
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(16)
	blobs := slices.Concat(plan.Blobs[plan.Small:], plan.Blobs) // most of them twice
	for round := range 2 {
		for i, b := range blobs {
			if round > 0 { // else about in file order
				b = blobs[random.IntN(len(blobs))]
			}
			g.Go(func() error {
				if i%5 == 0 {
					r, err := s.Blob(ctx, name.Repository{}, *b.Descriptor)
					if err != nil {
						return err
					}
					_, err = io.CopyN(io.Discard, r, b.Descriptor.Size/2)
					return errors.Join(err, r.Close(), r.Close())
				}
				return s.readBlob(ctx, *b.Descriptor)
			})
		}
	}
	require.NoError(t, g.Wait())
	assert.Positive(t, s.file.Counts().Resumed)
	assert.Less(t, s.file.Counts().Read, int64(5*len(archive)))
}

// breaker breaks the connection after some bytes.
type breaker struct {
	http.ResponseWriter
	left int
}

func (b *breaker) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestRangedReplaced: content that was replaced by other content of one size and time, which nothing tells from the
// server's answers, has wrong digests.
func TestRangedReplaced(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := layered(t, 60, 60_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	bad := slices.Clone(archive)
	for i := 2 << 20; i < len(bad)-4096; i++ {
		bad[i] ^= 1
	}
	s.mu.Lock()
	s.archive = bad
	s.mu.Unlock()
	require.NoError(t, s.Unchanged())
	damage, err := s.Check(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Greater(t, len(damage), 20)
}

// TestRangedCancel: who reads a blob ends with its context, and others read on what was asked for together.
func TestRangedCancel(t *testing.T) {
	t.Parallel()
	archive := layered(t, 60, 60_000).bytes(t)
	s, err := serveArchive(t, archive)
	require.NoError(t, err)
	plan, err := s.CheckedPlan(t.Context(), 8, nil)
	require.NoError(t, err)
	blobs := plan.Blobs[plan.Small:]
	for _, b := range blobs[:20] {
		require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Blob(ctx, name.Repository{}, *blobs[20].Descriptor)
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, r, 10)
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	if err != nil { // else it was there already
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, r.Close())
	_, err = s.Blob(ctx, name.Repository{}, *blobs[21].Descriptor)
	require.ErrorIs(t, err, context.Canceled)
	for _, b := range blobs[20:] {
		require.NoError(t, s.readBlob(t.Context(), *b.Descriptor))
	}
}
