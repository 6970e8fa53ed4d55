package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/testdata/interop"
)

// wide returns a registry with a repository of 6 packages, each a bundle of 4 images, an index and a
// bundle that all share; half of the images are in the bundle's own repository only. One package is
// fetched by tag and not locked.
func wide() (*interop.Registry, name.Tag) {
	src := &interop.Registry{}
	shared := bundleOf(src.Repo("reg.test/shared"), src.Repo("reg.test/shared").PutPlain(`{"shared":true}`))
	src.Repo("reg.test/index")
	files := map[string]string{}
	var packages []name.Digest
	for i := range 6 {
		repo := src.Repo(fmt.Sprintf("reg.test/package%d", i))
		locked := []name.Digest{shared}
		for j := range 4 {
			place := repo
			if i%2 == 0 {
				place = src.Repo(fmt.Sprintf("reg.test/image%d", j))
			}
			image := place.PutPlain(fmt.Sprintf(`{"n":"%d %d"}`, i, j))
			locked = append(locked, src.Repo("gone.test/image").Ref(hash(image)))
			if place != repo {
				locked[len(locked)-1] = image
			}
		}
		locked = append(locked, repo.PutIndex(repo.PutPlain(fmt.Sprintf(`{"child":%d}`, i)), repo.PutPlain(`{"child":"all"}`)))
		packages = append(packages, bundleOf(repo, locked...))
		files[fmt.Sprintf("packages/%d.yml", i)] = packageYAML(fmt.Sprintf("p%d.reg.test", i), "1.0.0", "{imgpkgBundle: {image: '"+packages[i].Name()+"'}}")
	}
	loose := src.Repo("reg.test/loose")
	loose.Tags["v1"] = hash(bundleOf(loose, packages[3], loose.PutPlain(`{"loose":true}`)))
	files["packages/loose.yml"] = packageYAML("loose.reg.test", "1.0.0", "{imgpkgBundle: {image: 'reg.test/loose:v1'}}", "{git: {url: https://a.test}}")
	files[".imgpkg/images.yml"] = lock(packages...)
	src.Repo("reg.test/repo").PutBundle(files, "1.0.0")
	tag, _ := name.NewTag("reg.test/repo:1.0.0")
	return src, tag
}

// shuffled answers in no particular order.
type shuffled struct{ bundle.Source }

func (s shuffled) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	for range rand.IntN(30) {
		runtime.Gosched()
	}
	return s.Source.Manifest(ctx, ref)
}

func TestWalkIsDeterministic(t *testing.T) {
	t.Parallel()
	src, root := wide()
	want := mustWalk(t, src, bundle.WalkOptions{}, root)
	require.Greater(t, len(want.Nodes), 30)
	require.Len(t, want.Packages, 7)
	require.Len(t, want.Pins, 2)
	for range 20 {
		assert.Equal(t, want, mustWalk(t, shuffled{src}, bundle.WalkOptions{Jobs: 16}, root))
	}
}

func TestWalkReadsEachManifestOnce(t *testing.T) {
	t.Parallel()
	src, root := wide()
	var read atomic.Int32
	g := mustWalk(t, src, bundle.WalkOptions{Jobs: 8, Read: func() { read.Add(1) }}, root)
	calls := src.Calls()
	assert.Equal(t, slices.Compact(slices.Clone(calls)), calls, "nothing is asked twice")
	assert.EqualValues(t, len(g.Nodes), read.Load())
	distinct := map[v1.Hash]bool{}
	for _, n := range g.Nodes {
		assert.False(t, distinct[n.Descriptor.Digest], n.Name())
		distinct[n.Descriptor.Digest] = true
		assert.Same(t, n, g.Node(n.Descriptor.Digest))
		for _, child := range n.Children {
			assert.NotNil(t, g.Node(child), "%s of %s", child, n.Name())
		}
	}
	assert.Equal(t, len(g.Nodes), g.Count(bundle.Bundle)+g.Count(bundle.Index)+g.Count(bundle.Plain))
	assert.Equal(t, 6, g.Count(bundle.Index))
}

