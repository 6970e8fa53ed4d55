package tarball_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/tarball"
)

// Tags implements bundle.Discovery.
func (m *memory) Tags(_ context.Context, repo name.Repository, _ int) (tags []string, all bool, err error) {
	for ref := range m.tags {
		if tag, ok := strings.CutPrefix(ref, repo.Name()+":"); ok {
			tags = append(tags, tag)
		}
	}
	if m.tags["refused"] != (v1.Hash{}) {
		return nil, false, fs.ErrPermission
	}
	return tags, true, nil
}

// Referrers implements bundle.Discovery: there is only the tag schema.
func (*memory) Referrers(context.Context, name.Digest) ([]v1.Hash, error) {
	return nil, errors.ErrUnsupported
}

// HasBlob implements bundle.Discovery.
func (m *memory) HasBlob(_ context.Context, _ name.Repository, d v1.Descriptor) (bool, error) {
	_, ok := m.blobs[d.Digest]
	return ok, nil
}

// signed is a bundle of an image that has a signature, and an SBOM that refers to it and is signed, too.
func signed(t testing.TB) *memory {
	t.Helper()
	m := newMemory()
	const app = "registry.example/app"
	image := m.image(t, m.layer(600))
	m.bundle(t, rootName, nil, app+"@"+image.Digest.String())
	artifact := func(content string, subject *v1.Descriptor) map[string]any {
		doc := map[string]any{"schemaVersion": 2, "config": m.blob("application/vnd.oci.empty.v1+json", []byte("{}")), "layers": []v1.Descriptor{m.blob("text/plain", []byte(content))}}
		if subject != nil {
			doc["subject"] = subject
		}
		return doc
	}
	tag := func(d v1.Hash, suffix string) string { return app + ":sha256-" + d.Hex + suffix }
	m.document(t, types.OCIManifestSchema1, artifact("signature", nil), tag(image.Digest, ".sig"))
	sbom := m.document(t, types.OCIManifestSchema1, artifact("sbom", &image))
	m.document(t, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{sbom}}, tag(image.Digest, ""))
	m.document(t, types.OCIManifestSchema1, artifact("signature of the SBOM", nil), tag(sbom.Digest, ".sig"))
	return m
}

// TestAttachmentsRoundTrip: the archive's own walk comes to the same graph, attachments included.
func TestAttachmentsRoundTrip(t *testing.T) {
	t.Parallel()
	m := signed(t)
	m.tags["refused"] = digest.Of(nil)
	want := m.plan(t)
	require.Len(t, want.Graph.Attachments, 3)
	require.Len(t, want.Graph.Unseen, 2)
	b := m.bytes(t)
	damage, err := inspect(b)
	require.NoError(t, err)
	assert.Empty(t, damage)
	a, err := open(b)
	require.NoError(t, err)
	got, err := a.Plan(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Equal(t, want.Graph.Attachments, got.Graph.Attachments)
	assert.Equal(t, want.Graph.Unseen, got.Graph.Unseen)
	assert.Equal(t, want.Graph.Nodes, got.Graph.Nodes)
	assert.Equal(t, want.Blobs, got.Blobs)
	index := string(unpack(t, b)[1].data)
	for _, n := range want.Graph.Nodes[2:] {
		assert.Equal(t, bundle.Attached, n.Kind)
		assert.Contains(t, index, `"org.opencontainers.image.ref.name":"`+n.Name()+`"`)
	}
}

// TestAttachmentsRefused: an inventory must list the attachments that the content has, in their order.
func TestAttachmentsRefused(t *testing.T) {
	t.Parallel()
	good := signed(t).bytes(t)
	hex := func(d string) string { return "sha256-" + strings.TrimPrefix(d, "sha256:") }
	tests := map[string]struct {
		change func(inv *relocateJSON)
		says   string
	}{
		"twice":                {func(inv *relocateJSON) { inv.Attached = append(inv.Attached, inv.Attached[2]) }, "4 attachments, the content 3"},
		"in disorder":          {func(inv *relocateJSON) { slices.Reverse(inv.Attached[:2]) }, "attachments[0]"},
		"one less":             {func(inv *relocateJSON) { inv.Attached = inv.Attached[:2] }, "manifests, the content"},
		"none":                 {func(inv *relocateJSON) { inv.Attached = nil }, "manifests, the content"},
		"the subject less":     {func(inv *relocateJSON) { inv.Attached = slices.Delete(inv.Attached, 1, 2) }, "manifests, the content"},
		"the tag of another":   {func(inv *relocateJSON) { inv.Attached[0].Tag = hex(inv.Attached[0].Digest) + ".sig" }, "the inventory"},
		"an unknown tag":       {func(inv *relocateJSON) { inv.Attached[0].Tag = hex(inv.Attached[0].Subject) + ".exe" }, "the inventory"},
		"a tag of the root's":  {func(inv *relocateJSON) { inv.Attached[0].Tag = "1.0" }, "the inventory"},
		"no tag":               {func(inv *relocateJSON) { inv.Attached[0].Tag = "" }, "the inventory"},
		"another subject":      {func(inv *relocateJSON) { inv.Attached[1].Subject = inv.Manifests[0].Digest }, "the inventory"},
		"a subject of no form": {func(inv *relocateJSON) { inv.Attached[1].Subject = "sha256:1" }, "relocate.json: attachments[1]"},
		"a subject elsewhere":  {func(inv *relocateJSON) { inv.Attached[1].Subject = "sha256:" + strings.Repeat("0", 64) }, "the inventory"},
		"itself":               {func(inv *relocateJSON) { inv.Attached[0].Digest = inv.Attached[0].Subject }, "the inventory"},
		"in a circle": {func(inv *relocateJSON) {
			inv.Attached[2].Digest = inv.Attached[2].Subject
		}, "the inventory"},
		"not there":              {func(inv *relocateJSON) { inv.Attached[0].Digest = "sha256:" + strings.Repeat("0", 64) }, "the inventory"},
		"an image as attachment": {func(inv *relocateJSON) { inv.Manifests[1].Kind = "attachment" }, "manifests[1]"},
		"an attachment as image": {func(inv *relocateJSON) { inv.Manifests[2].Kind = "image" }, "manifests[2]"},
		"a reference":            {func(inv *relocateJSON) { inv.Manifests[2].References = []string{"registry.example/x:1"} }, "manifests[2]"},
		"unseen of no kind":      {func(inv *relocateJSON) { inv.Unseen = []unseen{{"registry.example/app", "all", "refused"}} }, "unseen[0]"},
		"unseen for no reason":   {func(inv *relocateJSON) { inv.Unseen = []unseen{{"registry.example/app", "tags", "\x1b[2J"}} }, "unseen[0]"},
		"unseen nowhere":         {func(inv *relocateJSON) { inv.Unseen = []unseen{{"Not A Reference", "tags", "refused"}} }, "unseen[0]"},
		"unseen twice": {func(inv *relocateJSON) {
			inv.Unseen = []unseen{{"registry.example/app", "tags", "refused"}, {"registry.example/app", "tags", "refused"}}
		}, "unseen[1]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := open(tamper(t, good, func(inv *relocateJSON, _ *[]member) { test.change(inv) }))
			if err == nil {
				_, err = a.Plan(t.Context(), 2, nil)
			}
			require.ErrorContains(t, err, test.says)
			require.ErrorIs(t, err, tarball.ErrDamaged)
		})
	}
}
