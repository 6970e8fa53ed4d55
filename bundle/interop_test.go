package bundle_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/testdata/interop"
)

// The compressor is Go's: with Go 1.27 it writes other bytes, and other digests.
func TestBuildGivesImgpkgsDigests(t *testing.T) {
	t.Parallel()
	for dir, want := range interop.Bundles {
		files, err := interop.BundleFiles(dir)
		require.NoError(t, err)
		image, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
		require.NoError(t, err)
		assert.Equal(t, want, image.Descriptor.Digest.String(), dir)
	}
}

func TestWalkFindsWhatImgpkgFinds(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)

	g := mustWalk(t, src, bundle.WalkOptions{Jobs: 4}, digestRef(t, interop.Repository+"@"+interop.Root))

	recorded := readTarManifest(t, "tar/repository.manifest.json")
	require.Len(t, recorded, 10)
	assert.Len(t, g.Nodes, 9+2, "9 digests, and the children of the index")
	assertReferences(t, recorded, g)
	for _, n := range g.Nodes {
		if !n.IsChild {
			assert.Contains(t, n.References, n.From.Digest(n.Descriptor.Digest.String()).Name())
		}
	}
	assertKindsAndChildren(t, recorded, g)
	assertPackages(t, g)
	assert.Empty(t, g.Pins)

	sidecar := g.Node(recorded[slices.IndexFunc(recorded, func(e tarEntry) bool { return strings.Contains(e.origRef, "sidecar") })].digest)
	assert.Equal(t, []string{
		"127.0.0.1:5110/src/images/sidecar@" + sidecar.Descriptor.Digest.String(),
		"127.0.0.1:5110/src/mirror/sidecar@" + sidecar.Descriptor.Digest.String(),
	}, sidecar.References)
}

func TestWalkByTag(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)
	byDigest := mustWalk(t, src, bundle.WalkOptions{}, digestRef(t, interop.Repository+"@"+interop.Root))
	tag := tagRef(t, interop.Repository+":1.0.0")

	g := mustWalk(t, src, bundle.WalkOptions{}, tag)

	root, err := v1.NewHash(interop.Root)
	require.NoError(t, err)
	assert.Equal(t, []bundle.Root{{Reference: tag, Digest: root}}, g.Roots)
	assert.Equal(t, []bundle.Pin{{Reference: tag.Name(), Digest: root}}, g.Pins)
	assert.Equal(t, []string{tag.Name()}, g.Node(root).References)
	assert.Equal(t, byDigest.Nodes[1:], g.Nodes[1:])
}

// A relocated repository: everything is in one place, and keeps the names it had.
func TestWalkOfWhatImgpkgRelocated(t *testing.T) {
	t.Parallel()
	dst, err := interop.Destination()
	require.NoError(t, err)

	g := mustWalk(t, dst, bundle.WalkOptions{Jobs: 4}, digestRef(t, interop.Relocated+"@"+interop.Root))

	assertRelocated(t, interop.Relocated, g)
	for _, entry := range readTarManifest(t, "tar/relocated.manifest.json") {
		n := g.Node(entry.digest)
		assert.Contains(t, n.References, entry.origRef)
		assert.Equal(t, entry.refs, []string{n.From.Digest(n.Descriptor.Digest.String()).Name()})
	}
	calls := dst.Calls()
	assert.Len(t, calls, 11+5, "each manifest, and the locations image of each bundle")
	assert.Empty(t, fromHost(calls, "127.0.0.1:5110"))
}

// Without locations images the first lock entry of each bundle that is new tells where the others are.
func TestWalkWithoutLocationsProbes(t *testing.T) {
	t.Parallel()
	dst, err := interop.Destination()
	require.NoError(t, err)
	removeLocations(dst.Repo(interop.Relocated))

	g := mustWalk(t, dst, bundle.WalkOptions{Jobs: 4}, digestRef(t, interop.Relocated+"@"+interop.Root))

	assertRelocated(t, interop.Relocated, g)
	calls := dst.Calls()
	assert.Len(t, calls, 11+5+4)
	var probed []string
	for _, call := range fromHost(calls, "127.0.0.1:5110") {
		probed = append(probed, strings.TrimPrefix(call[:strings.Index(call, "@")], "127.0.0.1:5110/src/"))
	}
	assert.Equal(t, []string{"bundles/alpha", "images/tool", "images/web", "images/worker"}, probed)
}