// Import walks an archive with what export recorded, and must get the graph of the export.
func TestWalkClosedGivesTheSameGraph(t *testing.T) {
	t.Parallel()
	src, root := wide()
	opened := mustWalk(t, src, bundle.WalkOptions{Jobs: 4}, root)
	assert.Equal(t, []bundle.Pin{
		{Reference: "reg.test/loose:v1", Digest: src.Repo("reg.test/loose").Tags["v1"]},
		{Reference: "reg.test/repo:1.0.0", Digest: src.Repo("reg.test/repo").Tags["1.0.0"]},
	}, opened.Pins)

	closed := mustWalk(t, onePlace(src, opened), bundle.WalkOptions{Jobs: 4, Closed: true, Pins: opened.Pins}, root)

	for _, g := range []*bundle.Graph{opened, closed} {
		for _, n := range g.Nodes {
			n.From = name.Repository{} // where something was found is not what it is
		}
	}
	assert.Equal(t, opened, closed)
}

// A closed source is asked for digests only, each once.
func TestWalkClosedAsksNothingElse(t *testing.T) {
	t.Parallel()
	src, root := wide()
	opened := mustWalk(t, src, bundle.WalkOptions{}, root)
	place := onePlace(src, opened)
	asked := map[string]int{}
	place.Fail = func(id string) error { asked[id]++; return nil }
	mustWalk(t, place, bundle.WalkOptions{Closed: true, Pins: opened.Pins}, root)
	for _, n := range opened.Nodes {
		assert.Equal(t, 1, asked[n.Descriptor.Digest.String()], n.Name())
		delete(asked, n.Descriptor.Digest.String())
		for _, d := range n.Blobs {
			delete(asked, d.Digest.String())
		}
	}
	assert.Empty(t, asked, "tags, locations images")
}

func TestWalkClosedWithoutPin(t *testing.T) {
	t.Parallel()
	src, root := wide()
	opened := mustWalk(t, src, bundle.WalkOptions{}, root)
	_, err := bundle.Walk(t.Context(), onePlace(src, opened), []name.Reference{root}, bundle.WalkOptions{Closed: true, Pins: opened.Pins[1:]})
	missing := missingIn(err)
	require.Len(t, missing, 1)
	assert.Equal(t, "reg.test/loose:v1", missing[0].Reference)
	assert.Equal(t, "reg.test/repo:1.0.0", missing[0].WantedBy)
	assert.ErrorContains(t, err, "the tag's digest is not recorded")
}

// A pin of a digest, which a hostile archive may have, puts nothing in the digest's place.
func TestPinOfDigest(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	good, evil := repo.PutPlain(`{"good":true}`), repo.PutPlain(`{"evil":true}`)
	root := bundleOf(repo, good)
	pins := []bundle.Pin{{Reference: good.Name(), Digest: hash(evil)}, {Reference: root.Name(), Digest: hash(bundleOf(repo, evil))}}
	g := mustWalk(t, &src, bundle.WalkOptions{Closed: true, Pins: pins}, root)
	assert.Equal(t, hash(root), g.Roots[0].Digest)
	assert.NotNil(t, g.Node(hash(good)))
	assert.Nil(t, g.Node(hash(evil)))
}

// swapped answers every digest with another manifest.
type swapped struct {
	bundle.Source
	other name.Digest
}

func (s swapped) Manifest(ctx context.Context, _ name.Reference) (v1.Descriptor, []byte, error) {
	return s.Source.Manifest(ctx, s.other)
}

func TestSourceThatBreaksItsWord(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	_, err := bundle.Walk(t.Context(), swapped{&src, bundleOf(repo)}, []name.Reference{bundleOf(repo, repo.PutPlain(`{}`))}, bundle.WalkOptions{})
	require.ErrorIs(t, err, digest.ErrMismatch)
}

// onePlace returns a place that has what g has, and no tags.
func onePlace(src *interop.Registry, g *bundle.Graph) *interop.Repo {
	place := new(interop.Registry).Repo("archive.test/all")
	for _, n := range g.Nodes {
		from := src.Repo(n.From.Name())
		place.Manifests[n.Descriptor.Digest] = from.Manifests[n.Descriptor.Digest]
		for _, d := range n.Blobs {
			place.Blobs[d.Digest] = from.Blobs[d.Digest]
		}
	}
	return place
}

