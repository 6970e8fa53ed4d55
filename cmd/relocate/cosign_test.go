package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCosign carries what cosign itself has made to registries with and without the referrers API.
// testdata/cosign has a two-platform image of random bytes which cosign 3.1.3 signed with "sign --key
// --tlog-upload=false --recursive" and "attest", each with --new-bundle-format=false and true, and to which it
// attached an SBOM; cosign.pub is the key's other half.
func TestCosign(t *testing.T) {
	t.Parallel()
	src := startReferrers(t)
	s, subjects := cosignImage(t, src)
	file := export(t, "-i", src+"/demo/app:1.0", "--attachments", "require")
	for name, start := range attachmentRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			mustRelocate(t, "--from-tar", file, "--to-repo", host+"/airgap/app")
			for _, d := range subjects {
				assert.NoError(t, s.verifySigned(host, "airgap/app", d))
			}
			theirs, _ := referrersOf(t, src, "demo/app", subjects[0])
			ours, _ := referrersOf(t, host, "airgap/app", subjects[0])
			assert.Len(t, ours, 2)
			assert.Equal(t, digestsOf(theirs), digestsOf(ours))
			mustRelocate(t, "verify", "--repo", host+"/airgap/app", file, "--level", "deep")
		})
	}
}

// cosignImage pushes the image with all that cosign attached. The signer verifies with cosign's key, and
// signs nothing. The subjects are the index and its children.
func cosignImage(t *testing.T, host string) (s *signer, subjects []v1.Hash) {
	t.Helper()
	var image struct {
		Manifests []struct {
			MediaType types.MediaType `json:"mediaType"`
			Raw       string          `json:"raw"`
		} `json:"manifests"`
		Tags  map[string]string `json:"tags"`
		Blobs [][]byte          `json:"blobs"`
	}
	text, err := os.ReadFile("testdata/cosign/image.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &image))
	text, err = os.ReadFile("testdata/cosign/cosign.pub")
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	s = &signer{site{t: t, host: host}, &ecdsa.PrivateKey{PublicKey: *key.(*ecdsa.PublicKey)}}
	for _, b := range image.Blobs {
		s.blob("demo/app", types.OCILayer, b)
	}
	for _, m := range image.Manifests { // the index is last
		d := s.manifest("demo/app", "", m.MediaType, []byte(m.Raw))
		for tag, digest := range image.Tags {
			if digest == d.Digest.String() {
				s.manifest("demo/app", tag, m.MediaType, []byte(m.Raw))
			}
		}
		if m.MediaType.IsIndex() {
			var index v1.IndexManifest
			require.NoError(t, json.Unmarshal([]byte(m.Raw), &index))
			subjects = []v1.Hash{d.Digest, index.Manifests[0].Digest, index.Manifests[1].Digest}
		}
	}
	require.Len(t, subjects, 3)
	return s, subjects
}
