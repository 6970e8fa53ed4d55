package tarball_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/report"
	"relocate/tarball"
)

// TestGoldenSparse pins how an archive says which children of an index it leaves out. It is frozen, as that of
// TestGoldenLists is.
func TestGoldenSparse(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "sparse.tar")
	m := newMemory()
	const app = "registry.example/app"
	amd64, arm64, attestation := m.image(t, m.layer(600)), m.image(t, m.layer(601)), m.image(t, m.layer(602))
	amd64.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64.Platform = &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.digest": arm64.Digest.String()}
	m.document(t, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{amd64, arm64, attestation}}, app+":1.0")
	tag, err := name.NewTag(app + ":1.0")
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), m, []name.Reference{tag}, bundle.WalkOptions{Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}}})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	got, err := os.ReadFile(m.writePlan(t, plan))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the archive is not the one of %s", golden)
	a, err := tarball.Open(golden)
	require.NoError(t, err)
	defer a.Close()
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)
	read, err := a.CheckedPlan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Equal(t, []report.Omitted{
		{Digest: arm64.Digest, Size: arm64.Size, MediaType: string(arm64.MediaType), Image: app + ":1.0", Reason: "platform", Platform: "linux/arm64/v8"},
		{Digest: attestation.Digest, Size: attestation.Size, MediaType: string(attestation.MediaType), Image: app + ":1.0", Reason: "platform"},
	}, read.Omitted)
	assert.Equal(t, read.Omitted, a.Omitted())
	assert.Equal(t, []v1.Hash{amd64.Digest}, read.Graph.Nodes[0].Children)
}