// What was relocated is relocated again, from a place that knows neither the first nor the second.
func TestWalkAfterSecondHop(t *testing.T) {
	t.Parallel()
	const far = "far.example.test/platform/packages"
	for _, withLocations := range []bool{true, false} {
		dst, err := interop.Destination()
		require.NoError(t, err)
		var hop interop.Registry
		repo, relocated := hop.Repo(far), dst.Repo(interop.Relocated)
		repo.Tags, repo.Manifests, repo.Blobs = relocated.Tags, relocated.Manifests, relocated.Blobs
		if !withLocations {
			removeLocations(repo)
		}
		assertRelocated(t, far, mustWalk(t, &hop, bundle.WalkOptions{}, digestRef(t, far+"@"+interop.Root)))
	}
}

func TestLocationsAreImgpkgs(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)
	g := mustWalk(t, src, bundle.WalkOptions{}, digestRef(t, interop.Repository+"@"+interop.Root))
	dst, err := interop.Destination()
	require.NoError(t, err)
	for dir, digest := range interop.Bundles {
		d, err := v1.NewHash(digest)
		require.NoError(t, err)
		locations := g.Locations(g.Node(d))
		text, err := locations.Encode()
		require.NoError(t, err)
		image, err := imgpkg.Locations(locations)
		require.NoError(t, err)

		tag := imgpkg.LocationsTag(d)
		for suffix, got := range map[string][]byte{
			"image-locations.yml": text, "manifest.json": image.Manifest, "config.json": image.Config, "layer.tar.gz": image.Layer,
		} {
			want, err := interop.Read("locations/" + tag + "." + suffix)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got), "%s: %s", dir, suffix)
		}
		assert.Equal(t, dst.Repo(interop.Relocated).Tags[tag], image.Descriptor.Digest, dir)

		read, err := (&bundle.Node{Descriptor: v1.Descriptor{Digest: d}}).ReadLocations(t.Context(), dst, digestRef(t, interop.Relocated+"@"+digest).Context())
		require.NoError(t, err)
		assert.True(t, locations.Equal(read), dir)
	}
}

func TestImagesLocksAreImgpkgs(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"copy-image.yml", "copy-imageslock.yml", "copy-imageslock-tar.yml", "copy-index.yml"} {
		want, err := interop.Read("locks/" + file)
		require.NoError(t, err)
		lock, err := carvel.ParseImagesLock(want)
		require.NoError(t, err)
		got, err := lock.Encode()
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), file)
	}
	for dir, digest := range interop.Bundles {
		want, err := interop.Read("locks/push/" + dir + ".lock.yml")
		require.NoError(t, err)
		lock, err := carvel.ParseBundleLock(want)
		require.NoError(t, err)
		assert.Equal(t, digest, lock.Image.DigestStr())
		got, err := lock.Encode()
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), dir)
	}
}

// tarEntry is an entry of manifest.json in imgpkg's tars (docs/carvel.md, "imgpkg's tar").
type tarEntry struct {
	digest   v1.Hash
	refs     []string // where it was found
	origRef  string
	isIndex  bool
	children []v1.Hash
}

func readTarManifest(t *testing.T, file string) []tarEntry {
	t.Helper()
	type image struct {
		Refs     []string
		OrigRef  string
		Manifest struct{ Digest v1.Hash }
	}
	var list []struct {
		Image      *image
		ImageIndex *struct {
			Refs    []string
			OrigRef string
			Digest  v1.Hash
			Images  []image
		}
	}
	raw, err := interop.Read(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &list))
	var entries []tarEntry
	for _, e := range list {
		if e.Image != nil {
			entries = append(entries, tarEntry{digest: e.Image.Manifest.Digest, refs: e.Image.Refs, origRef: e.Image.OrigRef})
			continue
		}
		index := tarEntry{digest: e.ImageIndex.Digest, refs: e.ImageIndex.Refs, origRef: e.ImageIndex.OrigRef, isIndex: true}
		for _, child := range e.ImageIndex.Images {
			index.children = append(index.children, child.Manifest.Digest)
		}
		entries = append(entries, index)
	}
	return entries
}

