package tarball

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/report"
)

// formatVersion is the version of the format that this package writes and reads.
const formatVersion = 1

// inventory is the content of relocate.json. See the package comment.
type inventory struct {
	Roots       []bundle.Pin
	Pins        []bundle.Pin
	Manifests   []manifestEntry
	Attachments []bundle.Attachment
	Unseen      []bundle.Unseen
	Omitted     []report.Omitted
	Bases       []bundle.Base
	Assumed     []bundle.Assumed
	Lock        []lockEntry
	Blobs       []blobEntry

	oneName bool // index.json has one entry for each digest, as in early archives
}

// lockEntry is an entry of the ImagesLock whose images the roots are.
type lockEntry struct {
	Image       string            `json:"image"` // reference with a digest
	Annotations map[string]string `json:"annotations,omitempty"`
}

// manifestEntry is a manifest of the graph.
type manifestEntry struct {
	Digest     v1.Hash         `json:"digest"`
	MediaType  types.MediaType `json:"mediaType"`
	Size       int64           `json:"size"` // bytes
	Kind       bundle.Kind     `json:"kind"`
	From       string          `json:"from"`                 // repository in which it was found
	References []string        `json:"references,omitempty"` // sorted; empty for a child of an index, and for an attachment
}

// blobEntry is a member below blobs/.
type blobEntry struct {
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"` // bytes
}

// newInventory returns the inventory of a plan.
func newInventory(plan *bundle.Plan) *inventory {
	inv := &inventory{
		Pins: plan.Graph.Pins, Omitted: plan.Omitted, Bases: plan.Bases, Assumed: plan.Assumed, Attachments: plan.Graph.Attachments, Unseen: plan.Graph.Unseen,
		Manifests: make([]manifestEntry, 0, len(plan.Graph.Nodes)), Blobs: make([]blobEntry, 0, len(plan.Blobs)),
	}
	for _, root := range plan.Graph.Roots {
		inv.Roots = append(inv.Roots, bundle.Pin{Reference: root.Reference.Name(), Digest: root.Digest})
	}
	for _, n := range plan.Graph.Nodes {
		inv.Manifests = append(inv.Manifests, manifestEntry{
			Digest: n.Descriptor.Digest, MediaType: n.Descriptor.MediaType, Size: n.Descriptor.Size,
			Kind: n.Kind, From: n.From.Name(), References: n.References,
		})
	}
	if lock := plan.Graph.Listed; lock != nil {
		for _, e := range lock.Images {
			inv.Lock = append(inv.Lock, lockEntry{e.Image.Name(), e.Annotations})
		}
	}
	for _, b := range plan.Blobs {
		inv.Blobs = append(inv.Blobs, blobEntry{b.Descriptor.Digest, b.Descriptor.Size})
	}
	return inv
}

// encode writes the one legal spelling of the inventory.
func (inv *inventory) encode(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "{\"format\":%d", formatVersion)
	err := errors.Join(
		encodeList(bw, "roots", inv.Roots),
		encodeList(bw, "pins", inv.Pins),
		encodeList(bw, "manifests", inv.Manifests),
		encodeList(bw, "attachments", inv.Attachments),
		encodeList(bw, "unseen", inv.Unseen),
		encodeList(bw, "omitted", inv.Omitted))
	err = errors.Join(err,
		encodeOptional(bw, "bases", inv.Bases),
		encodeOptional(bw, "assumed", inv.Assumed),
		encodeOptional(bw, "lock", inv.Lock))
	err = errors.Join(err, encodeList(bw, "blobs", inv.Blobs))
	bw.WriteString("}\n")
	return cmp.Or(bw.Flush(), err) // Flush returns the first error of all writes
}

// encodeOptional writes a list that an archive has only when it is not empty.
func encodeOptional[T any](w *bufio.Writer, key string, list []T) error {
	if len(list) == 0 {
		return nil
	}
	return encodeList(w, key, list)
}

func encodeList[T any](w *bufio.Writer, key string, list []T) error {
	fmt.Fprintf(w, ",\n%q:[", key)
	for i, e := range list {
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", key, i, err)
		}
		if len(b) > maxElement {
			return fmt.Errorf("%s[%d] has %d bytes, more than the limit of %d", key, i, len(b), maxElement)
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('\n')
		w.Write(b)
	}
	w.WriteByte(']')
	return nil
}

// encodeIndex writes the index.json that the inventory implies.
func (inv *inventory) encodeIndex(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "{\"schemaVersion\":2,\"mediaType\":%q", types.OCIImageIndex)
	err := encodeList(bw, "manifests", inv.indexEntries())
	bw.WriteString("}\n")
	return cmp.Or(bw.Flush(), err)
}

// indexEntry is a descriptor of index.json.
type indexEntry struct {
	MediaType   types.MediaType   `json:"mediaType"`
	Digest      v1.Hash           `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// indexEntries returns an entry for each name that a digest has: the roots as they were named, then
// others.
func (inv *inventory) indexEntries() []indexEntry {
	rootNames := map[v1.Hash][]string{}
	for _, root := range inv.Roots {
		rootNames[root.Digest] = append(rootNames[root.Digest], root.Reference)
	}
	attached := map[v1.Hash]bundle.Attachment{} // the first of each
	for _, a := range inv.Attachments {
		if _, ok := attached[a.Digest]; !ok {
			attached[a.Digest] = a
		}
	}
	var roots, others []indexEntry
	for _, m := range inv.Manifests {
		named := rootNames[m.Digest]
		slices.Sort(named)
		roots = inv.addEntries(roots, m, named)
		switch a, isAttached := attached[m.Digest]; {
		case len(named) > 0 && inv.oneName:
		case len(named) > 0:
			others = inv.addEntries(others, m, slices.DeleteFunc(slices.Clone(m.References), func(s string) bool { return slices.Contains(named, s) }))
		case len(m.References) > 0:
			others = inv.addEntries(others, m, m.References)
		case isAttached && a.Tag != "":
			others = inv.addEntries(others, m, []string{m.From + ":" + a.Tag})
		case isAttached:
			others = inv.addEntries(others, m, []string{m.From + "@" + m.Digest.String()})
		}
	}
	return slices.Concat(roots, others)
}

// addEntries adds the entries of m with these names: in an index with one entry for each digest,
// the first.
func (inv *inventory) addEntries(list []indexEntry, m manifestEntry, names []string) []indexEntry {
	if inv.oneName {
		names = names[:min(1, len(names))]
	}
	for _, name := range names {
		list = append(list, indexEntry{m.MediaType, m.Digest, m.Size, map[string]string{refName: name}})
	}
	return list
}

// detectNames sets oneName as an index.json of that size, in bytes, was written.
func (inv *inventory) detectNames(size int64) error {
	for _, oneName := range []bool{true, false} {
		inv.oneName = oneName
		var n counter
		if err := inv.encodeIndex(&n); err != nil || int64(n) == size {
			return err
		}
	}
	return nil
}
