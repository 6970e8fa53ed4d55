package copy

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
)

// assume makes the fixture's plan assume layers: each base has one.
func (f *fixture) assume(t *testing.T, layers ...v1.Descriptor) {
	t.Helper()
	var bases []bundle.Base
	for _, d := range layers {
		bases = append(bases, bundle.Base{Kind: bundle.BaseInventory, Digest: digest.Of([]byte(d.Digest.Hex)), Has: func(b v1.Descriptor) bool { return b.Digest == d.Digest }})
	}
	var err error
	f.plan, err = bundle.NewPlan(f.plan.Graph, bundle.PlanOptions{Bases: bases})
	require.NoError(t, err)
	require.Len(t, f.plan.Assumed, len(layers))
}

// ways are the two ways to fill a repository.
var ways = map[string]func(context.Context, *fixture, Repository) (*Result, error){
	"from a file": func(ctx context.Context, f *fixture, dst Repository) (*Result, error) {
		return ToRepository(ctx, f.plan, f, dst, target, f.opt)
	},
	"from a stream": func(ctx context.Context, f *fixture, dst Repository) (*Result, error) {
		return FromStream(ctx, f.plan, &flowing{fixture: f, next: f.plan.Small}, dst, target, newScratchFile(), 0, f.opt)
	},
}

// TestAssumed: what a plan assumes is read from the destination and is not read from the source. The result
// is what a copy of everything gives.
func TestAssumed(t *testing.T) {
	t.Parallel()
	for name, fill := range ways {
		for _, trust := range []Trust{TrustManifests, TrustBlobs, TrustNothing} {
			t.Run(name+" "+string(trust), func(t *testing.T) {
				t.Parallel()
				f, whole := newFixture(t), newMemory()
				_, err := f.fill(t, whole)
				require.NoError(t, err)
				f.reads, f.opt.Trust = map[string]int{}, trust
				f.assume(t, f.base)
				dst := newMemory()
				dst.blobs[f.base.Digest] = f.blobs[f.base.Digest]
				r, err := fill(t.Context(), f, dst)
				require.NoError(t, err)
				assert.Equal(t, 1, r.Assumed)
				assert.Equal(t, f.base.Size, r.AssumedBytes)
				assert.Equal(t, 1, dst.reads["byte of "+f.base.Digest.String()])
				assert.Zero(t, f.reads["blob "+f.base.Digest.String()])
				assert.Equal(t, whole.manifests, dst.manifests)
				assert.Equal(t, whole.tags, dst.tags)
				assert.Equal(t, whole.blobs, dst.blobs)
			})
		}
	}
}

// TestAssumedIsMissing: a destination that lacks something that is assumed is not written to. The error
// names what is missing, what needs it, and which base had it.
func TestAssumedIsMissing(t *testing.T) {
	t.Parallel()
	for name, fill := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dst := newFixture(t), newMemory()
			f.opt.KeepGoing = true
			f.assume(t, f.base, f.layer)
			dst.blobs[f.base.Digest] = f.blobs[f.base.Digest]
			_, err := fill(t.Context(), f, dst)
			var lacks *AssumedError
			require.ErrorAs(t, err, &lacks)
			assert.Equal(t, []bundle.Assumed{{Digest: f.layer.Digest, Size: f.layer.Size, Base: 1}}, lacks.Missing)
			assert.Equal(t, "nothing was uploaded; missing: 1 of the 2 layers that the archive assumes\n"+
				"  1 layer (1.0 kB) of inventory "+digest.Of([]byte(f.layer.Digest.Hex)).String()+":\n"+
				"    "+f.layer.Digest.String()+" (1.0 kB) of "+f.plan.Graph.Node(f.lone.Digest).Name(), err.Error())
			assert.Empty(t, dst.puts)
			assert.Empty(t, dst.asked, "it is asked first")

			dst.blobs[f.layer.Digest] = []byte("of another size")
			_, err = fill(t.Context(), f, dst)
			require.ErrorAs(t, err, &lacks)
			assert.Empty(t, dst.puts)
		})
	}
}

// TestAssumedByAttachments: what only attachments need is not asked for where none is wanted.
func TestAssumedByAttachments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	payload := f.addBlob(types.OCILayer, []byte("payload"))
	f.memory.tags[oci.ReferrersTag(f.lone.Digest)+".sig"] = f.addImage(t, "sig", payload).Digest
	g, err := bundle.Walk(t.Context(), f, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{Discovery: withTags{f.memory}})
	require.NoError(t, err)
	f.plan = &bundle.Plan{Graph: g}
	f.assume(t, payload)
	_, err = ToRepository(t.Context(), f.plan, f, newMemory(), target, f.opt)
	require.ErrorAs(t, err, new(*AssumedError))
	f.opt.Attachments = AttachNothing
	r, err := ToRepository(t.Context(), f.plan, f, newMemory(), target, f.opt)
	require.NoError(t, err)
	assert.Zero(t, r.Assumed)
}

// TestAssumedCannotBeAsked: a registry that gives no answer is an error, and not a missing layer.
func TestAssumedCannotBeAsked(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.assume(t, f.base)
	broken := errors.New("broken")
	dst.before = func(context.Context, string) error { return broken }
	_, err := f.fill(t, dst)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "ask for layer "+f.base.Digest.String())
	assert.Empty(t, dst.puts)
}
