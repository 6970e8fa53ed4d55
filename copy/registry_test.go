package copy

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/registry"
	"relocate/testdata/realregistry"
	"relocate/testdata/sample"
)

// crossing is the sample on one real registry and its way to another.
type crossing struct {
	plan   *bundle.Plan
	client *registry.Client
	dst    *realregistry.Registry
	at     name.Repository
	opt    Options
}

func newCrossing(t *testing.T, dst *realregistry.Registry) *crossing {
	c := &crossing{dst: dst}
	src := realregistry.Start(t, realregistry.Options{})
	root, err := sample.Push(t.Context(), src.Addr, sample.Tiny)
	require.NoError(t, err)
	c.client, err = registry.New(registry.Options{Jobs: 4, Anonymous: true})
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), c.client, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
	require.NoError(t, err)
	c.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	c.at, err = name.NewRepository(dst.Addr + "/inner/repo")
	require.NoError(t, err)
	c.opt = Options{Jobs: 4, Tags: []Tag{{"1.0.0", g.Roots[0].Digest}}}
	return c
}

func (c *crossing) fill(t *testing.T) *Result {
	c.dst.ResetRequests()
	result, err := ToRepository(t.Context(), c.plan, c.client, c.client.Writer(c.at), c.at, c.opt)
	require.NoError(t, err)
	return result
}

// puts returns what the registry took, in memory's words.
func (c *crossing) puts(t *testing.T) []string {
	digests := map[string]v1.Hash{} // by tag
	for _, n := range c.plan.Graph.Nodes {
		digests[imgpkg.DefaultTag(n.Descriptor.Digest)] = n.Descriptor.Digest
		digests[n.Descriptor.Digest.String()] = n.Descriptor.Digest
		if n.Kind == bundle.Bundle {
			image, err := imgpkg.Locations(c.plan.Graph.Locations(n))
			require.NoError(t, err)
			digests[imgpkg.LocationsTag(n.Descriptor.Digest)] = image.Descriptor.Digest
			digests[imgpkg.DefaultTag(image.Descriptor.Digest)] = image.Descriptor.Digest
		}
	}
	for _, tag := range c.opt.Tags {
		digests[tag.Name] = tag.Digest
	}
	var puts []string
	for _, request := range c.dst.Requests() {
		uri, ok := strings.CutPrefix(request, "201 PUT /v2/inner/repo/")
		if !ok {
			assert.NotRegexp(t, ` (PUT|PATCH|DELETE) `, request)
			continue
		}
		if tag, ok := strings.CutPrefix(uri, "manifests/"); ok {
			require.Contains(t, digests, tag)
			puts = append(puts, fmt.Sprintf("manifest %s %s", digests[tag], tag))
			continue
		}
		u, err := url.Parse(uri)
		require.NoError(t, err)
		puts = append(puts, "blob "+u.Query().Get("digest"))
	}
	return puts
}

func (c *crossing) count(pattern string) int {
	n, re := 0, regexp.MustCompile(pattern)
	for _, request := range c.dst.Requests() {
		if re.MatchString(request) {
			n++
		}
	}
	return n
}

// data returns the file of a blob in the registry's storage.
func (c *crossing) data(d v1.Hash) string {
	return filepath.Join(c.dst.Dir, "docker/registry/v2/blobs/sha256", d.Hex[:2], d.Hex, "data")
}

func TestRealRegistry(t *testing.T) {
	t.Parallel()
	t.Run("current", func(t *testing.T) {
		t.Parallel()
		checkCrossing(t, newCrossing(t, realregistry.Start(t, realregistry.Options{})))
	})
	t.Run("Debian's", func(t *testing.T) {
		t.Parallel()
		checkCrossing(t, newCrossing(t, realregistry.StartDebian(t)))
	})
}

