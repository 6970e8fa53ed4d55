package bundle_test

import (
	"fmt"
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

// entry is a child of an index: a new image, or the one given.
type entry struct {
	platform string // os/architecture/variant; "unknown/unknown" for an attestation
	of       int    // of an attestation: the entry that it is about
	image    *name.Digest
	absent   bool // the repository does not have it
}

// putPlatforms keeps an index of entries, and returns it and its children.
func putPlatforms(t *testing.T, repo *interop.Repo, entries ...entry) (index name.Digest, children []name.Digest) {
	t.Helper()
	var doc v1.IndexManifest
	doc.SchemaVersion, doc.MediaType = 2, types.OCIImageIndex
	for i, e := range entries {
		child := e.image
		if child == nil {
			image := repo.PutPlain(fmt.Sprintf(`{"architecture":%q,"of":%q,"n":%d}`, e.platform, repo.Name, i))
			child = &image
		}
		d := repo.Describe(*child)
		if e.platform != "" {
			part := append(strings.Split(e.platform, "/"), "")
			d.Platform = &v1.Platform{OS: part[0], Architecture: part[1], Variant: part[2]}
		}
		if e.platform == "unknown/unknown" {
			d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": children[e.of].DigestStr()}
		}
		if e.absent {
			delete(repo.Manifests, d.Digest)
		}
		doc.Manifests = append(doc.Manifests, d)
		children = append(children, *child)
	}
	return repo.PutJSON(types.OCIImageIndex, doc), children
}

func platforms(t *testing.T, list ...string) []v1.Platform {
	t.Helper()
	var parsed []v1.Platform
	for _, s := range list {
		p, err := oci.ParsePlatform(s)
		require.NoError(t, err)
		parsed = append(parsed, p)
	}
	return parsed
}

func TestWalkChoosesPlatforms(t *testing.T) {
	t.Parallel()
	entries := []entry{
		{platform: "linux/amd64"}, {platform: "linux/arm64"}, {platform: "linux/arm/v6"}, {platform: "linux/arm/v7"}, {platform: "windows/amd64"},
		{platform: "unknown/unknown", of: 0}, {platform: "unknown/unknown", of: 1}, {},
	}
	for _, tt := range []struct {
		choose  []string
		stays   []int // of entries; nil for all
		without string
	}{
		{nil, nil, ""},
		{[]string{"linux/amd64"}, []int{0, 5, 7}, "linux/arm64 linux/arm/v6 linux/arm/v7 windows/amd64 -"},
		{[]string{"linux/amd64", "linux/arm64"}, []int{0, 1, 5, 6, 7}, "linux/arm/v6 linux/arm/v7 windows/amd64"},
		{[]string{"linux/arm64/v8"}, []int{1, 6, 7}, "linux/amd64 linux/arm/v6 linux/arm/v7 windows/amd64 -"}, // as containerd says
		{[]string{"linux/arm"}, []int{2, 3, 7}, "linux/amd64 linux/arm64 windows/amd64 - -"},
		{[]string{"linux/arm/v7"}, []int{3, 7}, "linux/amd64 linux/arm64 linux/arm/v6 windows/amd64 - -"},
		{[]string{"linux/s390x"}, nil, ""},
	} {
		src := &interop.Registry{}
		repo := src.Repo("reg.test/image")
		index, children := putPlatforms(t, repo, entries...)
		g := mustWalk(t, src, bundle.WalkOptions{Platforms: platforms(t, tt.choose...)}, index)
		want := children
		if tt.stays != nil {
			want = nil
			for _, i := range tt.stays {
				want = append(want, children[i])
			}
		}
		n := g.Node(hash(index))
		assert.Equal(t, hashes(want...), n.Children, tt.choose)
		assert.Len(t, g.Nodes, 1+len(want), tt.choose)
		var without []string
		for _, child := range n.Without {
			without = append(without, map[bool]string{true: "-", false: child.Platform}[child.Platform == ""])
			assert.Nil(t, g.Node(child.Digest))
		}
		assert.Equal(t, tt.without, strings.Join(without, " "), tt.choose)
		if tt.stays == nil && tt.choose != nil {
			assert.Equal(t, []string{index.Name()}, g.Unchosen())
		} else {
			assert.Empty(t, g.Unchosen())
		}
		requireClosedWalk(t, src, g)
	}
}

// requireClosedWalk walks what g has, with what its plan omits and nothing else, and must get the same.
func requireClosedWalk(t *testing.T, src bundle.Source, g *bundle.Graph) {
	t.Helper()
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	var roots []name.Reference
	for _, root := range g.Roots {
		roots = append(roots, root.Reference)
	}
	closed := mustWalk(t, onePlace(src.(*interop.Registry), g), bundle.WalkOptions{
		Closed: true, Pins: g.Pins, Attachments: g.Attachments, Without: bundle.LeftOut(plan.Omitted),
	}, roots...)
	again, err := bundle.NewPlan(closed, bundle.PlanOptions{})
	require.NoError(t, err)
	assert.Equal(t, plan.Omitted, again.Omitted)
	require.Len(t, again.Blobs, len(plan.Blobs))
	for i := range plan.Blobs {
		assert.Equal(t, plan.Blobs[i].Descriptor, again.Blobs[i].Descriptor, "in file order")
	}
}

// A child that a lock names is carried although one index is to be without it, wherever the lock is.
func TestWalkKeepsChildrenThatSomethingElseNames(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	repo := src.Repo("reg.test/image")
	index, children := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/arm64"}, entry{platform: "unknown/unknown", of: 1})
	for name, root := range map[string]name.Digest{
		"beside it": bundleOf(src.Repo("reg.test/a"), index, children[1]),
		"before it": bundleOf(src.Repo("reg.test/a"), children[1], index),
		"deeper":    bundleOf(src.Repo("reg.test/a"), index, bundleOf(src.Repo("reg.test/b"), bundleOf(src.Repo("reg.test/c"), children[1]))),
	} {
		g := mustWalk(t, src, bundle.WalkOptions{Platforms: platforms(t, "linux/amd64")}, root)
		assert.Equal(t, hashes(children[0], children[1]), g.Node(hash(index)).Children, name)
		assert.Equal(t, []bundle.Child{{Descriptor: repo.Describe(children[2])}}, g.Node(hash(index)).Without, "%s: only the attestation", name)
		requireClosedWalk(t, src, g)
	}
}

// What a registry has pruned is not asked for when it is for another platform.
func TestWalkLeavesOutPrunedChildren(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	index, children := putPlatforms(t, src.Repo("reg.test/image"), entry{platform: "linux/amd64"}, entry{platform: "linux/ppc64le", absent: true})
	_, err := bundle.Walk(t.Context(), src, []name.Reference{index}, bundle.WalkOptions{})
	missing, _ := bundle.Missing(err)
	require.Len(t, missing, 1)
	assert.Equal(t, "linux/ppc64le", missing[0].Platform)

	g := mustWalk(t, src, bundle.WalkOptions{Platforms: platforms(t, "linux/amd64")}, index)
	assert.Equal(t, hashes(children[0]), g.Node(hash(index)).Children)
}

func TestPlanOmitsChildren(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	repo := src.Repo("reg.test/image")
	image := repo.PutPlain(`{}`)
	a, children := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/arm64", image: &image})
	b, _ := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{}, entry{platform: "linux/arm64", image: &image})
	g := mustWalk(t, src, bundle.WalkOptions{Platforms: platforms(t, "linux/amd64")}, bundleOf(src.Repo("reg.test/a"), a, b))
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	d := repo.Describe(children[1])
	assert.Equal(t, []report.Omitted{
		{Digest: d.Digest, Size: d.Size, MediaType: string(d.MediaType), Image: a.Name(), Reason: "platform", Platform: "linux/arm64"},
	}, plan.Omitted, "each once")
	for _, blob := range plan.Blobs {
		assert.NotEqual(t, d.Digest, blob.Descriptor.Digest)
	}
}