// All that is missing is told at once, in graph order, with who wants it and where it was looked for.
func TestWalkCollectsWhatIsMissing(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo, away, shut := src.Repo("reg.test/repo"), src.Repo("reg.test/away"), src.Repo("reg.test/shut")
	shut.Fail = func(string) error { return fmt.Errorf("401: %w", fs.ErrPermission) }
	gone, closedDoor := away.Ref(v1.Hash{Algorithm: "sha256", Hex: hexA}), shut.Ref(v1.Hash{Algorithm: "sha256", Hex: hexB})
	child := away.PutPlain(`{"child":true}`)
	index := away.PutIndex(child)
	delete(away.Manifests, hash(child))
	root := bundleOf(repo, gone, repo.PutPlain(`{}`), closedDoor, index)

	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{Jobs: 3})

	missing := missingIn(err)
	require.Len(t, missing, 3)
	for i, want := range []bundle.MissingError{
		{Reference: gone.Name(), WantedBy: root.Name(), Tried: []string{gone.Name(), repo.Ref(hash(gone)).Name()}},
		{Reference: closedDoor.Name(), WantedBy: root.Name(), Tried: []string{closedDoor.Name(), repo.Ref(hash(closedDoor)).Name()}},
		{Reference: child.Name(), WantedBy: index.Name(), Tried: []string{child.Name()}},
	} {
		got := missing[i]
		assert.Equal(t, want, bundle.MissingError{Reference: got.Reference, WantedBy: got.WantedBy, Tried: got.Tried})
		assert.ErrorContains(t, err, got.Error())
	}
	assert.ErrorIs(t, missing[0], fs.ErrNotExist)
	assert.NotErrorIs(t, missing[0], fs.ErrPermission)
	assert.ErrorIs(t, missing[1], fs.ErrPermission, "one place does not show what it has; that the other has nothing says less")
	assert.ErrorIs(t, missing[2], fs.ErrNotExist)
}

func TestMissingRoot(t *testing.T) {
	t.Parallel()
	ref := tagRef(t, "reg.test/repo:1")
	_, err := bundle.Walk(t.Context(), new(interop.Registry), []name.Reference{ref}, bundle.WalkOptions{})
	missing := missingIn(err)
	require.Len(t, missing, 1)
	assert.Empty(t, missing[0].WantedBy)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Nil(t, missingIn(errors.New("another")))
	assert.Nil(t, missingIn(nil))
}

// TestMissingPlatform: who misses a child of an index learns what it is for.
func TestMissingPlatform(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ platform, want string }{
		"known":   {`{"os":"linux","architecture":"arm","variant":"v7"}`, "linux/arm/v7"},
		"hostile": {`{"os":"linux\u001b[2J","architecture":"arm64"}`, ""},
		"no text": {`{"os":["linux"]}`, ""},
		"none":    {`null`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			child := repo.PutPlain(`{}`)
			d := repo.Describe(child)
			index := repo.Ref(repo.PutManifest(types.OCIImageIndex, fmt.Appendf(nil,
				`{"schemaVersion":2,"manifests":[{"mediaType":%q,"size":%d,"digest":%q,"platform":%s}]}`, d.MediaType, d.Size, d.Digest, c.platform)))
			pkg := bundleOf(repo, index)
			root := repo.PutBundle(map[string]string{
				".imgpkg/images.yml": lock(pkg), "packages/a.yml": packageYAML("a.corp.com", "1.0.0", "{imgpkgBundle: {image: "+pkg.Name()+"}}"),
			})
			delete(repo.Manifests, hash(child))
			_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
			missing := missingIn(err)
			require.Len(t, missing, 1)
			assert.Equal(t, c.want, missing[0].Platform)
			assert.Equal(t, "a.corp.com 1.0.0", missing[0].Package)
			assert.Equal(t, index.Name(), missing[0].WantedBy)
			assert.ErrorContains(t, err, "needed by the package a.corp.com 1.0.0")

			_, err = bundle.Walk(t.Context(), &src, refs(index), bundle.WalkOptions{})
			require.Len(t, missingIn(err), 1)
			assert.Empty(t, missingIn(err)[0].Package)
		})
	}
}

// TestMissingPackage: so does who misses what a Package fetches, by digest or by tag.
func TestMissingPackage(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lock(), "packages/a.yml": packageYAML("a.corp.com", "1.0.0", "{imgpkgBundle: {image: reg.test/gone:1}}"),
	})
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	require.Len(t, missingIn(err), 1)
	assert.Equal(t, "a.corp.com 1.0.0", missingIn(err)[0].Package)
}

