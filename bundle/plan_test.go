package bundle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/oci"
	"relocate/report"
	"relocate/testdata/interop"
)

const foreignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

func TestPlanOrder(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	shared, own, large := repo.PutBlob([]byte("shared")), repo.PutBlob([]byte("own")), strings.Repeat(" ", 4<<20)
	a := repo.PutPlain(`{"a":1}`, shared, own, shared)
	b := putArtifact(repo, `{"b":1}`+large, repo.PutBlob([]byte("of b")), shared)
	child := repo.PutPlain(`{"a":1}`, own)
	index := repo.PutIndex(child)
	nested := bundleOf(repo, b)
	root := bundleOf(repo, index, a, nested)
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)

	p, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)

	var got []string
	var size int64
	labels := map[v1.Hash]string{hash(root): "root", hash(index): "index", hash(a): "a", hash(nested): "nested", hash(child): "child", hash(b): "b",
		shared.Digest: "shared", own.Digest: "own"}
	for _, n := range g.Nodes {
		for i, d := range n.Blobs {
			if labels[d.Digest] == "" {
				labels[d.Digest] = labels[n.Descriptor.Digest] + []string{"'s config", "'s layer"}[min(i, 1)]
			}
		}
	}
	for i, blob := range p.Blobs {
		got = append(got, labels[blob.Descriptor.Digest])
		size += blob.Descriptor.Size
		assert.Equal(t, blob.IsManifest, g.Node(blob.Descriptor.Digest) != nil)
		assert.Equal(t, repo.Name, blob.Node.From.Name())
		if blob.IsManifest {
			assert.Same(t, g.Node(blob.Descriptor.Digest), blob.Node)
			assert.Less(t, i, p.Small)
		}
	}
	// a and child share their config. b's is too large for the small section.
	assert.Equal(t, []string{"root", "root's config", "root's layer", "index", "a", "a's config", "nested", "nested's config", "nested's layer", "child", "b"},
		got[:p.Small])
	assert.Equal(t, []string{"shared", "own", "b's config", "b's layer"}, got[p.Small:])
	assert.Equal(t, size, p.Size())
	assert.Empty(t, p.Omitted)
}

func TestPlanForeignLayers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		types   []types.MediaType // of one layer, in one image after the other
		carry   bool
		omitted bool
	}{
		{"left out", []types.MediaType{foreignLayer}, false, true},
		{"left out once", []types.MediaType{foreignLayer, types.OCIRestrictedLayer}, false, true},
		{"carried", []types.MediaType{foreignLayer}, true, false},
		{"ordinary in a later image", []types.MediaType{foreignLayer, types.OCILayer}, false, false},
		{"ordinary in an earlier image", []types.MediaType{types.OCILayer, foreignLayer}, false, false},
	}
	for _, tt := range tests {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		layer := repo.PutBlob([]byte("layer"))
		root := bundleOf(repo)
		for _, mediaType := range tt.types {
			layer.MediaType = mediaType
			root = bundleOf(repo, repo.PutPlain(`{}`, layer, repo.PutBlob([]byte("ordinary"))), root)
		}
		g := mustWalk(t, &src, bundle.WalkOptions{}, root)
		p, err := bundle.NewPlan(g, bundle.PlanOptions{NonDistributable: tt.carry})
		require.NoError(t, err)
		carried := 0
		for _, b := range p.Blobs {
			if b.Descriptor.Digest == layer.Digest {
				carried++
			}
		}
		if tt.omitted {
			assert.Zero(t, carried, tt.name)
			first := g.Node(g.Node(hash(root)).Children[0])
			assert.Equal(t, []report.Omitted{{Digest: layer.Digest, Size: 5, MediaType: string(first.Blobs[1].MediaType), Image: first.Name(),
				Reason: "non-distributable"}}, p.Omitted, tt.name)
		} else {
			assert.Equal(t, 1, carried, tt.name)
			assert.Empty(t, p.Omitted, tt.name)
		}
	}
}

func TestPlanRefusesTwoSizesOfOneBlob(t *testing.T) {
	t.Parallel()
	for _, mediaType := range []types.MediaType{types.OCILayer, foreignLayer} {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		layer := repo.PutBlob([]byte("layer"))
		layer.MediaType = mediaType
		a := repo.PutPlain(`{}`, layer)
		layer.Size++
		b := repo.PutPlain(`{}`, layer)
		_, err := bundle.NewPlan(mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, a, b)), bundle.PlanOptions{})
		require.EqualError(t, err, "read "+b.Name()+": malformed: blob "+layer.Digest.String()+" has 6 bytes here, and 5 in another manifest")
	}
}

// A digest that is two things would be copied as one of them only.
func TestPlanRefusesBlobThatIsManifest(t *testing.T) {
	t.Parallel()
	for what, config := range map[string]bool{"config": true, "layer": false} {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		image := repo.PutPlain(`{"image":1}`)
		both := repo.PutBlob(repo.Manifests[hash(image)].Raw)
		other := repo.PutPlain(`{}`, both)
		if config {
			other = repo.PutPlain(string(repo.Manifests[hash(image)].Raw))
		}
		for _, root := range []name.Digest{bundleOf(repo, image, other), bundleOf(repo, other, image)} {
			_, err := bundle.NewPlan(mustWalk(t, &src, bundle.WalkOptions{}, root), bundle.PlanOptions{})
			require.ErrorIs(t, err, oci.ErrMalformed, what)
			assert.EqualError(t, err, "read "+other.Name()+": malformed: "+image.DigestStr()+" is both a manifest and a blob", what)
		}
	}
}

