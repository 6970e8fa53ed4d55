package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// failuresOf returns the digests that an error says were not copied.
func failuresOf(t *testing.T, err error) []v1.Hash {
	t.Helper()
	var partial *PartialError
	require.ErrorAs(t, err, &partial)
	var list []v1.Hash
	for _, f := range partial.Failures {
		assert.NotEmpty(t, f.Image)
		require.Error(t, f.Err)
		list = append(list, f.Digest)
	}
	return list
}

// TestKeepGoing: whatever fails, all that does not need it is put, and no tag of a root that does. The next
// copy does the rest.
func TestKeepGoing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		forbid string // the beginning of an act at the destination
		lose   []v1.Hash
		failed []v1.Hash
		gone   []v1.Descriptor // manifests
	}{
		"missing":         {lose: []v1.Hash{f.layer.Digest}, failed: []v1.Hash{f.layer.Digest}, gone: []v1.Descriptor{f.lone, f.root}},
		"refused":         {forbid: "manifest " + f.child1.Digest.String() + " ", failed: []v1.Hash{f.child1.Digest}, gone: []v1.Descriptor{f.child1, f.index, f.inner, f.root}},
		"index":           {forbid: "manifest " + f.index.Digest.String() + " ", failed: []v1.Hash{f.index.Digest}, gone: []v1.Descriptor{f.index, f.inner, f.root}},
		"locations":       {forbid: "manifest " + imgpkg.LocationsTag(f.empty.Digest), failed: []v1.Hash{f.empty.Digest}},
		"root's location": {forbid: "manifest " + imgpkg.LocationsTag(f.root.Digest), failed: []v1.Hash{f.root.Digest}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dst := newFixture(t), newMemory()
			f.opt.KeepGoing = true
			lost := map[v1.Hash][]byte{}
			for _, d := range c.lose {
				lost[d] = f.blobs[d]
				delete(f.blobs, d)
			}
			dst.before = func(_ context.Context, act string) error {
				if c.forbid != "" && strings.HasPrefix(act, c.forbid) {
					return refused
				}
				return nil
			}
			result, err := f.fill(t, dst)
			require.NotNil(t, result)
			assert.Equal(t, c.failed, failuresOf(t, err))
			assert.Equal(t, c.forbid != "", errors.Is(err, refused))
			assert.Equal(t, c.lose != nil, errors.Is(err, fs.ErrNotExist))
			for _, d := range c.gone {
				assert.NotContains(t, dst.manifests, d.Digest)
			}
			assert.NotContains(t, dst.tags, "1.0", "the root's tag")
			checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })
			for _, n := range f.plan.Graph.Nodes {
				needs := false
				for _, d := range c.gone {
					needs = needs || d.Digest == n.Descriptor.Digest
				}
				if !needs {
					assert.Contains(t, dst.manifests, n.Descriptor.Digest, "what does not need it")
				}
			}
			dst.before = nil
			for d, b := range lost {
				f.blobs[d] = b
			}
			_, err = f.fill(t, dst)
			require.NoError(t, err)
			assert.ElementsMatch(t, f.tags, keys(dst.tags))
		})
	}
}

func keys(m map[string]v1.Hash) (list []string) {
	for key := range m {
		list = append(list, key)
	}
	return list
}

// onlyReads is a Sink that reads what it is given.
type onlyReads struct {
	fail func(d v1.Descriptor) error
}

func (s onlyReads) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error {
	if s.fail != nil {
		if err := s.fail(d); err != nil {
			return err
		}
	}
	r, err := open(ctx, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// TestKeepGoingToArchive: what cannot be read is told, all of it, in file order; what cannot be written is the
// end.
func TestKeepGoingToArchive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	delete(f.blobs, f.layer.Digest)
	damaged := f.blobs[f.base.Digest]
	f.blobs[f.base.Digest] = bytes.ToUpper(damaged)
	opt := ArchiveOptions{Jobs: 3, KeepGoing: true}
	err := ToArchive(t.Context(), f.plan, f, onlyReads{}, opt)
	assert.Equal(t, []v1.Hash{f.base.Digest, f.layer.Digest}, failuresOf(t, err))
	require.ErrorIs(t, err, digest.ErrMismatch)
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, 2, f.reads["blob "+f.base.Digest.String()], "read once more")

	full := errors.New("full")
	err = ToArchive(t.Context(), f.plan, f, onlyReads{func(d v1.Descriptor) error {
		if d.Digest == f.root.Digest {
			return full
		}
		return nil
	}}, opt)
	require.ErrorIs(t, err, full)
	require.NotErrorAs(t, err, new(*PartialError))
}

func TestPartialError(t *testing.T) {
	t.Parallel()
	require.NoError(t, partial(nil))
	require.NoError(t, partial(make([]*Failure, 3)))
	one := &Failure{"r.example/a@x", digest.Of(nil), fs.ErrNotExist}
	assert.EqualError(t, partial([]*Failure{nil, one}), fmt.Sprint(digest.Of(nil), " of r.example/a@x could not be copied"))
	assert.EqualError(t, partial([]*Failure{one, one}), "2 manifests and blobs could not be copied")
}
