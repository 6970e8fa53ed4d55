package tarball

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// sealSize is the size of the seal's content: a digest and a line feed.
const sealSize = len("sha256:") + sha256.Size*2 + 1

// Limits of the format.
const (
	maxIndex     = 64 << 20 // bytes
	maxInventory = 64 << 20 // bytes
	maxElement   = 4 << 20  // bytes of a line of relocate.json
	maxRoots     = 1_000
	maxPins      = 50_000  // also of attachments, unseen, and lock entries
	maxManifests = 250_000 // with their references
	maxBlobs     = 250_000 // with those that are omitted or assumed
	maxSize      = 1 << 62 // bytes of a file: offsets below it cannot overflow
)

// omittedWeight is how many blobs a blob that is omitted counts as: its line in relocate.json, and in
// reports, is three times as long.
const omittedWeight = 3

// document is one of the members before the blobs.
type document struct {
	name   string
	limit  int64
	size   int64
	encode func(io.Writer) error
}

// layout says where everything in an archive is. It follows from the inventory; in imgpkg's format,
// which has neither inventory nor seal, from manifest.json.
type layout struct {
	inv     *inventory
	docs    []document
	blobs   []blobEntry          // in file order
	name    func(v1.Hash) string // of a blob's member
	within  map[v1.Hash]int64    // blobs that a document holds instead → their sizes in bytes
	offsets []int64              // of each blob's header
	sealed  bool
	seal    int64 // of the seal's header; without a seal, of the end
	size    int64 // of the file

	elsewhere map[string]string // digests of manifests → repositories in which they were found, for the journal
	unseen    []bundle.Unseen   // for the journal, where no document says it
}

// newLayout computes all offsets. An inventory that breaks a limit of the format is an error.
func newLayout(inv *inventory) (*layout, error) {
	l := &layout{inv: inv, blobs: inv.Blobs, name: blobName, sealed: true, docs: []document{
		{name: "oci-layout", limit: int64(len(layoutDoc)), encode: func(w io.Writer) error { _, err := io.WriteString(w, layoutDoc); return err }},
		{name: "index.json", limit: maxIndex, encode: inv.encodeIndex},
		{name: "relocate.json", limit: maxInventory, encode: inv.encode},
	}}
	if err := inv.checkLimits(); err != nil {
		return nil, err
	}
	return l, l.place()
}

// place computes all offsets.
func (l *layout) place() error {
	var at int64
	for i := range l.docs {
		var n counter
		if err := l.docs[i].encode(&n); err != nil {
			return fmt.Errorf("encode %s: %w", l.docs[i].name, err)
		}
		l.docs[i].size = int64(n)
		if l.docs[i].size > l.docs[i].limit {
			return fmt.Errorf("%s would have %d bytes, more than the limit of %d", l.docs[i].name, n, l.docs[i].limit)
		}
		at += member(int64(n))
	}
	l.offsets = make([]int64, len(l.blobs))
	for i, b := range l.blobs {
		l.offsets[i] = at
		if b.Digest.Algorithm != "sha256" {
			return fmt.Errorf("blob %s: only sha256 is supported", b.Digest)
		}
		if b.Size < 0 || b.Size > maxSize-at {
			return fmt.Errorf("blob %s: %d bytes are more than a file can have", b.Digest, b.Size)
		}
		at += member(b.Size)
	}
	l.seal = at
	if l.sealed {
		at += member(int64(sealSize))
	}
	l.size = at + 2*blockSize
	return nil
}

// checkLimits refuses an inventory that a reader would refuse.
func (inv *inventory) checkLimits() error {
	manifests := len(inv.Manifests)
	for _, m := range inv.Manifests {
		manifests += len(m.References)
	}
	bases := len(inv.Bases)
	for _, b := range inv.Bases {
		bases += len(b.Roots)
	}
	lock := len(inv.Lock)
	for _, e := range inv.Lock {
		lock += len(e.Annotations)
	}
	for _, list := range []struct {
		key        string
		has, limit int
	}{
		{"roots", len(inv.Roots), maxRoots}, {"pins", len(inv.Pins), maxPins}, {"bases", bases, maxRoots},
		{"attachments", len(inv.Attachments), maxPins}, {"unseen", len(inv.Unseen), maxPins}, {"lock", lock, maxPins},
		{"manifests", manifests, maxManifests}, {"blobs", len(inv.Blobs) + omittedWeight*len(inv.Omitted) + len(inv.Assumed), maxBlobs},
	} {
		if list.has > list.limit {
			return overLimit(list.key, list.limit)
		}
	}
	return nil
}

// has reports whether a document holds the blob d.
func (l *layout) has(d v1.Descriptor) bool {
	size, ok := l.within[d.Digest]
	return ok && size == d.Size
}

// format returns the format of the file.
func (l *layout) format() Format {
	if l.inv == nil {
		return Imgpkg
	}
	return ""
}

// shown returns the seal that a file has: none in imgpkg's format, where the seal only identifies
// the plan in the journal.
func (l *layout) shown(seal v1.Hash) v1.Hash {
	if !l.sealed {
		return v1.Hash{}
	}
	return seal
}

// frame returns the bytes before blob i that are not content: the padding of the blob before it,
// and its header. For i = len(blobs) it is the padding of the last one.
func (l *layout) frame(i int) (offset int64, b []byte) {
	offset = l.seal
	if i < len(l.offsets) {
		offset = l.offsets[i]
	}
	if i > 0 {
		b = make([]byte, padding(l.blobs[i-1].Size), padding(l.blobs[i-1].Size)+blockSize)
		offset -= int64(len(b))
	}
	if i < len(l.offsets) {
		h := header(l.name(l.blobs[i].Digest), l.blobs[i].Size)
		b = append(b, h[:]...)
	}
	return offset, b
}

// writeDocs writes the documents with headers and padding: the file up to the first blob.
func (l *layout) writeDocs(w io.Writer) error {
	for _, doc := range l.docs {
		if err := doc.write(w); err != nil {
			return err
		}
	}
	return nil
}

// write writes the document with header and padding.
func (d *document) write(w io.Writer) error {
	h := header(d.name, d.size)
	if _, err := w.Write(h[:]); err != nil {
		return err
	}
	if err := d.encode(w); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, padding(d.size)))
	return err
}

// sealDigest computes the seal of the archive that the layout describes.
func (l *layout) sealDigest() (v1.Hash, error) {
	h := sha256.New()
	if err := l.writeDocs(h); err != nil {
		return v1.Hash{}, err
	}
	for i := range len(l.offsets) + 1 {
		_, b := l.frame(i)
		h.Write(b)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// end returns the last bytes of the file: the seal's member, if it has one, and the two zero
// blocks.
func (l *layout) end(seal v1.Hash) []byte {
	var b []byte
	if l.sealed {
		h := header("seal", int64(sealSize))
		b = append(h[:], seal.String()+"\n"...)
	}
	return append(b, make([]byte, l.size-l.seal-int64(len(b)))...)
}

func blobName(d v1.Hash) string { return "blobs/" + d.Algorithm + "/" + d.Hex }

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