func checkCrossing(t *testing.T, c *crossing) {
	g := c.plan.Graph
	var tags []string
	children, layers := 0, 0
	for _, n := range g.Nodes {
		if n.IsChild {
			children++
			continue
		}
		tags = append(tags, imgpkg.DefaultTag(n.Descriptor.Digest))
		if n.Kind == bundle.Bundle {
			image, err := imgpkg.Locations(g.Locations(n))
			require.NoError(t, err)
			tags = append(tags, imgpkg.LocationsTag(n.Descriptor.Digest), imgpkg.DefaultTag(image.Descriptor.Digest))
		}
	}
	tags = append(tags, "1.0.0")
	slices.Sort(tags)

	result := c.fill(t)
	assert.Equal(t, 1, c.count(`^404 GET /v2/inner/repo/tags/list`))
	assert.Equal(t, 2, c.count(`^404 HEAD /v2/inner/repo/manifests/`), "the root, and its tag")
	assert.Equal(t, askedFirst, c.count(`^404 HEAD /v2/inner/repo/blobs/`))
	puts := c.puts(t)
	checkOrder(t, c.plan, puts, func(v1.Hash) bool { return false })
	assert.Contains(t, puts[len(puts)-1], " 1.0.0", "the root's tag is last")
	for _, b := range c.plan.Blobs {
		if !b.IsManifest {
			layers++
			assert.Equal(t, 1, count(puts, "blob "+b.Descriptor.Digest.String()), "each blob is sent once")
		}
	}
	assert.Equal(t, layers, result.Blobs)
	assert.Equal(t, sample.Bundles, result.Locations)
	got, err := remote.List(c.at)
	require.NoError(t, err)
	slices.Sort(got)
	assert.Equal(t, tags, got)

	second := c.fill(t)
	assert.Zero(t, c.count(`^\d+ (PUT|POST|PATCH|DELETE)`), c.dst.Requests())
	assert.Equal(t, len(tags)+children, c.count(`^200 HEAD /v2/inner/repo/manifests/`))
	assert.Equal(t, len(c.dst.Requests()), c.count(`HEAD /v2/inner/repo/manifests/`)+c.count(`GET /v2/$`))
	assert.Equal(t, &Result{
		ManifestsPresent: result.Manifests, BlobsPresent: result.Blobs, BytesPresent: result.Bytes, LocationsPresent: result.Locations, TagsPresent: 1,
	}, second)
}

// TestRealGarbage loses a layer behind the registry's back.
func TestRealGarbage(t *testing.T) {
	t.Parallel()
	c := newCrossing(t, realregistry.Start(t, realregistry.Options{}))
	c.fill(t)
	lost := c.plan.Blobs[len(c.plan.Blobs)-1].Descriptor
	for _, step := range []struct {
		trust Trust
		heals bool
	}{{TrustManifests, false}, {TrustBlobs, true}, {TrustNothing, true}} {
		t.Run(string(step.trust), func(t *testing.T) { // one after the other
			if err := os.Remove(c.data(lost.Digest)); err != nil {
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
			c.opt.Trust = step.trust
			result := c.fill(t)
			_, err := os.Stat(c.data(lost.Digest))
			if !step.heals {
				assert.ErrorIs(t, err, fs.ErrNotExist, "a manifest's word was taken")
				assert.Zero(t, result.Blobs)
				return
			}
			assert.NoError(t, err)
			if step.trust == TrustBlobs {
				assert.Equal(t, []string{"blob " + lost.Digest.String()}, c.puts(t))
			}
		})
	}
}

// TestRealMissingBlob loses a layer while the copy believes that it is there.
func TestRealMissingBlob(t *testing.T) {
	t.Parallel()
	c := newCrossing(t, realregistry.Start(t, realregistry.Options{}))
	var image *bundle.Node
	for _, n := range c.plan.Graph.Nodes {
		if n.Kind == bundle.Plain && !n.IsChild {
			image = n
		}
	}
	layer := image.Blobs[1]
	dst := believing{c.client.Writer(c.at), layer.Digest}
	c.dst.ResetRequests()
	_, err := ToRepository(t.Context(), c.plan, c.client, dst, c.at, c.opt)
	require.NoError(t, err)
	assert.NotZero(t, c.count(`^4\d\d PUT /v2/inner/repo/manifests/`))
	assert.FileExists(t, c.data(layer.Digest))
}

// believing is a repository that says that it has a blob.
type believing struct {
	*registry.Repository
	blob v1.Hash
}

func (b believing) IsNew(context.Context) bool { return false }

func (b believing) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	if d.Digest == b.blob {
		return true, nil
	}
	return b.Repository.HasBlob(ctx, d)
}