// A place that fails is no reason to fail as long as another has the image.
func TestWalkPassesOverPlaceThatFails(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo, far := src.Repo("reg.test/repo"), src.Repo("far.test/image")
	unreachable := errors.New("dial tcp: no route to host")
	far.Fail = func(string) error { return unreachable }
	here := repo.PutPlain(`{}`)
	root := bundleOf(repo, far.Ref(hash(here)))
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Equal(t, repo.Name, g.Node(hash(here)).From.Name())
	assert.Equal(t, []string{far.Ref(hash(here)).Name()}, g.Node(hash(here)).References)

	delete(repo.Manifests, hash(here))
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	require.ErrorIs(t, err, unreachable)
	assert.Nil(t, missingIn(err), "it may be there")
	assert.ErrorContains(t, err, "find "+far.Ref(hash(here)).Name()+", referenced by "+root.Name())
}

// Locations are imgpkg's word of what is where: no answer means none, any other failure ends the walk.
func TestWalkWhenLocationsFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"not found", fs.ErrNotExist, true},
		{"not shown", fs.ErrPermission, true},
		{"server error", errors.New("500"), false},
	} {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		root := bundleOf(repo, src.Repo("far.test/image").PutPlain(`{}`))
		repo.Fail = func(id string) error {
			if id == imgpkg.LocationsTag(hash(root)) {
				return tt.err
			}
			return nil
		}
		_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
		if tt.ok {
			assert.NoError(t, err, tt.name)
		} else {
			assert.ErrorIs(t, err, tt.err, tt.name)
		}
	}
}

// Locations are not asked for where all images are in the bundle's own repository.
func TestWalkWithoutLocations(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	image := repo.PutPlain(`{}`)
	root := bundleOf(repo, image)
	mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.ElementsMatch(t, []string{root.Name(), image.Name()}, src.Calls())
}

// Locations name what is not there: the lock's own reference is tried, too.
func TestWalkWhenLocationsAreWrong(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo, far := src.Repo("reg.test/repo"), src.Repo("far.test/image")
	image := far.PutPlain(`{}`)
	root := bundleOf(repo, image)
	locations, err := imgpkg.Locations(&carvel.ImageLocations{Images: []carvel.Location{{Image: image}}})
	require.NoError(t, err)
	repo.PutImage(locations, imgpkg.LocationsTag(hash(root)))
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Equal(t, far.Name, g.Node(hash(image)).From.Name())
}

func TestWalkOfIndexes(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	a, b, c := repo.PutPlain(`{"a":1}`), repo.PutPlain(`{"b":1}`), repo.PutPlain(`{"c":1}`)
	inner := repo.PutIndex(b, c)
	outer := repo.PutIndex(a, inner, a)
	other := repo.PutPlain(`{"other":1}`)
	root := bundleOf(repo, outer, other, c)
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)

	assert.Equal(t, hashes(a, inner), g.Node(hash(outer)).Children, "in order, each once")
	assert.Equal(t, hashes(b, c), g.Node(hash(inner)).Children)
	assert.Equal(t, hashes(outer, other, c), g.Node(hash(root)).Children)
	assert.Nil(t, g.Node(hash(inner)).Blobs)
	var order []v1.Hash
	for _, n := range g.Nodes {
		order = append(order, n.Descriptor.Digest)
	}
	assert.Equal(t, hashes(root, outer, other, c, a, inner, b), order, "level by level")
	for _, tt := range []struct {
		ref     name.Digest
		isChild bool
	}{{root, false}, {outer, false}, {inner, true}, {a, true}, {b, true}, {c, false}, {other, false}} {
		n := g.Node(hash(tt.ref))
		assert.Equal(t, tt.isChild, n.IsChild, tt.ref)
		assert.Equal(t, tt.ref.Name(), n.Name(), "a child without a reference is named by its place")
	}
}

// A child of an index that a lock names later is a child no more.
func TestChildThatIsLockedLater(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	child := repo.PutPlain(`{"a":1}`)
	nested := bundleOf(repo, bundleOf(repo, child))
	g := mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, repo.PutIndex(child), nested))
	assert.False(t, g.Node(hash(child)).IsChild)
	assert.Equal(t, []string{child.Name()}, g.Node(hash(child)).References)
}

