package bundle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unique"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifest is what the walk needs of an image manifest or an index.
type manifest struct {
	isIndex   bool
	blobs     []v1.Descriptor // of an image: the config, then the layers
	children  []v1.Descriptor // of an index
	platforms []string        // of the children, as the index has them; empty where it does not say
	subject   string          // digest of what it refers to, unchecked
}

func (m *manifest) config() v1.Descriptor   { return m.blobs[0] }
func (m *manifest) layers() []v1.Descriptor { return m.blobs[min(1, len(m.blobs)):] }

// parseManifest reads an image manifest or an index, Docker's or OCI's. The media type of the
// descriptor, the one in the document and the form of the document must agree, so that no two
// readers can see two things in one digest (CVE-2021-41190). Errors wrap ErrMalformed.
func parseManifest(desc v1.Descriptor, raw []byte) (*manifest, error) {
	m, err := decodeManifest(desc, raw)
	if errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

func decodeManifest(desc v1.Descriptor, raw []byte) (*manifest, error) {
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        *descriptor     `json:"config"`
		Layers        []descriptor    `json:"layers"`
		Manifests     []indexEntry    `json:"manifests"`
		Subject       json.RawMessage `json:"subject"`
	}
	if desc.MediaType.IsSchema1() {
		return nil, fmt.Errorf("%w: has the media type %s: Docker schema 1 cannot be copied with its digest; push the image again in a newer format",
			ErrUnsupported, quote(desc.MediaType))
	}
	if err := checkJSON(raw); err != nil {
		return nil, fmt.Errorf("is no manifest: %w", err)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("is no manifest: %w", flatten(err))
	}
	if doc.MediaType != "" && doc.MediaType != desc.MediaType {
		return nil, fmt.Errorf("is served as %s but says that it is %s", quote(desc.MediaType), quote(doc.MediaType))
	}
	if doc.SchemaVersion != 2 {
		return nil, fmt.Errorf("has schemaVersion %d, want 2", doc.SchemaVersion)
	}
	m := &manifest{isIndex: desc.MediaType.IsIndex(), subject: subjectIn(doc.Subject)}
	switch {
	case m.isIndex:
		if doc.Config != nil || doc.Layers != nil {
			return nil, errors.New("is an index with config or layers")
		}
		for _, e := range doc.Manifests {
			m.children = append(m.children, of(e.descriptor)...)
			m.platforms = append(m.platforms, platformIn(e.Platform))
		}
	case desc.MediaType.IsImage():
		if doc.Manifests != nil {
			return nil, errors.New("is an image manifest with manifests")
		}
		if doc.Config == nil {
			return nil, errors.New("is an image manifest without config")
		}
		m.blobs = of(append([]descriptor{*doc.Config}, doc.Layers...)...)
	default:
		return nil, fmt.Errorf("has the media type %s, which is neither an image manifest nor an index", quote(desc.MediaType))
	}
	return m, cmp.Or(checkDescriptors(m.blobs), checkDescriptors(m.children))
}

// indexEntry is a child of an index, and what the index says that it is for.
type indexEntry struct {
	descriptor
	Platform json.RawMessage `json:"platform"`
}

var platformPart = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// platformIn returns os/architecture or os/architecture/variant, or "" where that cannot be read: nothing
// depends on it but messages.
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

// subjectIn returns the digest of a subject, or "" when there is none that can be read: nothing else depends
// on it.
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
			return fmt.Errorf("has a descriptor with the digest %q, the size %d and the media type %s", d.Digest, d.Size, quote(d.MediaType))
		}
	}
	return nil
}

// maxMediaType is the length of the longest media type (RFC 6838 §4.2).
const maxMediaType = 255

// descriptor is the part of a v1.Descriptor that a graph keeps: never its data, annotations and URLs.
type descriptor struct {
	MediaType types.MediaType `json:"mediaType"`
	Size      int64           `json:"size"`
	Digest    v1.Hash         `json:"digest"`
}

// of returns the descriptors of a list. What is the same in many images is in memory once.
func of(list ...descriptor) []v1.Descriptor {
	out := make([]v1.Descriptor, len(list))
	for i, d := range list {
		out[i] = v1.Descriptor{MediaType: unique.Make(d.MediaType).Value(), Size: d.Size, Digest: d.Digest}
	}
	return out
}

// IsForeign reports whether the registry of the layer d may decline to serve it: its licence forbids
// distribution.
func IsForeign(d v1.Descriptor) bool { return !d.MediaType.IsDistributable() }

// isBundle reports whether the image's config has the bundle label. A config that is no JSON object
// with labels, or too large for one, makes no bundle; it is an artifact's. An image's own that is too
// large is an error: it may have the label.
func isBundle(ctx context.Context, src Source, repo name.Repository, m *manifest) (bool, error) {
	if m.config().Size > maxDocument {
		if m.config().MediaType.IsConfig() {
			return false, fmt.Errorf("%w: has a config of %d bytes, more than the limit of %d", ErrMalformed, m.config().Size, maxDocument)
		}
		return false, nil
	}
	r, err := src.Blob(ctx, repo, m.config())
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.config().Digest, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // at most maxDocument: the source holds the descriptor's size
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.config().Digest, err)
	}
	var config struct {
		Config struct {
			Labels labels `json:"Labels"`
		} `json:"config"`
	}
	if json.Unmarshal(raw, &config) != nil {
		return false, nil
	}
	return config.Config.Labels.hasBundle, nil
}

// labels says of the labels of a config what the walk wants to know, without holding them.
type labels struct{ hasBundle bool }

// UnmarshalJSON implements json.Unmarshaler.
func (l *labels) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); t == nil || err != nil { // null
		return err
	} else if t != json.Delim('{') {
		return errors.New("labels are no object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		l.hasBundle = l.hasBundle || key == Label
	}
	return nil
}
