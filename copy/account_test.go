package copy

import (
	"context"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUnaccounted: a copy in which nothing fails and a manifest never gets its turn ends with an error that
// names all that was planned and did not arrive.
func TestUnaccounted(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(*fixture, context.Context, Options) error{
		"archive": func(f *fixture, ctx context.Context, opt Options) error {
			_, err := ToRepository(ctx, f.plan, f, newMemory(), target, opt)
			return err
		},
		"keep going": func(f *fixture, ctx context.Context, opt Options) error {
			opt.KeepGoing = true
			_, err := ToRepository(ctx, f.plan, f, newMemory(), target, opt)
			return err
		},
		"stream": func(f *fixture, ctx context.Context, opt Options) error {
			in := &flowing{fixture: f, next: f.plan.Small}
			_, err := FromStream(ctx, f.plan, in, newMemory(), target, newScratchFile(), 0, opt)
			return err
		},
		"layers and configs there": func(f *fixture, ctx context.Context, opt Options) error {
			dst := newMemory()
			for d, b := range f.blobs {
				dst.blobs[d] = b
			}
			_, err := ToRepository(ctx, f.plan, f, dst, target, opt)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			index := f.plan.Graph.Node(f.index.Digest)
			index.Children = append(index.Children, f.root.Digest) // no digest can be in what it is of
			err := fill(f, t.Context(), f.opt)
			require.ErrorIs(t, err, ErrUnaccounted)
			for _, d := range []v1.Descriptor{f.index, f.inner, f.root} {
				assert.ErrorContains(t, err, d.Digest.String())
			}
			assert.ErrorContains(t, err, "tags: 1 planned, 0 uploaded, 0 already present")
			assert.ErrorContains(t, err, "locations images: 3 planned, 1 uploaded")
			assert.NotContains(t, err.Error(), f.lone.Digest.String())
		})
	}
}

// TestUnaccountedBlob: a layer that is counted nowhere is named.
func TestUnaccountedBlob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := newFilling(f.plan, f, newMemory(), target, f.opt)
	require.NoError(t, c.ask(t.Context()))
	_, err := c.fill(t.Context())
	require.NoError(t, err)
	for i, b := range f.plan.Blobs {
		if b.Descriptor.Digest == f.layer.Digest {
			c.counted[i] = false
			require.ErrorIs(t, c.settle(), ErrUnaccounted)
			require.ErrorContains(t, c.settle(), f.layer.Digest.String())
			c.counted[i] = true
		}
	}
	require.NoError(t, c.settle())
	c.result.BlobsPresent++
	require.ErrorIs(t, c.settle(), ErrUnaccounted, "one too many")
}
