package bundle_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/oci"
)

// TestMergeReferrers: a list keeps what it has, byte for byte, and gets what it lacks, once.
func TestMergeReferrers(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	raw := func(d name.Digest) []byte { return a.repo.Manifests[hash(d)].Raw }
	one, err := oci.Referrer(a.repo.Describe(a.refer(a.image, "1")), raw(a.refer(a.image, "1")))
	require.NoError(t, err)
	assert.Equal(t, "application/vnd.example", one.ArtifactType, "the config's type where there is no other")
	desc, made, added, err := oci.MergeReferrers(v1.Descriptor{}, nil, []v1.Descriptor{one, one})
	require.NoError(t, err)
	assert.Equal(t, 1, added)
	assert.Equal(t, digest.Of(made), desc.Digest)
	again, same, added, err := oci.MergeReferrers(desc, made, []v1.Descriptor{one})
	require.NoError(t, err)
	assert.Zero(t, added)
	assert.Equal(t, made, same)
	assert.Equal(t, desc, again)

	foreign := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digest.Of(nil).String() +
		`","size":7,"annotations":{"a":"<b>"},"platform":{"os":"x","architecture":"y"},"x":1}],"annotations":{"kept":"yes"}}`
	desc = v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(foreign)), Digest: digest.Of([]byte(foreign))}
	desc, merged, added, err := oci.MergeReferrers(desc, []byte(foreign), []v1.Descriptor{one})
	require.NoError(t, err)
	assert.Equal(t, 1, added)
	var doc struct {
		MediaType   string            `json:"mediaType"`
		Manifests   []json.RawMessage `json:"manifests"`
		Annotations map[string]string `json:"annotations"`
	}
	require.NoError(t, json.Unmarshal(merged, &doc))
	require.Len(t, doc.Manifests, 2)
	assert.JSONEq(t, foreign[len(`{"schemaVersion":2,"manifests":[`):strings.Index(foreign, `],"annotations":{"kept`)], string(doc.Manifests[0]))
	assert.Equal(t, "yes", doc.Annotations["kept"])
	list, err := oci.Referrers(desc, merged)
	require.NoError(t, err)
	assert.Equal(t, []v1.Hash{digest.Of(nil), one.Digest}, list)

	_, _, _, err = oci.MergeReferrers(a.repo.Describe(a.image), raw(a.image), []v1.Descriptor{one})
	require.ErrorIs(t, err, oci.ErrMalformed, "another's image under the tag is not overwritten")
}
