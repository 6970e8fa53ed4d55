package copy

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	gcrname "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// TestForeignLayers: a manifest does not vouch for them, as registries take it without. The fixture is
// carried whole; then the destination loses the foreign layer, as if it had never had it.
func TestForeignLayers(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.blobs[f.foreign.Digest] = []byte("foreign")
	var err error
	f.plan, err = bundle.NewPlan(f.plan.Graph, bundle.PlanOptions{NonDistributable: true})
	require.NoError(t, err)
	first, err := f.fill(t, dst)
	require.NoError(t, err)
	require.Contains(t, dst.blobs, f.foreign.Digest)
	delete(dst.blobs, f.foreign.Digest)

	var done func() (int, int64)
	f.opt.Progress, done = progressOf()
	result, err := f.fill(t, dst)
	require.NoError(t, err)
	assert.Equal(t, []string{"blob " + f.foreign.Digest.String()}, dst.puts)
	assert.Equal(t, 1, count(dst.asked, "blob "), "no other is asked for")
	assert.Equal(t, 1, result.Blobs)
	assert.Equal(t, first.Manifests, result.ManifestsPresent)
	blobs, bytes := done()
	assert.Equal(t, len(f.plan.Blobs), blobs)
	assert.Equal(t, f.plan.Size(), bytes)

	_, err = f.fill(t, dst)
	require.NoError(t, err)
	assert.Empty(t, dst.puts)
}

// immutable refuses to put a tag that is there, whatever it stands for.
type immutable struct{ *memory }

func (i immutable) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	i.mu.Lock()
	_, there := i.tags[tag]
	i.mu.Unlock()
	if there {
		return fmt.Errorf("PUT %s: %w", tag, fs.ErrExist)
	}
	return i.memory.PutManifest(ctx, d, raw, tag)
}

func TestImmutableTags(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.opt.Trust = TrustNothing // puts without asking
	for range 2 {
		_, err := ToRepository(t.Context(), f.plan, f, immutable{dst}, target, f.opt)
		require.NoError(t, err)
	}
	for _, tag := range f.tags {
		was := dst.tags[tag]
		dst.tags[tag] = f.child1.Digest
		_, err := ToRepository(t.Context(), f.plan, f, immutable{dst}, target, f.opt)
		require.ErrorIs(t, err, fs.ErrExist, tag)
		assert.ErrorContains(t, err, "PUT "+tag)
		dst.tags[tag] = was
	}
}

// TestCollectedLocations: a locations image has one of its two tags, and a garbage collector took its
// blobs.
func TestCollectedLocations(t *testing.T) {
	t.Parallel()
	for _, stays := range []string{"tag", "self"} {
		for _, lies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lies %v", stays, lies), func(t *testing.T) {
				t.Parallel()
				f, dst := newFixture(t), newMemory()
				_, err := f.fill(t, dst)
				require.NoError(t, err)
				image, err := imgpkg.Locations(f.plan.Graph.Locations(f.plan.Graph.Node(f.root.Digest)))
				require.NoError(t, err)
				d := image.Descriptor.Digest
				if stays == "tag" {
					delete(dst.tags, imgpkg.DefaultTag(d))
				} else {
					delete(dst.tags, imgpkg.LocationsTag(f.root.Digest))
				}
				delete(dst.blobs, digest.Of(image.Layer))
				delete(dst.blobs, digest.Of(image.Config))
				repo := Repository(dst)
				if lies {
					repo = &liar{memory: dst, about: digest.Of(image.Layer)}
				}
				dst.puts = nil
				result, err := ToRepository(t.Context(), f.plan, f, repo, target, f.opt)
				require.NoError(t, err)
				assert.Equal(t, 1, result.Locations)
				assert.Equal(t, d, dst.tags[imgpkg.DefaultTag(d)])
				assert.Equal(t, d, dst.tags[imgpkg.LocationsTag(f.root.Digest)])
				assert.Contains(t, dst.blobs, digest.Of(image.Layer))
				assert.Len(t, dst.puts, 4, "refused, two blobs, put")

				if stays == "tag" { // a repository that goes on missing them
					delete(dst.tags, imgpkg.DefaultTag(d))
					dst.before = func(_ context.Context, act string) error {
						if strings.HasPrefix(act, "manifest "+d.String()+" ") {
							return missingError{digest.Of(image.Layer)}
						}
						return nil
					}
					_, err := f.fill(t, dst)
					assert.ErrorContains(t, err, "blobs unknown")
					assert.Len(t, dst.puts, 2, "the blobs, once")
				}
			})
		}
	}
}

