package oci

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
	"relocate/internal/text"
)

// ErrConflict says that an attachment's tag names another manifest that cannot be merged with it.
var ErrConflict = errors.New("something else is attached")

// listSuffixes are the suffixes of the tags under which cosign keeps a list: each signature, or
// attestation, is a layer. An SBOM is alone under its tag.
var listSuffixes = []string{".sig", ".att"}

// listed are the media types of the layers in cosign's lists (cosign, pkg/types/media.go).
var listed = []types.MediaType{
	"application/vnd.dev.cosign.simplesigning.v1+json",
	"application/vnd.dsse.envelope.v1+json",
	"application/vnd.in-toto+json",
}

// LayerList is a manifest of cosign's whose layers are signatures or attestations. Only their
// annotations distinguish them: all signatures of one payload have the same digest.
type LayerList struct {
	fields      map[string]json.RawMessage
	mediaType   types.MediaType
	config      v1.Descriptor
	layers      []listedLayer
	annotations map[string]string
	subject     string
}

type listedLayer struct {
	raw         json.RawMessage
	desc        v1.Descriptor
	annotations map[string]string
}

// ParseLayerList reads the manifest raw, which desc describes and tag stands for.
//
// Errors: ErrConflict when it is not such a list.
func ParseLayerList(tag string, desc v1.Descriptor, raw []byte) (*LayerList, error) {
	if !slices.ContainsFunc(listSuffixes, func(s string) bool { return strings.HasSuffix(tag, s) }) {
		return nil, fmt.Errorf("%w: %s", ErrConflict, desc.Digest)
	}
	m, err := ParseManifest(desc, raw)
	if err == nil && m.IsIndex {
		err = errors.New("is an index")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrConflict, desc.Digest, err)
	}
	l := &LayerList{mediaType: desc.MediaType, config: m.Config(), subject: m.Subject}
	var doc struct {
		Annotations map[string]string `json:"annotations"`
		Layers      []json.RawMessage `json:"layers"`
	}
	if err := errors.Join(json.Unmarshal(raw, &l.fields), json.Unmarshal(raw, &doc)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConflict, desc.Digest, text.Error(err))
	}
	l.annotations = doc.Annotations
	for i, d := range m.Layers() {
		if !slices.Contains(listed, d.MediaType) {
			return nil, fmt.Errorf("%w: %s has a layer of type %s", ErrConflict, desc.Digest, text.Quote(d.MediaType))
		}
		var one struct {
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal(doc.Layers[i], &one); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConflict, desc.Digest, text.Error(err))
		}
		l.layers = append(l.layers, listedLayer{doc.Layers[i], d, one.Annotations})
	}
	return l, nil
}

// Config describes the config of the list.
func (l *LayerList) Config() v1.Descriptor { return l.config }

// Contains reports whether l has all layers of o.
func (l *LayerList) Contains(o *LayerList) bool {
	return (o.subject == "" || o.subject == l.subject) && covers(l.annotations, o.annotations) && len(l.missing(o)) == 0
}

// missing returns the layers of o that are not in l.
func (l *LayerList) missing(o *LayerList) []listedLayer {
	byDigest := map[v1.Hash][]listedLayer{}
	for _, have := range l.layers {
		byDigest[have.desc.Digest] = append(byDigest[have.desc.Digest], have)
	}
	var list []listedLayer
	for _, want := range o.layers {
		same := func(have listedLayer) bool { return covers(have.annotations, want.annotations) }
		if !slices.ContainsFunc(byDigest[want.desc.Digest], same) {
			list = append(list, want)
		}
	}
	return list
}

// covers reports whether have says all that want says.
func covers(have, want map[string]string) bool {
	for key, value := range want {
		if v, ok := have[key]; !ok || v != value {
			return false
		}
	}
	return true
}

// Merge returns l followed by the layers of o that it does not have, and the new config. config is
// that of l.
//
// Errors: ErrConflict when the two contradict each other, or l does not have the config of an
// image.
func (l *LayerList) Merge(o *LayerList, config []byte) (desc v1.Descriptor, raw []byte, configDesc v1.Descriptor, configRaw []byte, err error) {
	annotations := map[string]string{}
	maps.Copy(annotations, o.annotations)
	maps.Copy(annotations, l.annotations)
	switch {
	case o.subject != "" && o.subject != l.subject:
		err = fmt.Errorf("%w: it names another subject", ErrConflict)
	case !covers(annotations, o.annotations):
		err = fmt.Errorf("%w: its manifest has other annotations", ErrConflict)
	case !l.config.MediaType.IsConfig():
		err = fmt.Errorf("%w: its config is %s", ErrConflict, text.Quote(l.config.MediaType))
	}
	if err != nil {
		return desc, nil, configDesc, nil, err
	}
	more := l.missing(o)
	if configRaw, err = l.mergeConfig(config, more); err != nil {
		return desc, nil, configDesc, nil, err
	}
	configDesc = v1.Descriptor{MediaType: l.config.MediaType, Size: int64(len(configRaw)), Digest: digest.Of(configRaw)}
	raw, err = l.encode(more, configDesc, annotations)
	return v1.Descriptor{MediaType: l.mediaType, Size: int64(len(raw)), Digest: digest.Of(raw)}, raw, configDesc, configRaw, err
}

// encode writes the manifest of l with more layers, another config and these annotations.
func (l *LayerList) encode(more []listedLayer, config v1.Descriptor, annotations map[string]string) ([]byte, error) {
	var layers []json.RawMessage
	for _, layer := range slices.Concat(l.layers, more) {
		layers = append(layers, layer.raw)
	}
	fields := maps.Clone(l.fields)
	err := cmp.Or(setField(fields, "layers", layers), setField(fields, "config", config))
	if err == nil && len(annotations) > 0 {
		err = setField(fields, "annotations", annotations)
	}
	if err != nil {
		return nil, err
	}
	raw, err := encodeFields(fields)
	if err == nil && len(raw) > MaxSize {
		err = fmt.Errorf("%w: together they have %d bytes, more than the limit of %d", ErrConflict, len(raw), MaxSize)
	}
	return raw, err
}

// mergeConfig returns the config with a diff ID for each layer and, if it has a history, an entry
// of the history for each. The diff ID is the layer's digest, because no layer is compressed.
// Nothing else in the config changes.
func (l *LayerList) mergeConfig(config []byte, more []listedLayer) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	var doc struct {
		History []json.RawMessage `json:"history"`
	}
	if err := errors.Join(checkJSON(config), json.Unmarshal(config, &fields), json.Unmarshal(config, &doc)); err != nil {
		return nil, fmt.Errorf("%w: its config cannot be read: %w", ErrConflict, text.Error(err))
	}
	if fields == nil {
		return nil, fmt.Errorf("%w: its config is null", ErrConflict)
	}
	ids := []v1.Hash{}
	for _, layer := range slices.Concat(l.layers, more) {
		ids = append(ids, layer.desc.Digest)
	}
	if err := setField(fields, "rootfs", map[string]any{"type": "layers", "diff_ids": ids}); err != nil {
		return nil, err
	}
	if doc.History != nil {
		history := doc.History
		if len(history) != len(l.layers) {
			history = nil
		}
		for len(history) < len(ids) {
			history = append(history, json.RawMessage(`{"created":"0001-01-01T00:00:00Z"}`)) // as cosign writes it
		}
		if err := setField(fields, "history", history); err != nil {
			return nil, err
		}
	}
	return encodeFields(fields)
}

func setField(fields map[string]json.RawMessage, key string, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	fields[key] = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return err
}