// An archive that says that all children are left out is not whole in any sense.
func TestWalkRefusesAnIndexWithoutChildren(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	index, children := putPlatforms(t, src.Repo("reg.test/image"), entry{platform: "linux/amd64"}, entry{platform: "linux/arm64"})
	_, err := bundle.Walk(t.Context(), src, []name.Reference{index}, bundle.WalkOptions{Closed: true, Without: map[v1.Hash]bool{hash(children[0]): true, hash(children[1]): true}})
	require.ErrorIs(t, err, oci.ErrMalformed)
	assert.Contains(t, err.Error(), "no child of the index is present")
}

// What is attached to a child that is left out is not looked for; an attachment that is an index stays
// whole.
func TestWalkLeavesOutAttachmentsOfLeftOutChildren(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	repo := src.Repo("reg.test/image")
	index, children := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/arm64"})
	tagOf := func(d name.Digest) string { return strings.Replace(d.DigestStr(), ":", "-", 1) + ".sig" }
	signature := repo.PutPlain(`{"signs":"amd64"}`)
	repo.Tags[tagOf(children[0])] = hash(signature)
	other := repo.PutPlain(`{"signs":"arm64"}`)
	repo.Tags[tagOf(children[1])] = hash(other)
	whole, parts := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/s390x"})
	repo.Tags[tagOf(index)] = hash(whole)

	g := mustWalk(t, src, bundle.WalkOptions{Platforms: platforms(t, "linux/amd64"), Discovery: &discovery{repo: repo}}, index)
	assert.NotNil(t, g.Node(hash(signature)))
	assert.Nil(t, g.Node(hash(other)))
	assert.Equal(t, hashes(parts...), g.Node(hash(whole)).Children)
	requireClosedWalk(t, src, g)
}

// What nobody says is left out is left out where that is asked for, but for what a lock names, too.
func TestWalkLeavesOutAbsentChildren(t *testing.T) {
	t.Parallel()
	src := &interop.Registry{}
	repo := src.Repo("reg.test/image")
	a, children := putPlatforms(t, repo, entry{platform: "linux/amd64"}, entry{platform: "linux/arm64", absent: true})
	b, _ := putPlatforms(t, repo, entry{platform: "linux/arm64", image: &children[0]}, entry{platform: "linux/s390x", absent: true})
	g := mustWalk(t, src, bundle.WalkOptions{Absent: true}, bundleOf(src.Repo("reg.test/a"), a, b))
	assert.Equal(t, hashes(children[0]), g.Node(hash(a)).Children)
	require.Len(t, g.Node(hash(a)).Without, 1)
	assert.Equal(t, hash(children[1]), g.Node(hash(a)).Without[0].Digest)
	assert.Equal(t, "linux/arm64", g.Node(hash(a)).Without[0].Platform)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	assert.Len(t, plan.Omitted, 2)

	for place, root := range map[string]name.Digest{
		"beside it": bundleOf(src.Repo("reg.test/a"), a, children[1]),
		"deeper":    bundleOf(src.Repo("reg.test/a"), a, bundleOf(src.Repo("reg.test/b"), bundleOf(src.Repo("reg.test/c"), children[1]))),
	} {
		_, err := bundle.Walk(t.Context(), src, []name.Reference{root}, bundle.WalkOptions{Absent: true})
		missing, _ := bundle.Missing(err)
		require.Len(t, missing, 1, place)
	}
}