// Only a layer can be foreign: an image without its config is none.
func TestPlanCarriesEveryConfig(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	config := repo.PutBlob([]byte(strings.Repeat(" ", 4<<20+1))) // in the small section, all are
	config.MediaType = foreignLayer
	image := repo.PutJSON(types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, Config: config, Layers: []v1.Descriptor{}})
	p, err := bundle.NewPlan(mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, image)), bundle.PlanOptions{})
	require.NoError(t, err)
	assert.Empty(t, p.Omitted)
	assert.True(t, slices.ContainsFunc(p.Blobs, func(b bundle.Blob) bool { return b.Descriptor.Digest == config.Digest }))
	assert.True(t, oci.IsForeign(config))
	assert.False(t, oci.IsForeign(v1.Descriptor{MediaType: types.OCILayer}))
}

// Layers that a base has are assumed, each by the first base that has it. What a delta needs to be walked
// by itself is carried, whatever the bases say: manifests, bundle layers, and configs of any size.
func TestPlanBases(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	first, second, third := repo.PutBlob([]byte("first")), repo.PutBlob([]byte("second")), repo.PutBlob([]byte("third"))
	large := repo.PutBlob([]byte(strings.Repeat(" ", 4<<20+1)))
	image := repo.PutPlain(`{}`, first, second, third, large)
	other := repo.PutJSON(types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, Config: large, Layers: []v1.Descriptor{first}})
	g := mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, image, other))
	full, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)

	has := func(list ...v1.Descriptor) func(v1.Descriptor) bool {
		return func(d v1.Descriptor) bool {
			return slices.ContainsFunc(list, func(have v1.Descriptor) bool { return have.Digest == d.Digest && have.Size == d.Size })
		}
	}
	everything := func(v1.Descriptor) bool { return true }
	wrongSize := third
	wrongSize.Size++
	base := func(kind string, has func(v1.Descriptor) bool) bundle.Base { return bundle.Base{Kind: kind, Has: has} }
	for _, tt := range []struct {
		name    string
		bases   []bundle.Base
		assumed []bundle.Assumed
		kept    []string // kinds of the bases of which something is assumed
	}{
		{"no base", nil, nil, nil},
		{"useless", []bundle.Base{base("a", has(wrongSize))}, nil, nil},
		{"one", []bundle.Base{base("a", has(second))}, []bundle.Assumed{{second.Digest, second.Size, 0}}, []string{"a"}},
		{"a useless one first", []bundle.Base{base("a", has()), base("b", has(second))}, []bundle.Assumed{{second.Digest, second.Size, 0}}, []string{"b"}},
		{"two", []bundle.Base{base("a", has(third)), base("b", has()), base("c", has(first, third))},
			[]bundle.Assumed{{first.Digest, first.Size, 1}, {third.Digest, third.Size, 0}}, []string{"a", "c"}},
		{"everything", []bundle.Base{base("a", everything)},
			[]bundle.Assumed{{first.Digest, first.Size, 0}, {second.Digest, second.Size, 0}, {third.Digest, third.Size, 0}}, []string{"a"}},
	} {
		p, err := bundle.NewPlan(g, bundle.PlanOptions{Bases: tt.bases})
		require.NoError(t, err, tt.name)
		assert.Equal(t, tt.assumed, p.Assumed, tt.name)
		var kept []string
		for _, b := range p.Bases {
			kept = append(kept, b.Kind)
		}
		assert.Equal(t, tt.kept, kept, tt.name)
		assert.Equal(t, full.Blobs[:full.Small], p.Blobs[:p.Small], tt.name)
		assert.Len(t, p.Blobs, len(full.Blobs)-len(tt.assumed), tt.name)
		for _, b := range p.Blobs {
			assert.False(t, slices.ContainsFunc(tt.assumed, func(a bundle.Assumed) bool { return a.Digest == b.Descriptor.Digest }), tt.name)
		}
	}
}

// A layer that may not be distributed is not carried, whether or not a base has it, unless that is asked for.
func TestPlanBasesAndForeignLayers(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	layer := repo.PutBlob([]byte("layer"))
	layer.MediaType = foreignLayer
	g := mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, repo.PutPlain(`{}`, layer)))
	bases := []bundle.Base{{Has: func(v1.Descriptor) bool { return true }}}
	p, err := bundle.NewPlan(g, bundle.PlanOptions{Bases: bases})
	require.NoError(t, err)
	assert.Empty(t, p.Assumed)
	assert.Len(t, p.Omitted, 1)
	p, err = bundle.NewPlan(g, bundle.PlanOptions{Bases: bases, NonDistributable: true})
	require.NoError(t, err)
	assert.Len(t, p.Assumed, 1)
	assert.Empty(t, p.Omitted)
}
