package oci

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/testdata/seed"
)

// FuzzManifest: a document is an image to all readers or an index to all readers, whatever media type
// it is served as; and go-containerregistry, where it can read it, sees the same descriptors.
func FuzzManifest(f *testing.F) {
	mediaTypes := []types.MediaType{types.OCIManifestSchema1, types.OCIImageIndex, types.DockerManifestSchema2, types.DockerManifestList}
	for _, m := range manifestSeeds(f) {
		f.Add(string(m.MediaType), []byte(m.Raw))
	}
	d := `{"mediaType":"x","size":1,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}`
	for _, mediaType := range mediaTypes {
		for _, s := range []string{
			`{"schemaVersion":2,"config":` + d + `,"layers":[` + d + `]}`, `{"schemaVersion":2,"manifests":[` + d + `]}`, `{"schemaVersion":2}`,
			`{"schemaVersion":2,"config":` + d + `,"layers":[` + d + `],"manifests":[` + d + `]}`, `{"schemaVersion":2,"config":` + d + `,"manifests":[]}`,
			`{"schemaVersion":2,"config":null,"layers":null,"manifests":null}`, `{"schemaVersion":2,"manifests":[` + strings.Replace(d, "1", "-1", 1) + `]}`, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + d + `]}`,
		} {
			f.Add(string(mediaType), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, mediaType string, raw []byte) {
		m, err := ParseManifest(v1.Descriptor{MediaType: types.MediaType(mediaType)}, raw)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			seed.RequireLine(t, err)
			return
		}
		for _, other := range mediaTypes {
			if o, err := ParseManifest(v1.Descriptor{MediaType: other}, raw); err == nil {
				require.Equal(t, m.IsIndex, o.IsIndex, "as %s and as %s", mediaType, other)
			}
		}
		if m.IsIndex {
			require.Empty(t, m.Blobs)
			if theirs, err := v1.ParseIndexManifest(bytes.NewReader(raw)); err == nil {
				requireSame(t, theirs.Manifests, m.Children)
			}
			return
		}
		require.Empty(t, m.Children)
		if theirs, err := v1.ParseManifest(bytes.NewReader(raw)); err == nil {
			requireSame(t, append([]v1.Descriptor{theirs.Config}, theirs.Layers...), m.Blobs)
		}
	})
}

// requireSame compares what a graph keeps of descriptors.
func requireSame(t *testing.T, want, got []v1.Descriptor) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, d := range want {
		require.Equal(t, v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, got[i])
		require.Equal(t, "sha256", got[i].Digest.Algorithm)
		require.GreaterOrEqual(t, got[i].Size, int64(0))
	}
}

// recorded is a manifest of the fixtures.
type recorded struct {
	MediaType types.MediaType `json:"mediaType"`
	Raw       string          `json:"raw"`
}

// manifestSeeds returns the manifests that imgpkg wrote.
func manifestSeeds(f *testing.F) []recorded {
	f.Helper()
	var list []recorded
	for _, raw := range seed.Files(f, "..", "source.json", "destination.json", "tags.json", "signed.json") {
		var repos []struct {
			Manifests map[string]recorded `json:"manifests"`
		}
		require.NoError(f, json.Unmarshal(raw, &repos))
		for _, repo := range repos {
			for _, m := range repo.Manifests {
				list = append(list, m)
			}
		}
	}
	require.NotEmpty(f, list)
	return list
}
