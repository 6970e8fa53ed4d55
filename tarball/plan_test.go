package tarball_test

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/tarball"
)

// TestPlanRefuses: each archive is consistent in itself (Check finds nothing), but is not what its
// roots need.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	good := repository(t).bytes(t)
	surplus := noise(333)
	drop := func(i func(inv *relocateJSON) int) func(*relocateJSON, *[]member) {
		return func(inv *relocateJSON, blobs *[]member) {
			at := i(inv)
			inv.Blobs = slices.Delete(inv.Blobs, at, at+1)
			*blobs = slices.Delete(*blobs, at, at+1)
		}
	}
	tests := map[string]struct {
		change func(inv *relocateJSON, blobs *[]member)
		says   string
	}{
		"surplus blob": {func(inv *relocateJSON, blobs *[]member) {
			inv.Blobs = append(inv.Blobs, blob{digest.Of(surplus).String(), 333})
			*blobs = append(*blobs, file("blobs/sha256/"+digest.Of(surplus).Hex, surplus))
		}, "the inventory has"},
		"surplus blob in front": {func(inv *relocateJSON, blobs *[]member) {
			inv.Blobs = slices.Insert(inv.Blobs, 0, blob{digest.Of(surplus).String(), 333})
			*blobs = slices.Insert(*blobs, 0, file("blobs/sha256/"+digest.Of(surplus).Hex, surplus))
		}, "the inventory's blobs[0] is"},
		"missing layer": {drop(func(inv *relocateJSON) int { return len(inv.Blobs) - 1 }), "blobs"},
		"missing manifest": {drop(func(inv *relocateJSON) int {
			return slices.Index(inv.Blobs, blob{inv.Manifests[2].Digest, inv.Manifests[2].Size})
		}), "find "},
		"blobs in disorder": {func(inv *relocateJSON, blobs *[]member) {
			n := len(inv.Blobs)
			inv.Blobs[n-1], inv.Blobs[n-2] = inv.Blobs[n-2], inv.Blobs[n-1]
			(*blobs)[n-1], (*blobs)[n-2] = (*blobs)[n-2], (*blobs)[n-1]
		}, "blobs["},
		"no root":              {func(inv *relocateJSON, _ *[]member) { inv.Roots = nil }, "has no root"},
		"root is no reference": {func(inv *relocateJSON, _ *[]member) { inv.Roots[0].Reference = "Not A Reference" }, "is not a reference"},
		"root without a registry": {func(inv *relocateJSON, _ *[]member) {
			inv.Roots[0].Reference = "repo:1.0"
		}, "is not a reference"},
		"root of another tag":    {func(inv *relocateJSON, _ *[]member) { inv.Roots[0].Reference = "registry.example/repo:2.0" }, "not recorded"},
		"root of another digest": {func(inv *relocateJSON, _ *[]member) { inv.Roots[0].Digest = inv.Manifests[1].Digest }, "roots[0]"},
		"one more root": {func(inv *relocateJSON, _ *[]member) {
			inv.Roots = append(inv.Roots, pin{"registry.example/extra:1.0", inv.Pins[0].Digest})
		}, "manifests["},
		"root twice":           {func(inv *relocateJSON, _ *[]member) { inv.Roots = append(inv.Roots, inv.Roots[0]) }, "roots"},
		"pin of other content": {func(inv *relocateJSON, _ *[]member) { inv.Pins[0].Digest = inv.Manifests[0].Digest }, "the inventory"},
		"pin of the root":      {func(inv *relocateJSON, _ *[]member) { inv.Pins[1].Digest = inv.Pins[0].Digest }, "the inventory"},
		"pin that nothing needs": {func(inv *relocateJSON, _ *[]member) {
			inv.Pins = append(inv.Pins, pin{"registry.example/z:1", inv.Pins[0].Digest})
		}, "pins"},
		"pin twice":            {func(inv *relocateJSON, _ *[]member) { inv.Pins = append(inv.Pins, inv.Pins[1]) }, "pins"},
		"no pins":              {func(inv *relocateJSON, _ *[]member) { inv.Pins = nil }, "not recorded"},
		"another kind":         {func(inv *relocateJSON, _ *[]member) { inv.Manifests[1].Kind = "image" }, "manifests[1]"},
		"a kind that is none":  {func(inv *relocateJSON, _ *[]member) { inv.Manifests[1].Kind = "" }, "manifests[1]"},
		"another size":         {func(inv *relocateJSON, _ *[]member) { inv.Manifests[1].Size++ }, "manifests[1]"},
		"another media type":   {func(inv *relocateJSON, _ *[]member) { inv.Manifests[3].MediaType = inv.Manifests[0].MediaType }, "is served as"},
		"an index as an image": {func(inv *relocateJSON, _ *[]member) { inv.Manifests[5].MediaType = inv.Manifests[0].MediaType }, "is served as"},
		"one more reference": {func(inv *relocateJSON, _ *[]member) {
			inv.Manifests[3].References = append(inv.Manifests[3].References, "z")
		}, "manifests[3]"},
		"one reference less": {func(inv *relocateJSON, _ *[]member) { inv.Manifests[3].References = inv.Manifests[3].References[1:] }, "manifests[3]"},
		"a reference twice": {func(inv *relocateJSON, _ *[]member) {
			inv.Manifests[3].References = append(inv.Manifests[3].References, inv.Manifests[3].References[1])
		}, "manifests[3]"},
		"a reference for a child":    {func(inv *relocateJSON, _ *[]member) { inv.Manifests[6].References = []string{"registry.example/x:1"} }, "manifests[6]"},
		"manifests in disorder":      {func(inv *relocateJSON, _ *[]member) { slices.Reverse(inv.Manifests[3:5]) }, "manifests[3]"},
		"a manifest twice":           {func(inv *relocateJSON, _ *[]member) { inv.Manifests = append(inv.Manifests, inv.Manifests[6]) }, "manifests"},
		"a manifest not listed":      {func(inv *relocateJSON, _ *[]member) { inv.Manifests = inv.Manifests[:len(inv.Manifests)-1] }, "find "},
		"nothing omitted":            {func(inv *relocateJSON, _ *[]member) { inv.Omitted = nil }, "blobs"},
		"omitted for another reason": {func(inv *relocateJSON, _ *[]member) { inv.Omitted[0].Reason = "lost" }, "omitted[0]"},
		"more omitted":               {func(inv *relocateJSON, _ *[]member) { inv.Omitted = append(inv.Omitted, inv.Omitted[0]) }, "omitted"},
		"a layer omitted": {func(inv *relocateJSON, blobs *[]member) {
			n := len(inv.Blobs) - 1
			inv.Omitted = append(inv.Omitted, omitted{inv.Blobs[n].Digest, inv.Blobs[n].Size, "application/vnd.oci.image.layer.v1.tar+gzip", "x", "non-distributable"})
			inv.Blobs, *blobs = inv.Blobs[:n], (*blobs)[:n]
		}, "omitted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := tamper(t, good, test.change)
			a, err := open(bad)
			require.NoError(t, err)
			damage, err := a.Check(t.Context(), 1, nil)
			require.NoError(t, err)
			require.Empty(t, damage, "the archive is consistent in itself")
			_, err = a.Plan(t.Context(), 2, nil)
			assert.ErrorContains(t, err, test.says)
		})
	}
	t.Run("found elsewhere", func(t *testing.T) { // only the inventory knows
		t.Parallel()
		a, err := open(tamper(t, good, func(inv *relocateJSON, _ *[]member) { inv.Manifests[3].From = "other.example/place" }))
		require.NoError(t, err)
		_, err = a.Plan(t.Context(), 1, nil)
		require.NoError(t, err)
	})
	t.Run("what is foreign is quoted", func(t *testing.T) {
		t.Parallel()
		a, err := open(tamper(t, good, func(inv *relocateJSON, _ *[]member) { inv.Manifests[3].References[0] = "x\nOK \u202e" }))
		require.NoError(t, err)
		_, err = a.Plan(t.Context(), 1, nil)
		require.ErrorContains(t, err, `x\nOK \u202e`)
		assert.NotContains(t, err.Error(), "\u202e")
	})
}

