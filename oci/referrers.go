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

// Referrer returns the descriptor of the manifest raw for a list of referrers: desc with the
// manifest's artifact type and annotations (OCI distribution specification 1.1, "Listing
// Referrers").
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
// Errors: ErrMalformed when it is not an index.
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

// MergeReferrers adds the descriptors that the index old does not list. It returns the new index
// and the number of added ones. Existing entries do not change. desc describes old; without old it
// makes an index.
func MergeReferrers(desc v1.Descriptor, old []byte, add []v1.Descriptor) (_ v1.Descriptor, _ []byte, added int, _ error) {
	index, err := readIndex(desc, old)
	if err != nil {
		return desc, nil, 0, err
	}
	for _, d := range add {
		if index.listed[d.Digest] {
			continue
		}
		index.listed[d.Digest] = true
		entry, err := json.Marshal(d)
		if err != nil {
			return desc, nil, 0, err
		}
		index.manifests = append(index.manifests, entry)
		added++
	}
	if added == 0 && old != nil {
		return desc, old, 0, nil
	}
	index.fields["mediaType"] = fmt.Appendf(nil, "%q", types.OCIImageIndex)
	raw, err := encodeIndex(index.fields, index.manifests)
	if err == nil && len(raw) > MaxSize {
		err = fmt.Errorf("%w: would have %d bytes, more than the limit of %d", ErrMalformed, len(raw), MaxSize)
	}
	return v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest.Of(raw)}, raw, added, err
}

// openIndex is an index while entries are added.
type openIndex struct {
	fields    map[string]json.RawMessage
	manifests []json.RawMessage
	listed    map[v1.Hash]bool
}

// readIndex reads the index raw, which desc describes; without it, an empty one.
func readIndex(desc v1.Descriptor, raw []byte) (*openIndex, error) {
	x := &openIndex{fields: map[string]json.RawMessage{"schemaVersion": json.RawMessage("2")}, listed: map[v1.Hash]bool{}}
	if raw == nil {
		return x, nil
	}
	list, err := Referrers(desc, raw)
	if err == nil {
		err = json.Unmarshal(raw, &x.fields)
	}
	if err == nil && x.fields["manifests"] != nil {
		err = json.Unmarshal(x.fields["manifests"], &x.manifests)
	}
	for _, d := range list {
		x.listed[d] = true
	}
	return x, err
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
