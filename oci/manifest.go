package oci

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unique"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/text"
)

// Manifest is what a graph needs of an image manifest or an index.
type Manifest struct {
	IsIndex   bool
	Blobs     []v1.Descriptor // of an image: the config, then the layers
	Children  []v1.Descriptor // of an index
	Platforms []string        // of the children, as the index has them; empty where it does not say
	Attested  []v1.Hash       // of the children: which other child it is an attestation of; zero for none
	Subject   string          // digest of what it refers to, unchecked

	Annotations json.RawMessage // as the document has them, unchecked
}

// Config describes an image's config.
func (m *Manifest) Config() v1.Descriptor { return m.Blobs[0] }

// Layers describe an image's layers; an index has none.
func (m *Manifest) Layers() []v1.Descriptor { return m.Blobs[min(1, len(m.Blobs)):] }

// ParseManifest reads an image manifest or an index, Docker's or OCI's. The media type of the
// descriptor, the one in the document and the form of the document must agree, so that no two
// readers can see two things in one digest (CVE-2021-41190). Errors wrap ErrMalformed.
func ParseManifest(desc v1.Descriptor, raw []byte) (*Manifest, error) {
	m, err := decodeManifest(desc, raw)
	if errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

func decodeManifest(desc v1.Descriptor, raw []byte) (*Manifest, error) {
	doc, err := decodeDocument(desc, raw)
	if err != nil {
		return nil, err
	}
	m := &Manifest{IsIndex: desc.MediaType.IsIndex(), Subject: subjectIn(doc.Subject), Annotations: doc.Annotations}
	switch {
	case m.IsIndex && (doc.Config != nil || doc.Layers != nil):
		return nil, errors.New("is an index with config or layers")
	case m.IsIndex:
		for _, e := range doc.Manifests {
			m.Children = append(m.Children, of(e.descriptor)...)
			m.Platforms = append(m.Platforms, platformIn(e.Platform))
			m.Attested = append(m.Attested, v1.Hash{})
			if last := len(m.Platforms) - 1; m.Platforms[last] == "" {
				m.Attested[last] = attested(e.Annotations)
			}
		}
	case !desc.MediaType.IsImage():
		return nil, fmt.Errorf("has the media type %s, which is neither an image manifest nor an index", text.Quote(desc.MediaType))
	case doc.Manifests != nil:
		return nil, errors.New("is an image manifest with manifests")
	case doc.Config == nil:
		return nil, errors.New("is an image manifest without config")
	default:
		m.Blobs = of(append([]descriptor{*doc.Config}, doc.Layers...)...)
	}
	return m, cmp.Or(checkDescriptors(m.Blobs), checkDescriptors(m.Children))
}

// manifestFields has the fields of an image manifest and of an index.
type manifestFields struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *descriptor     `json:"config"`
	Layers        []descriptor    `json:"layers"`
	Manifests     []indexEntry    `json:"manifests"`
	Subject       json.RawMessage `json:"subject"`
	Annotations   json.RawMessage `json:"annotations"`
}

// decodeDocument reads a document, and checks that it is of the type that it is served as.
func decodeDocument(desc v1.Descriptor, raw []byte) (doc manifestFields, err error) {
	if desc.MediaType.IsSchema1() {
		return doc, fmt.Errorf("%w: has the media type %s: Docker schema 1 cannot be copied with its digest; push the image again in a newer format",
			ErrUnsupported, text.Quote(desc.MediaType))
	}
	if err := checkJSON(raw); err != nil {
		return doc, fmt.Errorf("is no manifest: %w", err)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc, fmt.Errorf("is no manifest: %w", text.Error(err))
	}
	if doc.MediaType != "" && doc.MediaType != desc.MediaType {
		return doc, fmt.Errorf("is served as %s but says that it is %s", text.Quote(desc.MediaType), text.Quote(doc.MediaType))
	}
	if doc.SchemaVersion != 2 {
		return doc, fmt.Errorf("has schemaVersion %d, want 2", doc.SchemaVersion)
	}
	return doc, nil
}

// indexEntry is a child of an index, with the platform that the index gives it.
type indexEntry struct {
	descriptor
	Platform    json.RawMessage `json:"platform"`
	Annotations json.RawMessage `json:"annotations"`
}

var platformPart = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// platformIn returns os/architecture or os/architecture/variant, or "" when it cannot be read.
func platformIn(raw json.RawMessage) string {
	var p struct{ OS, Architecture, Variant string }
	if len(raw) == 0 || json.Unmarshal(raw, &p) != nil || p.OS == "unknown" ||
		!platformPart.MatchString(p.OS) || !platformPart.MatchString(p.Architecture) {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if platformPart.MatchString(p.Variant) {
		s += "/" + p.Variant
	}
	return s
}

// subjectIn returns the digest of a subject, or "" when it is missing or cannot be read: nothing
// else depends on it.
func subjectIn(raw json.RawMessage) string {
	var subject struct {
		Digest string `json:"digest"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &subject) != nil {
		return ""
	}
	return subject.Digest
}

func checkDescriptors(list []v1.Descriptor) error {
	for _, d := range list {
		if d.Digest.Algorithm == "sha512" {
			return fmt.Errorf("%w: names %s, and only sha256 digests are supported", ErrUnsupported, d.Digest)
		}
		if d.Digest.Algorithm != "sha256" || d.Size < 0 || len(d.MediaType) > maxMediaType {
			return fmt.Errorf("has a descriptor with the digest %q, the size %d and the media type %s", d.Digest, d.Size, text.Quote(d.MediaType))
		}
	}
	return nil
}

// maxMediaType is the length of the longest media type (RFC 6838 §4.2).
const maxMediaType = 255

// descriptor is the part of a v1.Descriptor that a graph keeps: never its data, annotations and
// URLs.
type descriptor struct {
	MediaType types.MediaType `json:"mediaType"`
	Size      int64           `json:"size"`
	Digest    v1.Hash         `json:"digest"`
}

// of returns the descriptors of a list. Equal media types share their memory.
func of(list ...descriptor) []v1.Descriptor {
	out := make([]v1.Descriptor, len(list))
	for i, d := range list {
		out[i] = v1.Descriptor{MediaType: unique.Make(d.MediaType).Value(), Size: d.Size, Digest: d.Digest}
	}
	return out
}

// IsForeign reports whether the registry of the layer d may decline to serve it: its licence
// forbids distribution.
func IsForeign(d v1.Descriptor) bool { return !d.MediaType.IsDistributable() }