// assertReferences: every digest has the references that imgpkg recorded for it, children have none.
func assertReferences(t *testing.T, recorded []tarEntry, g *bundle.Graph) {
	t.Helper()
	want, got := map[v1.Hash][]string{}, map[v1.Hash][]string{}
	for _, entry := range recorded {
		want[entry.digest] = append(want[entry.digest], entry.origRef)
	}
	for _, references := range want {
		slices.Sort(references)
	}
	for _, n := range g.Nodes {
		assert.Equal(t, len(n.References) == 0, n.IsChild, n.Name())
		if !n.IsChild {
			got[n.Descriptor.Digest] = n.References
		}
	}
	assert.Equal(t, want, got)
}

func assertKindsAndChildren(t *testing.T, recorded []tarEntry, g *bundle.Graph) {
	t.Helper()
	type shape struct {
		kind     bundle.Kind
		children []v1.Hash
	}
	want, got := map[v1.Hash]shape{}, map[v1.Hash]shape{}
	for _, entry := range recorded {
		want[entry.digest] = shape{kind: bundle.Plain}
		if entry.isIndex {
			want[entry.digest] = shape{bundle.Index, entry.children}
		}
		for _, child := range entry.children {
			want[child] = shape{kind: bundle.Plain}
		}
	}
	for dir, digest := range interop.Bundles {
		text, err := interop.Read("source/" + dir + "/.imgpkg/images.yml")
		require.NoError(t, err)
		lock, err := carvel.ParseImagesLock(text)
		require.NoError(t, err)
		s := shape{kind: bundle.Bundle}
		for _, entry := range lock.Images {
			s.children = append(s.children, hash(entry.Image))
		}
		d, err := v1.NewHash(digest)
		require.NoError(t, err)
		want[d] = s
	}
	for _, n := range g.Nodes {
		got[n.Descriptor.Digest] = shape{n.Kind, n.Children}
	}
	assert.Equal(t, want, got)
}

// assertPackages: the Packages, which the lock covers.
func assertPackages(t *testing.T, g *bundle.Graph) {
	t.Helper()
	var got []string
	for _, p := range g.Packages {
		got = append(got, p.Name+" "+p.Version)
		assert.Equal(t, interop.Root, p.Repository.String())
		assert.Len(t, p.Fetches, 1)
	}
	assert.Equal(t, []string{"alpha.example.test 1.0.0", "alpha.example.test 2.0.0", "beta.example.test 1.0.0"}, got)
	assert.Len(t, g.Metadata, 2)
	assert.Empty(t, g.Findings)
}

// assertRelocated: g has the references of the origin, and all of it was found in repo.
func assertRelocated(t *testing.T, repo string, g *bundle.Graph) {
	t.Helper()
	recorded := readTarManifest(t, "tar/repository.manifest.json")
	for i, entry := range recorded {
		if entry.digest.String() == interop.Root {
			recorded[i].origRef = repo + "@" + interop.Root
		}
	}
	assertReferences(t, recorded, g)
	assertKindsAndChildren(t, recorded, g)
	assertPackages(t, g)
	for _, n := range g.Nodes {
		assert.Equal(t, repo, n.From.Name(), n.Name())
	}
}

func removeLocations(repo *interop.Repo) {
	maps.DeleteFunc(repo.Tags, func(tag string, _ v1.Hash) bool { return strings.Contains(tag, "image-locations") })
}

func fromHost(calls []string, host string) []string {
	return slices.DeleteFunc(calls, func(call string) bool {
		ref, err := name.ParseReference(call)
		return err != nil || ref.Context().RegistryStr() != host
	})
}
