package copy

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
)

// tagged is a repository that its registry knows by its tags, as docker-registry does.
type tagged struct{ *memory }

func (r tagged) IsNew(context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tags) == 0
}

// newLayered returns a bundle of an image with that many small layers and a large one, the last.
func newLayered(t *testing.T, layers int) *fixture {
	f := &fixture{memory: newMemory()}
	var list []v1.Descriptor
	for i := range layers {
		list = append(list, f.addBlob(types.OCILayer, []byte(fmt.Sprint("layer ", i))))
	}
	f.layer = f.addBlob(types.OCILayer, bytes.Repeat([]byte{1}, askedFrom))
	f.lone = f.addImage(t, "lone", append(list, f.layer)...)
	f.root = f.addBundle(t, f.lone)
	f.memory.tags["1.0"] = f.root.Digest
	g, err := bundle.Walk(t.Context(), f, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{Jobs: 1})
	require.NoError(t, err)
	f.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	f.opt = Options{Tags: []Tag{{"1.0", f.root.Digest}}} // one job: what is asked depends on answers
	return f
}

// TestNewRepository: where there is nothing, little is asked for.
func TestNewRepository(t *testing.T) {
	t.Parallel()
	f, dst := newLayered(t, 100), newMemory()
	result, err := ToRepository(t.Context(), f.plan, f, tagged{dst}, target, f.opt)
	require.NoError(t, err)
	assert.Equal(t, 104, result.Blobs, "101 layers, and what comes with them")
	assert.Equal(t, 2, count(dst.asked, "manifest "), "the root, and its tag: %q", dst.asked)
	assert.Equal(t, 8+3+1, count(dst.asked, "blob "), "the first, the 32nd, 64th and 96th, and the large one")
	assert.Contains(t, dst.asked, "blob "+f.layer.Digest.String())
}

// TestNewRepositoryWithBlobs: what was left in a repository without tags is not sent again.
func TestNewRepositoryWithBlobs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left  func(at, of int) bool // by place among the blobs
		twice int                   // how many blobs are sent although they are there
	}{
		"by an interrupted copy": {func(at, of int) bool { return at < of/2 }, 0},
		"by another copy":        {func(at, of int) bool { return at >= of/2 }, 12}, // 52 to 63
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dst := newLayered(t, 100), newMemory()
			at, left := 0, map[v1.Hash]bool{}
			for _, b := range f.plan.Blobs {
				if d := b.Descriptor.Digest; !b.IsManifest {
					if c.left(at, 104) {
						dst.blobs[d], left[d] = f.blobs[d], true
					}
					at++
				}
			}
			require.Equal(t, 104, at)
			result, err := ToRepository(t.Context(), f.plan, f, tagged{dst}, target, f.opt)
			require.NoError(t, err)
			twice := 0
			for d := range left {
				twice += count(dst.puts, "blob "+d.String())
			}
			assert.Equal(t, c.twice, twice)
			assert.Equal(t, len(left)-twice, result.BlobsPresent)
			assert.Equal(t, 104, result.BlobsPresent+result.Blobs)
		})
	}
}

// outdated says that a repository is new, as a proxy may that keeps old answers.
type outdated struct{ *memory }

func (outdated) IsNew(context.Context) bool { return true }

// TestNewRepositoryThatIsNot: the root is there, so nothing is written.
func TestNewRepositoryThatIsNot(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	_, err := f.fill(t, dst)
	require.NoError(t, err)
	dst.puts = nil
	result, err := ToRepository(t.Context(), f.plan, f, outdated{dst}, target, f.opt)
	require.NoError(t, err)
	assert.Empty(t, dst.puts)
	assert.Zero(t, result.Manifests)
	delete(dst.tags, imgpkg.DefaultTag(f.root.Digest))
	delete(dst.tags, "1.0")
	result, err = ToRepository(t.Context(), f.plan, f, outdated{dst}, target, f.opt)
	require.NoError(t, err)
	assert.Zero(t, result.Blobs, "the first that is asked for is there")
}
