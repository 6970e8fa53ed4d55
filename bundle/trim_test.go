package bundle_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/testdata/interop"
)

// manyPlatforms is a package repository with images for several platforms.
type manyPlatforms struct {
	*interop.Registry
	root, app, index, outer, single name.Digest
	children                        []name.Digest // of index
}

func newManyPlatforms(t *testing.T) *manyPlatforms {
	t.Helper()
	s := &manyPlatforms{Registry: &interop.Registry{}}
	repo := s.Repo("reg.test/image")
	s.index, s.children = putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/arm64"}, entry{platform: "unknown/unknown", of: 1})
	s.single = repo.PutPlain(`{"single":true}`)
	s.outer, _ = putPlatforms(t, repo, entry{image: &s.index}, entry{platform: "linux/s390x", image: &s.single})
	s.app = bundleOf(s.Repo("reg.test/app"), s.index, s.outer, s.single)
	s.root = s.Repo("reg.test/repo").PutBundle(map[string]string{
		"packages/app.yml": packageYAML("app.reg.test", "1.0.0", "{imgpkgBundle: {image: '"+s.app.Name()+"'}}"), ".imgpkg/images.yml": lock(s.app),
	})
	return s
}

// trim walks for a platform, derives, and walks what is derived.
func (s *manyPlatforms) trim(t *testing.T, src bundle.Source, opt bundle.WalkOptions, root name.Digest) (made map[v1.Hash]v1.Hash, g *bundle.Graph, o *bundle.Overlay) {
	t.Helper()
	opt.Platforms = platforms(t, "linux/amd64")
	o = bundle.NewOverlay(src)
	made, err := bundle.Trim(t.Context(), o, mustWalk(t, o, opt, root), opt)
	require.NoError(t, err)
	opt.Platforms, opt.Made = nil, o.Has
	return made, mustWalk(t, o, opt, root.Context().Digest(made[hash(root)].String())), o
}

// lockOf returns the lock of a bundle.
func lockOf(t *testing.T, src bundle.Source, n *bundle.Node) string {
	t.Helper()
	r, err := src.Blob(t.Context(), n.From, n.Blobs[1])
	require.NoError(t, err)
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	found := ""
	require.NoError(t, imgpkg.ReadLayer(bytes.NewReader(raw), func(p string, _ int64) bool { return p == ".imgpkg/images.yml" }, func(_ string, data []byte) error {
		found = string(data)
		return nil
	}))
	return found
}

func TestTrim(t *testing.T) {
	t.Parallel()
	s := newManyPlatforms(t)
	made, g, o := s.trim(t, s, bundle.WalkOptions{}, s.root)

	assert.Len(t, made, 4, "the root, the package, and both indexes")
	for _, n := range g.Nodes {
		assert.Empty(t, n.Without)
	}
	index, outer := g.Node(made[hash(s.index)]), g.Node(made[hash(s.outer)])
	assert.Equal(t, hashes(s.children[0]), index.Children)
	assert.Equal(t, []v1.Hash{index.Descriptor.Digest, hash(s.single)}, outer.Children, "it has no other platform than s390x")
	assert.Equal(t, &bundle.Derivation{From: hash(s.index)}, index.Derived)
	app, root := g.Node(made[hash(s.app)]), g.Node(made[hash(s.root)])
	assert.Equal(t, &bundle.Derivation{From: hash(s.root), Platforms: "linux/amd64"}, root.Derived)
	assert.Equal(t, app.Descriptor.Digest, g.Packages[0].Fetches[0].Digest, "kbld finds it by the id")
	for d, want := range map[*bundle.Node]string{
		app:  strings.NewReplacer("image: "+s.index.Name(), "image: reg.test/image@"+index.Descriptor.Digest.String(), "image: "+s.outer.Name(), "image: reg.test/image@"+outer.Descriptor.Digest.String()).Replace(lock(s.index, s.outer, s.single)),
		root: strings.Replace(lock(s.app), "image: "+s.app.Name(), "image: reg.test/app@"+app.Descriptor.Digest.String(), 1),
	} {
		assert.Equal(t, want, lockOf(t, o, d))
	}
	assert.Nil(t, g.Node(hash(s.index)))
	assert.Nil(t, g.Node(hash(s.children[1])))

	again, _, _ := s.trim(t, shuffled{s}, bundle.WalkOptions{Jobs: 8}, s.root)
	assert.Equal(t, made, again)
}

// What is derived from a relocated repository is found where the original was.
func TestTrimOfARelocatedRepository(t *testing.T) {
	t.Parallel()
	s := newManyPlatforms(t)
	whole := mustWalk(t, s, bundle.WalkOptions{}, s.root)
	relocated := &manyPlatforms{Registry: &interop.Registry{}}
	place := relocated.Repo("inside.test/all")
	*place = *onePlace(s.Registry, whole)
	place.Name, place.Tags = "inside.test/all", map[string]v1.Hash{}
	for _, n := range whole.Nodes {
		if n.Kind == bundle.Bundle {
			image, err := imgpkg.Locations(whole.Locations(n))
			require.NoError(t, err)
			place.PutImage(image, imgpkg.LocationsTag(n.Descriptor.Digest))
		}
	}
	root := place.Ref(hash(s.root))
	made, g, _ := relocated.trim(t, relocated, bundle.WalkOptions{}, root)
	want, _, _ := s.trim(t, s, bundle.WalkOptions{}, s.root)
	assert.Equal(t, want, made, "a mirror gives the same bytes")
	for _, n := range g.Nodes {
		assert.Equal(t, "inside.test/all", n.From.Name())
	}
}

// In an archive, what is derived is found by digest alone.
func TestTrimOfAnArchive(t *testing.T) {
	t.Parallel()
	s := newManyPlatforms(t)
	whole := mustWalk(t, s, bundle.WalkOptions{}, s.root)
	made, g, _ := s.trim(t, onePlace(s.Registry, whole), bundle.WalkOptions{Closed: true}, s.root)
	want, _, _ := s.trim(t, s, bundle.WalkOptions{}, s.root)
	assert.Equal(t, want, made)
	assert.Len(t, g.Nodes, 6)
}

// Nothing is derived where nothing is left out; what a lock names in a way that cannot be changed is
// refused by name.
func TestTrimChangesNothingElse(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	index, _ := putPlatforms(t, src.Repo("reg.test/image"), entry{platform: "linux/arm64"}, entry{platform: "linux/s390x"})
	opt := bundle.WalkOptions{Platforms: platforms(t, "linux/amd64")}
	made, err := bundle.Trim(t.Context(), bundle.NewOverlay(src), mustWalk(t, src, opt, bundleOf(src.Repo("reg.test/a"), index)), opt)
	require.NoError(t, err)
	assert.Empty(t, made)

	index, _ = putPlatforms(t, src.Repo("reg.test/image"), entry{platform: "linux/amd64"}, entry{platform: "linux/s390x"})
	odd := src.Repo("reg.test/odd").PutBundle(map[string]string{
		".imgpkg/images.yml": lockHead + "images:\n- annotations: {id: &x '" + index.Name() + "'}\n  image: *x\n",
	})
	_, err = bundle.Trim(t.Context(), bundle.NewOverlay(src), mustWalk(t, src, opt, odd), opt)
	require.ErrorIs(t, err, oci.ErrMalformed)
	assert.Contains(t, err.Error(), odd.Name())
	assert.Contains(t, err.Error(), ".imgpkg/images.yml")
}