func TestSameDigestTwiceInLock(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	image := src.Repo("reg.test/b").PutPlain(`{}`)
	smaller := src.Repo("reg.test/a").Ref(hash(image))
	other := src.Repo("reg.test/b").PutPlain(`{"other":1}`)
	root := bundleOf(src.Repo("reg.test/repo"), image, other, smaller, image)
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	n := g.Node(hash(root))
	assert.Equal(t, hashes(image, other), n.Children)
	assert.Equal(t, []name.Digest{smaller, other}, n.Locked, "each digest once, by the smallest reference")
	assert.Equal(t, []string{smaller.Name(), image.Name()}, g.Node(hash(image)).References)
	assert.Equal(t, "reg.test/b", g.Node(hash(image)).From.Name(), "the one place that has it")
}

func TestRootByTagAndDigest(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	root := bundleOf(repo, repo.PutPlain(`{}`))
	repo.Tags["a"], repo.Tags["b"] = hash(root), hash(root)
	list := []name.Reference{tagRef(t, "reg.test/repo:b"), root, tagRef(t, "reg.test/repo:a"), root, tagRef(t, "reg.test/repo:b")}

	g := mustWalk(t, &src, bundle.WalkOptions{Jobs: 4}, list...)

	assert.Len(t, g.Nodes, 2)
	assert.Equal(t, []string{"reg.test/repo:a", "reg.test/repo:b", root.Name()}, g.Nodes[0].References)
	assert.Equal(t, []bundle.Root{{list[0], hash(root)}, {list[1], hash(root)}, {list[2], hash(root)}}, g.Roots, "as named, each once")
	assert.Equal(t, []string{"b", "", "a"}, []string{g.Roots[0].Tag(), g.Roots[1].Tag(), g.Roots[2].Tag()})
	assert.Equal(t, []bundle.Pin{{Reference: "reg.test/repo:a", Digest: hash(root)}, {Reference: "reg.test/repo:b", Digest: hash(root)}}, g.Pins)
	assert.Equal(t, g, mustWalk(t, &src, bundle.WalkOptions{Closed: true, Pins: g.Pins}, list...))
}

// Names reach a digest by a tag, by a digest, on several levels: none is lost, whatever comes first.
func TestWalkKeepsEveryName(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	target := bundleOf(repo)
	repo.Tags["t1"], repo.Tags["t2"] = hash(target), hash(target)
	var want []string
	named := func(i int) name.Digest {
		ref := src.Repo(fmt.Sprintf("reg.test/alias%d", i)).Ref(hash(target))
		want = append(want, ref.Name())
		return ref
	}
	deep := bundleOf(repo, bundleOf(repo, named(5), named(6)), named(7))
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lock(bundleOf(repo, named(0), named(1)), named(2), deep, named(3), named(4)),
		"packages/a.yml":     packageYAML("a.b.c", "1.0.0", "{imgpkgBundle: {image: 'reg.test/repo:t1'}}", "{imgpkgBundle: {image: 'reg.test/repo:t2'}}"),
	})
	slices.Sort(want)
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Equal(t, append(want, "reg.test/repo:t1", "reg.test/repo:t2"), g.Node(hash(target)).References)
}

func TestWalkDepth(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	root := bundleOf(repo)
	for range 32 {
		root = bundleOf(repo, root)
	}
	mustWalk(t, &src, bundle.WalkOptions{}, root)
	_, err := bundle.Walk(t.Context(), &src, refs(bundleOf(repo, root)), bundle.WalkOptions{})
	require.ErrorContains(t, err, "nested more than 32 deep")
}

// TestRoots: a root may be a bundle, an image or an index; who walks is told before what it names is read.
func TestRoots(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	image := repo.PutPlain(`{}`)
	index := repo.PutIndex(image)
	refused := errors.New("refused")
	for _, tt := range []struct {
		root  name.Digest
		kind  bundle.Kind
		nodes int
	}{{image, bundle.Plain, 1}, {index, bundle.Index, 2}, {bundleOf(repo, image), bundle.Bundle, 2}} {
		told := map[string]bundle.Kind{}
		g, err := bundle.Walk(t.Context(), &src, refs(tt.root), bundle.WalkOptions{Root: func(ref string, kind bundle.Kind) error {
			told[ref] = kind
			return nil
		}})
		require.NoError(t, err)
		assert.Equal(t, map[string]bundle.Kind{tt.root.Name(): tt.kind}, told)
		assert.Len(t, g.Nodes, tt.nodes)
		read := 0
		_, err = bundle.Walk(t.Context(), &src, refs(tt.root), bundle.WalkOptions{
			Root: func(string, bundle.Kind) error { return refused }, Read: func() { read++ },
		})
		require.ErrorIs(t, err, refused)
		assert.Equal(t, 1, read)
	}
}