// TestRelocatedChild exports from a place to which imgpkg had relocated the bundle: the child of an
// index, with a layer that is left out, has no name but where it was found, and an archive does not
// tell a walk that.
func TestRelocatedChild(t *testing.T) {
	t.Parallel()
	m := newMemory()
	foreign := m.blob(types.DockerForeignLayer, []byte("not to be distributed"))
	index := m.document(t, types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{m.image(t, foreign)},
	})
	m.bundle(t, rootName, nil, "elsewhere.example/many@"+index.Digest.String())
	g := m.plan(t).Graph
	locations, err := imgpkg.Locations(g.Locations(g.Nodes[0]))
	require.NoError(t, err)
	m.blob(types.DockerConfigJSON, locations.Config)
	m.blob(types.DockerLayer, locations.Layer)
	m.document(t, locations.Descriptor.MediaType, locations.Manifest, "registry.example/repo:"+imgpkg.LocationsTag(g.Nodes[0].Descriptor.Digest))

	plan := m.plan(t)
	require.Len(t, plan.Omitted, 1)
	require.Contains(t, plan.Omitted[0].Image, "registry.example/repo@", "the locations were believed")
	a, err := open(m.bytes(t))
	require.NoError(t, err)
	_, err = a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
}

// TestInventoryRefuses: what is consistent in itself and is refused when it is opened.
func TestInventoryRefuses(t *testing.T) {
	t.Parallel()
	good := repository(t).bytes(t)
	tests := map[string]struct {
		change func(inv *relocateJSON, blobs *[]member)
		says   string
	}{
		"a blob twice": {func(inv *relocateJSON, blobs *[]member) {
			inv.Blobs = append(inv.Blobs, inv.Blobs[3])
			*blobs = append(*blobs, (*blobs)[3])
		}, "twice"},
		"a pin that is no reference": {func(inv *relocateJSON, _ *[]member) { inv.Pins[0].Reference = "Not:A:Tag" }, "is not a tag"},
		"a pin without a tag":        {func(inv *relocateJSON, _ *[]member) { inv.Pins[0].Reference = "registry.example/extra" }, "is not a tag"},
		"a pin of a digest reference": {func(inv *relocateJSON, _ *[]member) {
			inv.Pins[0].Reference = "registry.example/app@" + inv.Blobs[0].Digest
		}, "is not a tag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(tamper(t, good, test.change))
			require.ErrorIs(t, err, tarball.ErrDamaged)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

// TestSubstitution: an archive cannot put other content in the place of a digest that its root
// locks. Here everything else agrees: a pin says that the locked digest stands for another image.
func TestSubstitution(t *testing.T) {
	t.Parallel()
	m := newMemory()
	wanted, evil := m.image(t, m.layer(10)), m.image(t, m.layer(20))
	locked := "registry.example/app@" + wanted.Digest.String()
	m.bundle(t, rootName, nil, locked)
	good := m.bytes(t)
	_, err := open(good)
	require.NoError(t, err)
	_, err = open(tamper(t, good, func(inv *relocateJSON, blobs *[]member) {
		for old, other := range map[v1.Hash][]byte{wanted.Digest: m.content(evil.Digest), digest.Of(noise(10)): noise(20)} {
			i := slices.IndexFunc(inv.Blobs, func(b blob) bool { return b.Digest == old.String() })
			inv.Blobs[i] = blob{digest.Of(other).String(), int64(len(other))}
			(*blobs)[i] = file("blobs/sha256/"+digest.Of(other).Hex, other)
		}
		inv.Manifests[1].Digest, inv.Manifests[1].Size = evil.Digest.String(), evil.Size
		inv.Pins = slices.Insert(inv.Pins, 0, pin{locked, evil.Digest.String()})
	}))
	require.ErrorIs(t, err, tarball.ErrDamaged)
	assert.ErrorContains(t, err, "is not a tag")
}
