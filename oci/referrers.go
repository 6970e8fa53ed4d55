package oci

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

// Referrers returns the digests that the index raw, which desc describes, lists.
//
// Errors: ErrMalformed when it is no index.
func Referrers(desc v1.Descriptor, raw []byte) ([]v1.Hash, error) {
	m, err := ParseManifest(desc, raw)
	if err == nil && !m.IsIndex {
		err = fmt.Errorf("%w: is %s and no index", ErrMalformed, desc.MediaType)
	}
	if err != nil {
		return nil, err
	}
	var list []v1.Hash
	for _, child := range m.Children {
		list = append(list, child.Digest)
	}
	return list, nil
}

// MergeReferrers returns the index old with those of the descriptors added that it does not list, and how
// many these were. What it lists stays as it is. Without old, which desc describes, it makes an index.
func MergeReferrers(desc v1.Descriptor, old []byte, add []v1.Descriptor) (_ v1.Descriptor, _ []byte, added int, _ error) {
	listed := map[v1.Hash]bool{}
	fields := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2")}
	var manifests []json.RawMessage
	if old != nil {
		there, err := Referrers(desc, old)
		if err == nil {
			err = json.Unmarshal(old, &fields)
		}
		if err == nil && fields["manifests"] != nil {
			err = json.Unmarshal(fields["manifests"], &manifests)
		}
		if err != nil {
			return desc, nil, 0, err
		}
		for _, d := range there {
			listed[d] = true
		}
	}
	fields["mediaType"] = fmt.Appendf(nil, "%q", types.OCIImageIndex)
	for _, d := range add {
		if listed[d.Digest] {
			continue
		}
		listed[d.Digest] = true
		entry, err := json.Marshal(d)
		if err != nil {
			return desc, nil, 0, err
		}
		manifests = append(manifests, entry)
		added++
	}
	if added == 0 && old != nil {
		return desc, old, 0, nil
	}
	raw, err := encodeIndex(fields, manifests)
	if err == nil && len(raw) > MaxSize {
		err = fmt.Errorf("%w: would have %d bytes, more than the limit of %d", ErrMalformed, len(raw), MaxSize)
	}
	return v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest.Of(raw)}, raw, added, err
}

// encodeIndex writes an index with these fields, and these manifests in place of its own.
func encodeIndex(fields map[string]json.RawMessage, manifests []json.RawMessage) ([]byte, error) {
	if err := setField(fields, "manifests", manifests); err != nil {
		return nil, err
	}
	return encodeFields(fields)
}

// encodeFields writes an object by key: the same fields give the same bytes.
func encodeFields(fields map[string]json.RawMessage) ([]byte, error) {
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	err := e.Encode(fields)
	return bytes.TrimSuffix(raw.Bytes(), []byte("\n")), err
}
