package bundle_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/testdata/interop"
)

// derive makes a bundle that locks refs and says that it was derived from another.
func derive(t *testing.T, from v1.Hash, labels map[string]string, lock string) *imgpkg.Image {
	t.Helper()
	all := map[string]string{imgpkg.Label: "true", imgpkg.LabelDerivedFrom: from.String()}
	for key, value := range labels {
		all[key] = value
	}
	image, err := imgpkg.Build(map[string][]byte{".imgpkg/images.yml": []byte(lock)}, all)
	require.NoError(t, err)
	return image
}

// TestWalkDerived walks a derived bundle through an overlay: it is found with the locations image of what it
// was derived from, and no registry is asked about it or for what is attached to it.
func TestWalkDerived(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	signature := a.byTag(a.image, ".sig")
	public := "gone.test/app@" + a.image.DigestStr()
	root := bundleOf(a.repo, digestRef(t, public), a.repo.PutPlain(`{"other":1}`))
	a.byTag(root, ".sig")
	locations, err := locationsOf(t, public).Encode()
	require.NoError(t, err)
	a.repo.PutBundle(map[string]string{imgpkg.LocationsFile: string(locations)}, imgpkg.LocationsTag(hash(root)))

	image := derive(t, hash(root), map[string]string{imgpkg.LabelChoice: `{"latest":1}`}, lock(digestRef(t, public)))
	src := bundle.NewOverlay(a.reg)
	src.Add(image.Descriptor, image.Manifest, hash(root), image.Config, image.Layer)
	tag := tagRef(t, "reg.test/app:1.0.0-selected-00000000")
	g, err := bundle.Walk(t.Context(), src, refs(a.repo.Ref(image.Descriptor.Digest)), bundle.WalkOptions{Discovery: a.discovery, Made: src.Has})
	require.NoError(t, err)
	pinned := mustWalk(t, src, bundle.WalkOptions{Pins: []bundle.Pin{{Reference: tag.Name(), Digest: image.Descriptor.Digest}}}, tag)

	for _, g := range []*bundle.Graph{g, pinned} {
		n := g.Node(image.Descriptor.Digest)
		require.NotNil(t, n)
		assert.Equal(t, &bundle.Derivation{From: hash(root), Choice: `{"latest":1}`}, n.Derived)
		assert.Equal(t, hashes(a.image), n.Children)
		assert.Nil(t, g.Node(hash(a.image)).Derived)
	}
	assert.Equal(t, []bundle.Attachment{attachment(a.image, signature, ".sig")}, g.Attachments, "not those of what it was derived from")
	assert.Empty(t, g.WithoutAttachments())
	assert.Equal(t, tag.Name(), pinned.Roots[0].Reference.Name())
	for _, call := range append(a.reg.Calls(), a.asked...) {
		assert.NotContains(t, call, image.Descriptor.Digest.Hex)
		assert.NotContains(t, call, "gone.test")
	}
	assert.Equal(t, `{"latest":1}`, string(pinned.NamedRoots()[0].Derived.Choice))

	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	for _, b := range plan.Blobs {
		if !b.IsManifest {
			r, err := src.Blob(t.Context(), b.Node.From, *b.Descriptor)
			require.NoError(t, err, b.Descriptor.Digest)
			require.NoError(t, r.Close())
		}
	}
}

// TestOverlayWithoutLocations: a manifest that was derived from nothing has no locations image.
func TestOverlayWithoutLocations(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	root := bundleOf(a.repo, a.image)
	image := derive(t, hash(root), nil, lock(a.image))
	src := bundle.NewOverlay(a.reg)
	src.Add(image.Descriptor, image.Manifest, v1.Hash{}, image.Config, image.Layer)
	mustWalk(t, src, bundle.WalkOptions{}, a.repo.Ref(image.Descriptor.Digest))
	for _, call := range a.reg.Calls() {
		assert.NotContains(t, call, "image-locations")
	}
}

// TestDerivedLabels: labels that say nothing sensible are no derivation, or one without a choice.
func TestDerivedLabels(t *testing.T) {
	t.Parallel()
	from := v1.Hash{Algorithm: "sha256", Hex: hexA}
	tests := []struct {
		name, from, choice string
		want               *bundle.Derivation
	}{
		{"both", from.String(), `{"a":1}`, &bundle.Derivation{From: from, Choice: `{"a":1}`}},
		{"no choice", from.String(), "", &bundle.Derivation{From: from}},
		{"no digest", "reg.test/a:1", `{"a":1}`, nil},
		{"choice is no JSON", from.String(), "{", &bundle.Derivation{From: from}},
		{"choice is too long", from.String(), `"` + strings.Repeat("x", imgpkg.MaxLabel) + `"`, &bundle.Derivation{From: from}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			ref := repo.PutImage(derive(t, from, map[string]string{imgpkg.LabelDerivedFrom: tt.from, imgpkg.LabelChoice: tt.choice}, lockHead))
			assert.Equal(t, tt.want, mustWalk(t, &src, bundle.WalkOptions{}, ref).Nodes[0].Derived)
			n, err := bundle.ReadNode(t.Context(), &src, ref)
			require.NoError(t, err)
			assert.Equal(t, tt.want, n.Derived)
		})
	}
}
