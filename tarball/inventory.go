package tarball

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
)

// formatVersion is the version of the format that this package writes and reads.
const formatVersion = 1

// Inventory is what relocate.json says. See the package comment.
type Inventory struct {
	Roots     []bundle.Pin
	Pins      []bundle.Pin
	Manifests []Manifest
	Omitted   []bundle.Omitted
	Blobs     []Blob
}

// Manifest is a manifest of the graph.
type Manifest struct {
	Digest     v1.Hash         `json:"digest"`
	MediaType  types.MediaType `json:"mediaType"`
	Size       int64           `json:"size"` // bytes
	Kind       bundle.Kind     `json:"kind"`
	From       string          `json:"from"`                 // repository in which it was found
	References []string        `json:"references,omitempty"` // sorted; empty for a child of an index
}

// Blob is a member below blobs/.
type Blob struct {
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"` // bytes
}

// newInventory returns the inventory of a plan.
func newInventory(plan *bundle.Plan) *Inventory {
	inv := &Inventory{Pins: plan.Graph.Pins, Omitted: plan.Omitted}
	for _, root := range plan.Graph.Roots {
		inv.Roots = append(inv.Roots, bundle.Pin{Reference: root.Reference.Name(), Digest: root.Digest})
	}
	for _, n := range plan.Graph.Nodes {
		inv.Manifests = append(inv.Manifests, Manifest{
			Digest: n.Descriptor.Digest, MediaType: n.Descriptor.MediaType, Size: n.Descriptor.Size,
			Kind: n.Kind, From: n.From.Name(), References: n.References,
		})
	}
	for _, b := range plan.Blobs {
		inv.Blobs = append(inv.Blobs, Blob{b.Descriptor.Digest, b.Descriptor.Size})
	}
	return inv
}

// encode writes the one legal spelling of the inventory.
func (inv *Inventory) encode(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "{\"format\":%d", formatVersion)
	encodeList(bw, "roots", inv.Roots)
	encodeList(bw, "pins", inv.Pins)
	encodeList(bw, "manifests", inv.Manifests)
	encodeList(bw, "omitted", inv.Omitted)
	encodeList(bw, "blobs", inv.Blobs)
	bw.WriteString("}\n")
	return bw.Flush() // has the first error of all that was written
}

func encodeList[T any](w *bufio.Writer, key string, list []T) {
	fmt.Fprintf(w, ",\n%q:[", key)
	for i, e := range list {
		if i > 0 {
			w.WriteByte(',')
		}
		b, err := json.Marshal(e)
		if err != nil {
			b = nil // strings and integers: no such error exists
		}
		w.WriteByte('\n')
		w.Write(b)
	}
	w.WriteByte(']')
}

// decodeInventory reads an inventory element by element. That the spelling was the legal one is for
// the caller to check.
func decodeInventory(r io.Reader) (*Inventory, error) {
	inv := &Inventory{}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := expect(d, json.Delim('{'), "format"); err != nil {
		return nil, err
	}
	var format int
	if err := d.Decode(&format); err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	if format != formatVersion {
		return nil, fmt.Errorf("has format %d; this program reads format %d", format, formatVersion)
	}
	for _, decode := range []func() error{
		func() error { return decodeList(d, "roots", &inv.Roots) },
		func() error { return decodeList(d, "pins", &inv.Pins) },
		func() error { return decodeList(d, "manifests", &inv.Manifests) },
		func() error { return decodeList(d, "omitted", &inv.Omitted) },
		func() error { return decodeList(d, "blobs", &inv.Blobs) },
		func() error { return expect(d, json.Delim('}')) },
	} {
		if err := decode(); err != nil {
			return nil, err
		}
	}
	return inv, nil
}

func decodeList[T any](d *json.Decoder, key string, list *[]T) error {
	if err := expect(d, key, json.Delim('[')); err != nil {
		return err
	}
	for d.More() {
		if len(*list) == maxBlobs {
			return fmt.Errorf("%s: more than %d elements", key, maxBlobs)
		}
		var e T
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, len(*list), err)
		}
		*list = append(*list, e)
	}
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, tokens ...json.Token) error {
	for _, want := range tokens {
		got, err := d.Token()
		if err != nil {
			return fmt.Errorf("want %v: %w", want, err)
		}
		if got != want {
			return fmt.Errorf("has %.80q where %v belongs", fmt.Sprint(got), want)
		}
	}
	return nil
}

// encodeIndex writes the index.json that the inventory implies.
func (inv *Inventory) encodeIndex(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "{\"schemaVersion\":2,\"mediaType\":%q", types.OCIImageIndex)
	encodeList(bw, "manifests", inv.indexEntries())
	bw.WriteString("}\n")
	return bw.Flush()
}

// indexEntry is a descriptor of index.json.
type indexEntry struct {
	MediaType   types.MediaType   `json:"mediaType"`
	Digest      v1.Hash           `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

func (inv *Inventory) indexEntries() []indexEntry {
	rootName := map[v1.Hash]string{}
	for _, root := range inv.Roots {
		if name, ok := rootName[root.Digest]; !ok || root.Reference < name {
			rootName[root.Digest] = root.Reference
		}
	}
	var roots, others []indexEntry
	for _, m := range inv.Manifests {
		name, isRoot := rootName[m.Digest]
		if !isRoot && len(m.References) > 0 {
			name = m.References[0]
		}
		if name == "" {
			continue
		}
		e := indexEntry{m.MediaType, m.Digest, m.Size, map[string]string{refName: name}}
		if isRoot {
			roots = append(roots, e)
		} else {
			others = append(others, e)
		}
	}
	return slices.Concat(roots, others)
}
