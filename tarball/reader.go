package tarball

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/volume"
)

// What is wrong with a file.
var (
	ErrNotArchive = errors.New("is not an archive of relocate")
	ErrTruncated  = errors.New("is cut off")
	ErrDamaged    = errors.New("is damaged")

	// ErrNoSeal says that a file has imgpkg's format.
	ErrNoSeal = errors.New("has imgpkg's format, which has no seal to name it by")
)

// maxManifest is the largest manifest that is read, in bytes.
const maxManifest = 4 << 20

// Archive is an open archive. It is a bundle.Source that answers by digest, whatever the repository
// in a reference; a tag is answered by its pin. Content that does not match its digest is an error
// that wraps digest.ErrMismatch. Its methods are safe for concurrent use.
type Archive struct {
	r         io.ReaderAt
	f         *os.File    // nil, as info, unless Open opened it
	info      os.FileInfo // when it was opened
	set       *volume.Set // nil unless Open opened one
	ranged    Ranged      // nil unless OpenRanged opened it
	ahead     *ahead      // of ranged
	l         *layout
	seal      v1.Hash
	index     map[v1.Hash]int
	mediaType map[v1.Hash]types.MediaType // of manifests
	pins      map[string]v1.Hash
	assumed   []int32        // indexes into the inventory's list, sorted by digest
	imgpkg    *imgpkgContent // nil when it is not in imgpkg's format
	members   *imgpkgMembers
	reading   chan struct{} // limits how many texts of imgpkg's format are in memory

	zeros  int64 // bytes after the end
	unread bool  // what follows the end was not read
}

var _ bundle.Source = (*Archive)(nil)

// Open opens the archive at path, in either format, and reads its inventory. It checks nothing
// else: see Check and CheckedPlan. The archive may be on a block device. The caller closes it. Where path
// is no file, it may be the name of an archive in volumes, which are in its folder or in others.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; ErrOnce; those of os.Open; those of volume.Open,
// ErrVolume and *volume.MissingError.
func Open(path string, folders ...string) (*Archive, error) {
	if a, err := openSet(path, folders); a != nil || err != nil {
		return a, err
	}
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	a, err := openMedium(f, info)
	switch {
	case errors.Is(err, ErrNotArchive) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrDamaged):
		return nil, errors.Join(fmt.Errorf("%s %w", path, err), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	a.f, a.info = f, info
	return a, nil
}

// NewArchive reads the inventory of the archive of size bytes in r, as Open does. Zero bytes may follow its
// end, at most 1 GiB.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; those of r.
func NewArchive(r io.ReaderAt, size int64) (*Archive, error) {
	a, err := readArchive(r, size)
	if err != nil {
		return nil, err
	}
	if size < a.l.size {
		return nil, fmt.Errorf("%w: it has %d bytes of %d", ErrTruncated, size, a.l.size)
	}
	if err := checkZeros(r, a.l.size, size); err != nil {
		return nil, err
	}
	a.zeros = size - a.l.size
	return a, nil
}

// readArchive reads the inventory of the archive at the beginning of r, which has size bytes.
func readArchive(r io.ReaderAt, size int64) (*Archive, error) {
	if mayBeImgpkg(r, size) {
		return newImgpkgArchive(r, size)
	}
	inv, err := readInventory(r, size)
	if err != nil {
		return nil, err
	}
	return newArchive(r, inv)
}

// newArchive returns the archive that inv implies. It reads nothing of r.
func newArchive(r io.ReaderAt, inv *inventory) (_ *Archive, err error) {
	a := &Archive{r: r, index: map[v1.Hash]int{}, mediaType: map[v1.Hash]types.MediaType{}, pins: map[string]v1.Hash{}}
	if a.l, err = newLayout(inv); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if a.seal, err = a.l.sealDigest(); err != nil {
		return nil, err
	}
	for i, b := range inv.Blobs {
		if _, twice := a.index[b.Digest]; twice {
			return nil, fmt.Errorf("%w: its inventory has blob %s twice", ErrDamaged, b.Digest)
		}
		a.index[b.Digest] = i
	}
	for _, m := range inv.Manifests {
		a.mediaType[m.Digest] = m.MediaType
	}
	a.indexAssumed()
	for i, pin := range inv.Pins {
		// A pin of a digest would put other content in its place.
		if tag, err := name.NewTag(pin.Reference); err != nil || tag.Name() != pin.Reference {
			return nil, fmt.Errorf("%w: its inventory's pins[%d], %q, is not a tag", ErrDamaged, i, pin.Reference)
		}
		a.pins[pin.Reference] = pin.Digest
	}
	return a, nil
}

// readInventory finds and reads relocate.json.
func readInventory(r io.ReaderAt, size int64) (*inventory, error) {
	first := make([]byte, member(int64(len(layoutDoc))))
	read, err := r.ReadAt(first, 0)
	if want := header("oci-layout", int64(len(layoutDoc))); [blockSize]byte(first) != want {
		if read >= blockSize && isDamaged([blockSize]byte(first), want) {
			return nil, fmt.Errorf("%w: the header of oci-layout is damaged at byte %d", ErrDamaged, firstDifference(first, want[:]))
		}
		return nil, notArchive(first[:read], err)
	}
	indexSize, err := documentSize(r, size, int64(len(first)), "index.json", maxIndex)
	if err != nil {
		return nil, err
	}
	at := int64(len(first)) + member(indexSize)
	n, err := documentSize(r, size, at, "relocate.json", maxInventory)
	if err != nil {
		return nil, err
	}
	inv, err := decodeInventory(io.NewSectionReader(r, at+blockSize, n))
	if errors.Is(err, errUnreadable) {
		return nil, fmt.Errorf("relocate.json: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: relocate.json: %w", ErrDamaged, err)
	}
	if err := inv.detectNames(indexSize); err != nil {
		return nil, fmt.Errorf("%w: index.json: %w", ErrDamaged, err)
	}
	return inv, nil
}

// documentSize reads the size of a document from its header at offset at.
func documentSize(r io.ReaderAt, size, at int64, name string, limit int64) (int64, error) {
	b := make([]byte, blockSize)
	if n, err := r.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = ErrTruncated
		}
		return 0, fmt.Errorf("%w before %s", err, name)
	}
	n, ok := sizeOf(b)
	if h := header(name, n); !ok || !bytes.Equal(b, h[:]) {
		return 0, fmt.Errorf("%w: at byte %d: no header of %s", ErrDamaged, at, name)
	}
	if n > limit {
		return 0, fmt.Errorf("%w: %s has %d bytes, more than the limit of %d", ErrDamaged, name, n, limit)
	}
	if at+member(n) > size {
		return 0, fmt.Errorf("%w in %s", ErrTruncated, name)
	}
	return n, nil
}