// A repository's package that no lock names is carried all the same, from the bundle's own repository
// when need be.
func TestUncoveredFetchIsCarried(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	pkg, image := bundleOf(repo), repo.PutPlain(`{}`)
	gone := src.Repo("gone.test/pkg").Ref(hash(pkg))
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lock(image),
		"packages/a.yml":     packageYAML("a.b.c", "1.0.0", "{imgpkgBundle: {image: 'gone.test/pkg:1@"+pkg.DigestStr()+"'}}"),
	})
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Equal(t, hashes(image, pkg), g.Node(hash(root)).Children)
	assert.Equal(t, []name.Digest{image}, g.Node(hash(root)).Locked, "locations list what the lock names, no more")
	assert.Equal(t, []string{gone.Name()}, g.Node(hash(pkg)).References)
	assert.Equal(t, repo.Name, g.Node(hash(pkg)).From.Name())
}

func TestWalkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	src, root := wide()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := bundle.Walk(ctx, src, []name.Reference{root}, bundle.WalkOptions{Jobs: 4, Read: cancel})
	require.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, missingIn(err))
}

// A failure ends the walk: what else the level wants is not asked for.
func TestWalkEndsWithItsFirstFailure(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	index := indexOf(100)
	root := bundleOf(repo, repo.Ref(repo.PutManifest(types.OCIImageIndex, index)))
	unreachable, asked := errors.New("dial tcp: no route to host"), 0
	repo.Fail = func(id string) error {
		if !bytes.Contains(index, []byte(id)) {
			return nil
		}
		asked++
		return unreachable
	}
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	require.ErrorIs(t, err, unreachable)
	assert.LessOrEqual(t, asked, 2, "one was on its way")
}

// Two bundles name an image that only the second one has in its own repository.
func TestWalkLooksInEveryPlace(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	first, second := src.Repo("reg.test/first"), src.Repo("reg.test/second")
	image := second.PutPlain(`{}`)
	gone := src.Repo("gone.test/image").Ref(hash(image))
	root := bundleOf(src.Repo("reg.test/repo"), bundleOf(first, gone), bundleOf(second, gone, second.PutPlain(`{"other":1}`)))
	g := mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Equal(t, second.Name, g.Node(hash(image)).From.Name())

	delete(second.Manifests, hash(image))
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	missing := missingIn(err)
	require.Len(t, missing, 1)
	assert.Equal(t, []string{gone.Name(), first.Ref(hash(image)).Name(), second.Ref(hash(image)).Name()}, missing[0].Tried, "each once")
}

// As long as the lock's references lead to the images, the bundle's own repository is not asked.
func TestWalkDoesNotProbeInVain(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	far := src.Repo("far.test/image")
	root := bundleOf(src.Repo("reg.test/repo"), far.PutPlain(`{"a":1}`), far.PutPlain(`{"b":1}`), far.PutPlain(`{"c":1}`))
	mustWalk(t, &src, bundle.WalkOptions{}, root)
	assert.Len(t, fromHost(src.Calls(), "reg.test"), 2, "the bundle and its locations image")
}

// together answers when two ask at once.
type together struct {
	bundle.Source
	both *sync.WaitGroup
}

func (s together) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if _, isTag := ref.(name.Tag); !isTag {
		s.both.Done()
		s.both.Wait()
	}
	return s.Source.Manifest(ctx, ref)
}

func TestWalkAsksAtOnce(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	var both sync.WaitGroup
	both.Add(2)
	a, b := bundleOf(src.Repo("reg.test/a")), src.Repo("reg.test/b").PutBundle(map[string]string{".imgpkg/images.yml": lockHead, "b": ""})
	g := mustWalk(t, together{&src, &both}, bundle.WalkOptions{Jobs: 2}, a, b)
	assert.Len(t, g.Nodes, 2)
}
