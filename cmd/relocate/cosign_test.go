package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report/page"
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
			for _, d := range subjects {
				verifyWithCosign(t, host+"/airgap/app@"+d.String())
			}
		})
	}
}

// verifyWithCosign runs the command that the documentation has, where cosign is installed, without internet access.
func verifyWithCosign(t *testing.T, image string) {
	t.Helper()
	cosign, err := exec.LookPath("cosign")
	if err != nil || testing.Short() {
		return
	}
	line := strings.Fields(strings.ReplaceAll(page.CosignVerify, "cosign.pub", "testdata/cosign/cosign.pub"))
	run := func(args []string) (string, error) {
		cmd := exec.CommandContext(t.Context(), cosign, append(args, image)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "HTTPS_PROXY=http://127.0.0.1:1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	args := line[1 : len(line)-1]
	out, err := run(args)
	require.NoError(t, err, "%s: %s", image, out)
	_, err = run(slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "--insecure-ignore-tlog" }))
	require.Error(t, err, "there is internet access")
}

// TestCosignLine: no text shows a command that needs the internet.
func TestCosignLine(t *testing.T) {
	t.Parallel()
	texts := page.CosignVerify + "\n"
	for _, file := range []string{"../../README.md", "../../docs/signatures.md"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		texts += string(text)
	}
	shown := regexp.MustCompile(`cosign verify [^\n`+"`"+`]*`).FindAllString(texts, -1)
	require.Greater(t, len(shown), 3)
	for _, line := range shown {
		assert.Regexp(t, `^cosign verify --key cosign.pub (--insecure-ignore-tlog|--offline --trusted-root )`, line)
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