// isDamaged reports whether a header is a damaged copy of want. A header of another program has a
// valid checksum.
func isDamaged(got, want [blockSize]byte) bool {
	differ := 0
	for i := range got {
		if got[i] != want[i] {
			differ++
		}
	}
	return differ <= 8 && string(got[148:156]) != checksum(got)
}

// notArchive says what a file is that is not an archive. first are its first bytes, and err is why
// they are fewer than a header.
func notArchive(first []byte, err error) error {
	ends := errors.Is(err, io.EOF) || errors.Is(err, ErrTruncated)
	if err != nil && !ends {
		return err
	}
	is := kindOf(first)
	switch {
	case len(first) == 0:
		is = "it is empty"
	case is == "" && err != nil:
		is = fmt.Sprintf("it has only %d bytes", len(first))
	case is == "":
		is = "it does not begin as one"
	}
	return fmt.Errorf("%w: %s", ErrNotArchive, is)
}

// kindOf describes a file by its first bytes; "" when it is of no known kind.
func kindOf(first []byte) string {
	switch {
	case bytes.HasPrefix(first, []byte("\x1f\x8b")):
		return "it is compressed with gzip"
	case bytes.HasPrefix(first, []byte("\x28\xb5\x2f\xfd")):
		return "it is compressed with zstd"
	case bytes.HasPrefix(first, []byte("oci-layout\x00")):
		return "it is an OCI layout of another program, or damaged"
	case len(first) >= 262 && string(first[257:262]) == "ustar":
		return "it is a tar that begins with " + strconv.Quote(string(bytes.TrimRight(first[:100], "\x00")))
	case isText(first):
		return "it is text"
	}
	return ""
}

func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// Unchanged returns ErrDamaged when the file's size or modification time is not what it was when it
// was opened: what was read then may not belong to what was read since. Without Open it returns
// nil.
func (a *Archive) Unchanged() error {
	if a.set != nil {
		return a.volumesUnchanged()
	}
	if a.ranged != nil {
		return a.ranged.Unchanged()
	}
	if a.f == nil {
		return nil
	}
	info, err := a.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != a.info.Size() || !info.ModTime().Equal(a.info.ModTime()) {
		return fmt.Errorf("%s %w: it was changed while it was read", a.f.Name(), ErrDamaged)
	}
	return nil
}

// unchanged is Unchanged after reads, each of which has compared what is on a server.
func (a *Archive) unchanged() error {
	if a.ranged != nil {
		return nil
	}
	return a.Unchanged()
}

// Close closes what was opened: the file, the volumes, or what is read in ranges.
func (a *Archive) Close() error {
	if a.set != nil {
		return a.set.Close()
	}
	if a.ranged != nil {
		return a.ranged.Close()
	}
	if a.f == nil {
		return nil
	}
	return a.f.Close()
}

// Blobs returns how many blobs are members of the file, and how many bytes of content they have.
// Check reads that much.
func (a *Archive) Blobs() (n int, bytes int64) {
	for _, b := range a.l.blobs {
		bytes += b.Size
	}
	return len(a.l.blobs), bytes
}

// Format returns the format of the file.
func (a *Archive) Format() Format { return a.l.format() }

