package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Trim returns the index raw without the children that drop reports, and with others in place of those
// in changed, and with the annotation key. All other bytes stay, but for blanks between the children.
func Trim(raw []byte, drop func(v1.Hash) bool, changed map[v1.Hash]v1.Descriptor, key, value string) ([]byte, error) {
	if err := checkJSON(raw); err != nil {
		return nil, err
	}
	fields, err := objectFields(raw)
	if err != nil {
		return nil, err
	}
	list, ok := fields["manifests"]
	if !ok {
		return nil, fmt.Errorf("%w: has no manifests", ErrMalformed)
	}
	var kept [][]byte
	items, err := listItems(list.of(raw))
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		var d descriptor
		if err := json.Unmarshal(item, &d); err != nil {
			return nil, err
		}
		if drop(d.Digest) {
			continue
		}
		if to, ok := changed[d.Digest]; ok {
			if item, err = redirect(item, to); err != nil {
				return nil, err
			}
		}
		kept = append(kept, item)
	}
	edits := []edit{{list, slices.Concat([]byte("["), bytes.Join(kept, []byte(",")), []byte("]"))}}
	note, err := annotate(raw, fields, key, value)
	if err != nil {
		return nil, err
	}
	raw = apply(raw, append(edits, note...))
	return raw, checkJSON(raw) // a key may be written in another case
}

// span is a part of a document: from its first byte to the one after its last.
type span struct{ from, to int }

func (s span) of(raw []byte) []byte { return raw[s.from:s.to] }

// edit puts other text in place of a part.
type edit struct {
	span
	text []byte
}

// apply returns raw with edits of separate parts.
func apply(raw []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, raw[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, raw[at:]...)
}

// objectFields returns where the values of an object are.
func objectFields(raw []byte) (map[string]span, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: is no object", ErrMalformed)
	}
	fields := map[string]span{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		fields[key.(string)] = span{end - len(value), end}
	}
	return fields, nil
}

// listItems returns the items of a list.
func listItems(raw []byte) (items [][]byte, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	for _, item := range list {
		items = append(items, item)
	}
	return items, nil
}

// redirect makes a descriptor of an index describe another manifest.
func redirect(item []byte, to v1.Descriptor) ([]byte, error) {
	fields, err := objectFields(item)
	if err != nil {
		return nil, err
	}
	size, hasSize := fields["size"]
	digest, hasDigest := fields["digest"]
	if !hasSize || !hasDigest {
		return nil, fmt.Errorf("%w: has a descriptor without digest or size", ErrMalformed)
	}
	return apply(item, []edit{{size, fmt.Append(nil, to.Size)}, {digest, fmt.Appendf(nil, "%q", to.Digest)}}), nil
}

// annotate returns the edit that adds an annotation to a document.
func annotate(raw []byte, fields map[string]span, key, value string) ([]edit, error) {
	entry := fmt.Appendf(nil, "%q:%q", key, value)
	all, ok := fields["annotations"]
	if !ok {
		end := bytes.LastIndexByte(raw, '}')
		return []edit{{span{end, end}, slices.Concat([]byte(`,"annotations":{`), entry, []byte("}"))}}, nil
	}
	if string(all.of(raw)) == "null" {
		return []edit{{all, slices.Concat([]byte("{"), entry, []byte("}"))}}, nil
	}
	has, err := objectFields(all.of(raw))
	if err != nil {
		return nil, err
	}
	if at, ok := has[key]; ok {
		return []edit{{span{all.from + at.from, all.from + at.to}, fmt.Appendf(nil, "%q", value)}}, nil
	}
	if len(has) > 0 {
		entry = append(entry, ',')
	}
	return []edit{{span{all.from + 1, all.from + 1}, entry}}, nil
}
