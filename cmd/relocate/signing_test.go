package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
)

// What signers push, by cosign's specs/SIGNATURE_SPEC.md, specs/ATTESTATION_SPEC.md and
// specs/SBOM_SPEC.md, and by its specs/BUNDLE_SPEC.md for what refers to its subject.
const (
	simpleSigning   types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseEnvelope    types.MediaType = "application/vnd.dsse.envelope.v1+json"
	spdxText        types.MediaType = "text/spdx"
	sigstoreBundle  types.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	inTotoStatement                 = "application/vnd.in-toto+json"
	signatureKey                    = "dev.cosignproject.cosign/signature"
)

// signer signs what is on a registry, with a key of its own.
type signer struct {
	site
	key *ecdsa.PrivateKey
}

func newSigner(s site) *signer {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(s.t, err)
	return &signer{s, key}
}

func (s *signer) sign(message []byte) []byte {
	s.t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	require.NoError(s.t, err)
	return sig
}

// byTag attaches an artifact of one layer by the subject's tag.
func (s *signer) byTag(repo string, subject v1.Hash, suffix string, layer v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	config := s.blob(repo, types.OCIConfigJSON, fmt.Appendf(nil, `{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[%q]},"config":{}}`, layer.Digest))
	return s.imageOf(repo, "sha256-"+subject.Hex+suffix, config, layer)
}

// signature attaches cosign's signature by tag.
func (s *signer) signature(repo string, subject v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	payload := encode(s.t, map[string]any{
		"critical": map[string]any{
			"identity": map[string]any{"docker-reference": s.host + "/" + repo},
			"image":    map[string]any{"docker-manifest-digest": subject.Digest},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	layer := s.blob(repo, simpleSigning, payload)
	layer.Annotations = map[string]string{signatureKey: base64.StdEncoding.EncodeToString(s.sign(payload))}
	return s.byTag(repo, subject.Digest, ".sig", layer)
}

// envelope is a signed in-toto statement about the subject.
func (s *signer) envelope(subject v1.Descriptor, predicate string) []byte {
	s.t.Helper()
	statement := encode(s.t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": map[string]any{},
		"subject": []any{map[string]any{"digest": map[string]any{"sha256": subject.Digest.Hex}}},
	})
	return encode(s.t, map[string]any{
		"payloadType": inTotoStatement, "payload": base64.StdEncoding.EncodeToString(statement),
		"signatures": []any{map[string]any{"sig": base64.StdEncoding.EncodeToString(s.sign(preAuthentication(statement)))}},
	})
}

// preAuthentication is what DSSE signs of a payload.
func preAuthentication(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(inTotoStatement), inTotoStatement, len(payload), payload)
}

// attestation attaches cosign's attestation by tag.
func (s *signer) attestation(repo string, subject v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	layer := s.blob(repo, dsseEnvelope, s.envelope(subject, "https://slsa.dev/provenance/v1"))
	layer.Annotations = map[string]string{signatureKey: "", "predicateType": "https://slsa.dev/provenance/v1"}
	return s.byTag(repo, subject.Digest, ".att", layer)
}

// sbom attaches an SBOM by tag.
func (s *signer) sbom(repo string, subject v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	return s.byTag(repo, subject.Digest, ".sbom", s.blob(repo, spdxText, fmt.Appendf(nil, "SPDXVersion: SPDX-2.3\nDocumentName: %s\n", subject.Digest)))
}

// referrer attaches an artifact that names its subject. A registry without the API gets the list of the tag
// schema.
func (s *signer) referrer(repo string, subject v1.Descriptor, artifactType types.MediaType, content []byte) v1.Descriptor {
	s.t.Helper()
	empty := s.blob(repo, "application/vnd.oci.empty.v1+json", []byte("{}"))
	doc := map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": artifactType, "config": empty,
		"layers": []any{s.blob(repo, artifactType, content)}, "subject": bare(subject),
		"annotations": map[string]string{"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
	}
	pushed := s.manifest(repo, "", types.OCIManifestSchema1, encode(s.t, doc))
	if list, hasAPI := referrersOf(s.t, s.host, repo, subject.Digest); !hasAPI {
		entry := pushed
		entry.ArtifactType = string(artifactType)
		s.index(repo, "sha256-"+subject.Digest.Hex, append(list, entry)...)
	}
	return pushed
}

// bare is a descriptor without what an index says of its children.
func bare(d v1.Descriptor) v1.Descriptor {
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}
}

// bundled attaches a sigstore bundle as a referrer: cosign's newer form of a signature and an attestation.
func (s *signer) bundled(repo string, subject v1.Descriptor, predicate string) v1.Descriptor {
	s.t.Helper()
	return s.referrer(repo, subject, sigstoreBundle, encode(s.t, map[string]any{
		"mediaType":            sigstoreBundle,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": ""}},
		"dsseEnvelope":         json.RawMessage(s.envelope(subject, predicate)),
	}))
}