// Seal returns the seal that the file must have. Check compares it with the one that it has. In
// imgpkg's format it is the zero value.
func (a *Archive) Seal() v1.Hash { return a.l.shown(a.seal) }

// Size returns the size of the archive in bytes, without what follows its end.
func (a *Archive) Size() int64 { return a.l.size }

// Roots returns the references that were exported, in their order.
//
// Errors: ErrDamaged.
func (a *Archive) Roots() ([]name.Reference, error) {
	if a.imgpkg != nil {
		return a.imgpkgRoots(), nil
	}
	if len(a.l.inv.Roots) == 0 {
		return nil, fmt.Errorf("%w: it has no root", ErrDamaged)
	}
	var roots []name.Reference
	for _, pin := range a.l.inv.Roots {
		ref, err := name.ParseReference(pin.Reference)
		if err != nil || ref.Name() != pin.Reference {
			return nil, fmt.Errorf("%w: root %q is not a reference", ErrDamaged, pin.Reference)
		}
		roots = append(roots, ref)
	}
	return roots, nil
}

// Manifest implements bundle.Source.
func (a *Archive) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	d, ok := a.pins[ref.Name()]
	if !ok {
		var err error
		if d, err = v1.NewHash(ref.Identifier()); err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("%s is not in the archive: %w", ref, fs.ErrNotExist)
		}
	}
	mediaType := a.mediaType[d]
	if a.imgpkg != nil && mediaType != "" {
		raw, err := a.imgpkgText(d)
		return v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: d}, raw, errors.Join(err, ctx.Err())
	}
	i, ok := a.index[d]
	if !ok || mediaType == "" {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s is not in the archive: %w", d, fs.ErrNotExist)
	}
	desc := v1.Descriptor{MediaType: mediaType, Size: a.l.blobs[i].Size, Digest: d}
	if desc.Size > maxManifest {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s has %d bytes, more than the limit of %d", d, desc.Size, maxManifest)
	}
	content, err := a.open(ctx, i)
	if err != nil {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", d, err)
	}
	raw, err := io.ReadAll(digest.Reader(content, d, desc.Size)) // at most maxManifest
	if err = errors.Join(err, content.Close()); err != nil {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", d, err)
	}
	return desc, raw, ctx.Err()
}

// Blob implements bundle.Source.
func (a *Archive) Blob(ctx context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	i, ok := a.index[d.Digest]
	if !ok && a.imgpkg != nil && a.imgpkg.texts[d.Digest].at > 0 {
		text, err := a.imgpkgText(d.Digest)
		return io.NopCloser(digest.Reader(bytes.NewReader(text), d.Digest, d.Size)), errors.Join(err, ctx.Err())
	}
	if !ok {
		return nil, fmt.Errorf("blob %s is not in the archive: %w", d.Digest, fs.ErrNotExist)
	}
	if size := a.l.blobs[i].Size; size != d.Size {
		return nil, fmt.Errorf("blob %s has %d bytes in the archive, its manifest says %d: %w", d.Digest, size, d.Size, digest.ErrMismatch)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	content, err := a.open(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.Reader(content, d.Digest, d.Size), content}, nil
}

// Content opens a manifest or a blob to read parts of it. A read returns ErrDamaged when the file was
// changed, as Unchanged does. What is on a server is read from front to back with one request.
//
// Errors: fs.ErrNotExist.
func (a *Archive) Content(d v1.Hash) (bundle.Content, error) {
	i, ok := a.index[d]
	switch {
	case ok && a.ranged != nil:
		at, size := a.l.offsets[i]+blockSize, a.l.blobs[i].Size
		f := &forward{r: a.ranged, at: at, end: at + size}
		return bundle.Content{SectionReader: io.NewSectionReader(f, 0, size), Closer: f}, nil
	case ok:
		return bundle.ContentOf(watched{a}, a.l.offsets[i]+blockSize, a.l.blobs[i].Size), nil
	case a.imgpkg != nil && a.imgpkg.texts[d].at > 0:
		return bundle.ContentOf(spelled{a, d}, 0, a.imgpkg.texts[d].size), nil
	}
	return bundle.Content{}, fmt.Errorf("blob %s is not in the archive: %w", d, fs.ErrNotExist)
}

// watched reads an archive's file, and checks after each read that it is unchanged.
type watched struct{ a *Archive }

func (w watched) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.a.r.ReadAt(p, at)
	if changed := w.a.Unchanged(); changed != nil {
		return 0, changed
	}
	return n, err
}

// comparer is a writer that fails where what is written differs from the content of r.
type comparer struct {
	r   io.Reader
	n   int64 // bytes found equal
	buf []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	got := c.buf[:len(p)]
	if _, err := io.ReadFull(c.r, got); err != nil {
		return 0, err
	}
	if i := firstDifference(got, p); i >= 0 {
		c.n += int64(i)
		return i, ErrDamaged
	}
	c.n += int64(len(p))
	return len(p), nil
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
