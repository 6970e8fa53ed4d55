package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
)

// Referrer returns how a list of referrers describes the manifest raw, which desc describes: with the type
// of artifact and the annotations that it has itself (OCI distribution 1.1, listing referrers).
func Referrer(desc v1.Descriptor, raw []byte) (v1.Descriptor, error) {
	var doc struct {
		ArtifactType string            `json:"artifactType"`
		Annotations  map[string]string `json:"annotations"`
		Config       struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return v1.Descriptor{}, fmt.Errorf("%w: %s: %w", ErrMalformed, desc.Digest, err)
	}
	return v1.Descriptor{
		MediaType: desc.MediaType, Size: desc.Size, Digest: desc.Digest,
		ArtifactType: cmp.Or(doc.ArtifactType, doc.Config.MediaType), Annotations: doc.Annotations,
	}, nil
}

// MergeReferrers returns the index old with those of the descriptors added that it does not list, and
// whether there were any. What it lists stays as it is. Without old, which desc describes, it makes an index.
func MergeReferrers(desc v1.Descriptor, old []byte, add []v1.Descriptor) (v1.Descriptor, []byte, bool, error) {
	listed := map[v1.Hash]bool{}
	fields := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": fmt.Appendf(nil, "%q", types.OCIImageIndex)}
	var manifests []json.RawMessage
	if old != nil {
		m, err := parseManifest(desc, old)
		if err == nil && !m.isIndex {
			err = fmt.Errorf("%w: is %s and no index", ErrMalformed, desc.MediaType)
		}
		if err == nil {
			err = json.Unmarshal(old, &fields)
		}
		if err == nil && fields["manifests"] != nil {
			err = json.Unmarshal(fields["manifests"], &manifests)
		}
		if err != nil {
			return desc, nil, false, err
		}
		for _, child := range m.children {
			listed[child.Digest] = true
		}
	}
	before := len(manifests)
	for _, d := range add {
		if listed[d.Digest] {
			continue
		}
		listed[d.Digest] = true
		entry, err := json.Marshal(d)
		if err != nil {
			return desc, nil, false, err
		}
		manifests = append(manifests, entry)
	}
	if len(manifests) == before && old != nil {
		return desc, old, false, nil
	}
	raw, err := encodeIndex(fields, manifests)
	if err == nil && len(raw) > maxDocument {
		err = fmt.Errorf("%w: would have %d bytes, more than the limit of %d", ErrMalformed, len(raw), maxDocument)
	}
	return v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest.Of(raw)}, raw, true, err
}

// encodeIndex writes an index with these fields, and these manifests in place of its own.
func encodeIndex(fields map[string]json.RawMessage, manifests []json.RawMessage) ([]byte, error) {
	list, err := json.Marshal(manifests)
	if err != nil {
		return nil, err
	}
	fields["manifests"] = list
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	err = e.Encode(fields) // by key: the same fields give the same bytes
	return bytes.TrimSuffix(raw.Bytes(), []byte("\n")), err
}