// TestPlanWithoutManifest: a plan that does not carry a node's manifest, or carries it as a blob, does
// no harm.
func TestPlanWithoutManifest(t *testing.T) {
	t.Parallel()
	f, dst := newFixture(t), newMemory()
	f.blobs[f.shared.Digest] = f.manifests[f.shared.Digest].raw
	f.plan.Blobs = slices.DeleteFunc(f.plan.Blobs, func(b bundle.Blob) bool { return b.Descriptor.Digest == f.lone.Digest })
	for i := range f.plan.Blobs {
		b := &f.plan.Blobs[i]
		b.IsManifest = b.IsManifest && b.Descriptor.Digest != f.shared.Digest
	}
	_, err := f.fill(t, dst)
	require.NoError(t, err)
	assert.Contains(t, dst.manifests, f.lone.Digest)
	assert.Contains(t, dst.manifests, f.shared.Digest)
}

// TestSharedLocations: bundles with the same images have one locations image. Its blobs and its own tag are
// put once, and nothing of it is put while it is put for another bundle.
func TestSharedLocations(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]func(*memory) Repository{
		"new":     func(m *memory) Repository { return tagged{m} },
		"present": func(m *memory) Repository { return m },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dst := &fixture{memory: newMemory()}, newMemory()
			f.lone = f.addImage(t, "lone")
			var bundles []v1.Descriptor
			for i := range 8 {
				lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: " + source + "@" + f.lone.Digest.String() + "\n"
				image, err := imgpkg.Build(map[string][]byte{".imgpkg/images.yml": []byte(lock), "version": {byte('0' + i)}}, map[string]string{imgpkg.Label: "true"})
				require.NoError(t, err)
				f.addBlob("", image.Config)
				f.addBlob("", image.Layer)
				f.manifests[image.Descriptor.Digest] = stored{image.Descriptor, image.Manifest}
				bundles = append(bundles, image.Descriptor)
			}
			f.root = f.addBundle(t, bundles...)
			f.memory.tags["1.0"] = f.root.Digest
			g, err := bundle.Walk(t.Context(), f, []gcrname.Reference{gcrname.MustParseReference(source + ":1.0")}, bundle.WalkOptions{Jobs: 1})
			require.NoError(t, err)
			f.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
			require.NoError(t, err)
			image, err := imgpkg.Locations(g.Locations(g.Node(bundles[0].Digest)))
			require.NoError(t, err)
			var busy atomic.Int32
			dst.before = func(_ context.Context, act string) error {
				if strings.HasPrefix(act, "manifest "+image.Descriptor.Digest.String()) {
					assert.Equal(t, int32(1), busy.Add(1))
					runtime.Gosched()
					busy.Add(-1)
				}
				return nil
			}
			result, err := ToRepository(t.Context(), f.plan, f, as(dst), target, Options{Jobs: 8})
			require.NoError(t, err)
			assert.Equal(t, 9, result.Locations)
			assert.Equal(t, 1, count(dst.puts, "blob "+digest.Of(image.Layer).String()))
			assert.Equal(t, 1, count(dst.puts, "manifest "+image.Descriptor.Digest.String()+" "+imgpkg.DefaultTag(image.Descriptor.Digest)))
			assert.Equal(t, 9, count(dst.puts, "manifest "+image.Descriptor.Digest.String()), "and a tag for each bundle")
		})
	}
}
