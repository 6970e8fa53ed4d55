package bundle_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/testdata/interop"
)

// FuzzWalk: whatever a bundle's lock and Packages say, one request at a time and several at once find
// the same graph; it has each digest once and no edge that leads out of it; and its plan has each
// blob once.
func FuzzWalk(f *testing.F) {
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	app := repo.PutPlain(`{"architecture":"amd64"}`)
	extra := bundleOf(repo, app)
	repo.Tags["1"] = interop.Hash(extra)
	f.Add([]byte(lock(app, extra)), []byte(packageYAML("a.test", "1", "{imgpkgBundle: {image: "+extra.Name()+"}}", "{image: {url: reg.test/repo:1}}")))
	f.Add([]byte(lock(app, app, extra)), []byte(packageYAML("a.test", "1", "{imgpkgBundle: {image: reg.test/repo:1}}")))
	f.Add([]byte(lock()), []byte(packageYAML("a.test", "1", "{http: {url: https://elsewhere.test}}")))
	f.Add([]byte(lockHead), []byte("#@ ytt\n"))
	f.Fuzz(func(t *testing.T, lockText, packages []byte) {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		repo.PutPlain(`{"architecture":"amd64"}`)
		repo.Tags["1"] = interop.Hash(bundleOf(repo, app))
		root := repo.PutBundle(map[string]string{".imgpkg/images.yml": string(lockText), "packages/a.yml": string(packages)})
		g, err := bundle.Walk(t.Context(), &src, []name.Reference{root}, bundle.WalkOptions{})
		again, errAgain := bundle.Walk(t.Context(), &src, []name.Reference{root}, bundle.WalkOptions{Jobs: 4})
		if err != nil {
			require.EqualError(t, errAgain, err.Error())
			return
		}
		require.NoError(t, errAgain)
		require.Equal(t, g, again)
		requireClosed(t, g)

		plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
		require.NoError(t, err)
		carried := map[v1.Hash]bool{}
		for i, b := range plan.Blobs {
			require.False(t, carried[b.Descriptor.Digest], "%s twice", b.Descriptor.Digest)
			carried[b.Descriptor.Digest] = true
			require.True(t, !b.IsManifest || i < plan.Small)
		}

		closed, err := bundle.Walk(t.Context(), repo, []name.Reference{root}, bundle.WalkOptions{Closed: true, Pins: g.Pins})
		require.NoError(t, err, "what was found once is found in one place that has it all")
		require.Len(t, closed.Nodes, len(g.Nodes))
		for i, n := range g.Nodes {
			require.Equal(t, n.Descriptor, closed.Nodes[i].Descriptor)
			require.Equal(t, n.Children, closed.Nodes[i].Children)
			require.Equal(t, n.References, closed.Nodes[i].References)
		}
	})
}

// requireClosed holds a graph to what a graph is.
func requireClosed(t *testing.T, g *bundle.Graph) {
	t.Helper()
	seen := map[v1.Hash]bool{}
	for _, n := range g.Nodes {
		require.False(t, seen[n.Descriptor.Digest], "%s twice", n.Descriptor.Digest)
		seen[n.Descriptor.Digest] = true
		require.Equal(t, n.IsChild, len(n.References) == 0)
		for _, child := range n.Children {
			require.NotNil(t, g.Node(child))
		}
		for _, ref := range n.References {
			parsed, err := name.ParseReference(ref)
			require.NoError(t, err)
			require.Equal(t, ref, parsed.Name())
		}
	}
}