// everything attaches in both layouts a signature, an attestation and an SBOM, each SBOM signed, and
// returns how many attachments these are.
func (s *signer) everything(repo string, subject v1.Descriptor) int {
	s.t.Helper()
	s.signature(repo, subject)
	s.attestation(repo, subject)
	s.signature(repo, s.sbom(repo, subject))
	s.bundled(repo, subject, "https://sigstore.dev/cosign/sign/v1")
	s.bundled(repo, subject, "https://slsa.dev/provenance/v1")
	sbom := s.referrer(repo, subject, spdxText, fmt.Appendf(nil, "SPDXVersion: SPDX-2.3\nDocumentName: %s again\n", subject.Digest))
	s.bundled(repo, sbom, "https://sigstore.dev/cosign/sign/v1")
	return 8
}

// referrersOf asks a registry what refers to a manifest, as every client must: by its API, or, where it has
// none, by the tag schema.
func referrersOf(t *testing.T, host, repo string, subject v1.Hash) (list []v1.Descriptor, hasAPI bool) {
	t.Helper()
	status, body, mediaType := ask(t, http.MethodGet, host, "/v2/"+repo+"/referrers/"+subject.String())
	if hasAPI = status == http.StatusOK && mediaType == string(types.OCIImageIndex); !hasAPI {
		if status, body, _ = ask(t, http.MethodGet, host, "/v2/"+repo+"/manifests/sha256-"+subject.Hex); status != http.StatusOK {
			return nil, false
		}
	}
	var index v1.IndexManifest
	require.NoError(t, json.Unmarshal(body, &index))
	return index.Manifests, hasAPI
}

// verifySigned verifies the signature of a manifest in both layouts, as "cosign verify --key" does, with the
// registry alone. It shares no code with relocate.
func (s *signer) verifySigned(host, repo string, subject v1.Hash) error {
	s.t.Helper()
	status, raw, _ := ask(s.t, http.MethodGet, host, "/v2/"+repo+"/manifests/sha256-"+subject.Hex+".sig")
	if status != http.StatusOK {
		return fmt.Errorf("no signatures found for %s by tag", subject)
	}
	if err := s.verifySimple(host, repo, subject, raw); err != nil {
		return err
	}
	list, _ := referrersOf(s.t, host, repo, subject)
	for _, d := range list {
		raw, _ := get(s.t, host, "/v2/"+repo+"/manifests/"+d.Digest.String())
		var m v1.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		if m.Layers[0].MediaType == sigstoreBundle { // the list need not say it: go-containerregistry's has the config's type
			return s.verifyBundle(host, repo, subject, m)
		}
	}
	return fmt.Errorf("no bundle refers to %s", subject)
}

func (s *signer) verifySimple(host, repo string, subject v1.Hash, raw []byte) error {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	payload, _ := get(s.t, host, "/v2/"+repo+"/blobs/"+m.Layers[0].Digest.String())
	var claim struct {
		Critical struct {
			Image map[string]string `json:"image"`
		} `json:"critical"`
	}
	sig, err := base64.StdEncoding.DecodeString(m.Layers[0].Annotations[signatureKey])
	if err == nil {
		err = json.Unmarshal(payload, &claim)
	}
	sum := sha256.Sum256(payload)
	switch {
	case err != nil:
		return err
	case !ecdsa.VerifyASN1(&s.key.PublicKey, sum[:], sig):
		return errors.New("the signature is not of the key")
	case claim.Critical.Image["docker-manifest-digest"] != subject.String():
		return errors.New("the signature is of another image")
	}
	return nil
}

func (s *signer) verifyBundle(host, repo string, subject v1.Hash, m v1.Manifest) error {
	var bundle struct {
		Envelope struct {
			Payload    []byte `json:"payload"`
			Signatures []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	content, _ := get(s.t, host, "/v2/"+repo+"/blobs/"+m.Layers[0].Digest.String())
	if err := json.Unmarshal(content, &bundle); err != nil {
		return err
	}
	sum := sha256.Sum256(preAuthentication(bundle.Envelope.Payload))
	switch {
	case m.Subject == nil || m.Subject.Digest != subject:
		return errors.New("the bundle refers to another image")
	case !ecdsa.VerifyASN1(&s.key.PublicKey, sum[:], bundle.Envelope.Signatures[0].Sig):
		return errors.New("the bundle is not signed by the key")
	case !strings.Contains(string(bundle.Envelope.Payload), subject.Hex):
		return errors.New("the statement is about another image")
	}
	return nil
}

// digestsOf are the digests of descriptors, sorted.
func digestsOf(list []v1.Descriptor) []string {
	var digests []string
	for _, d := range list {
		digests = append(digests, d.Digest.String())
	}
	slices.Sort(digests)
	return digests
}
