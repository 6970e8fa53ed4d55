package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const maxImgpkgMembers = 1_000_000

// IsImgpkg reports whether a file that begins with first, at least 14 bytes, is a tar as imgpkg
// writes it. It does not recognise one that was packed again in another order; Open does.
func IsImgpkg(first []byte) bool { return bytes.HasPrefix(first, []byte(imgpkgDocument+"\x00")) }

// mayBeImgpkg reports whether a file is a tar, but not an OCI layout.
func mayBeImgpkg(r io.ReaderAt, size int64) bool {
	first := make([]byte, blockSize)
	if n, _ := r.ReadAt(first, 0); n < blockSize || bytes.HasPrefix(first, []byte("oci-layout\x00")) {
		return false
	}
	_, err := tar.NewReader(io.NewSectionReader(r, 0, size)).Next()
	return err == nil || IsImgpkg(first)
}

// imgpkgMembers is the result of a scan of a tar's headers.
type imgpkgMembers struct {
	document imgpkgMember
	layers   []imgpkgMember // by digest
	others   int            // members that are neither, which are ignored
	end      int64          // of the tar
}

type imgpkgMember struct {
	digest   v1.Hash // of a layer
	at, size int64   // of its content, in bytes
}

// newImgpkgArchive reads a tar in imgpkg's format, with its members in any order. It checks each
// text in manifest.json against its digest; layers are checked when they are read.
//
// Errors: ErrNotArchive when manifest.json is missing, or another program's.
func newImgpkgArchive(r io.ReaderAt, size int64) (*Archive, error) {
	members, err := scanImgpkg(r, size)
	if err != nil {
		return nil, err
	}
	if members.document.at == 0 {
		first := make([]byte, blockSize)
		n, err := r.ReadAt(first, 0)
		return nil, notArchive(first[:n], err)
	}
	c, err := decodeImgpkg(r, members.document.at, members.document.size)
	if err != nil {
		return nil, err
	}
	l := &layout{name: imgpkgName, size: members.end}
	for _, m := range members.layers {
		l.blobs = append(l.blobs, blobEntry{m.digest, m.size})
		l.offsets = append(l.offsets, m.at-blockSize)
	}
	return c.archive(r, l, members)
}

// openImgpkgPart reads the plan in an unfinished tar of this package, whose layers may be missing.
// Their places follow from manifest.json.
func openImgpkgPart(f part, size int64, header journalHeader) (*Archive, error) {
	n, err := documentSize(f, size, 0, imgpkgDocument, maxImgpkgDocument)
	if err != nil {
		return nil, err
	}
	c, err := decodeImgpkg(f, blockSize, n)
	if err != nil {
		return nil, err
	}
	l := &layout{name: imgpkgName, within: map[v1.Hash]int64{}, docs: []document{{
		name: imgpkgDocument, limit: maxImgpkgDocument,
		encode: func(w io.Writer) error { _, err := io.Copy(w, io.NewSectionReader(f, blockSize, n)); return err },
	}}}
	for d, named := range c.layers {
		if header.Request.NonDistributable || !named.foreign {
			l.blobs = append(l.blobs, blobEntry{d, named.size})
		}
	}
	slices.SortFunc(l.blobs, func(a, b blobEntry) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	for d, text := range c.texts {
		l.within[d] = text.size
	}
	for d := range c.from {
		if repo, ok := header.Elsewhere[d.String()]; ok {
			c.from[d] = repo
		}
	}
	if err := l.place(); err != nil {
		return nil, err
	}
	a, err := c.archive(f, l, nil)
	if err == nil {
		a.seal, err = l.sealDigest()
	}
	return a, err
}

// archive returns the archive of the content, whose layers are where l says.
func (c *imgpkgContent) archive(r io.ReaderAt, l *layout, members *imgpkgMembers) (*Archive, error) {
	a := &Archive{r: r, l: l, index: make(map[v1.Hash]int, len(l.blobs)), mediaType: c.mediaType, pins: map[string]v1.Hash{}, imgpkg: c, members: members, reading: make(chan struct{}, maxReading)}
	for i, b := range l.blobs {
		a.index[b.Digest] = i
	}
	pin := func(ref name.Tag, d v1.Hash) error {
		if other, known := a.pins[ref.Name()]; known && other != d {
			return fmt.Errorf("%w: %s: %s stands for both %s and %s", ErrDamaged, imgpkgDocument, ref, other, d)
		}
		a.pins[ref.Name()] = d
		return nil
	}
	for _, top := range c.top {
		tags := top.pins
		if top.tag != "" && !attachedTag.MatchString(top.tag) {
			tags = append(slices.Clone(tags), top.reference().Name())
		}
		for _, tag := range tags {
			ref, err := name.NewTag(tag)
			if err == nil {
				err = pin(ref, top.digest)
			}
			if err != nil {
				return nil, err
			}
		}
		if len(a.pins) > maxPins {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, imgpkgDocument, overLimit("pins", maxPins))
		}
	}
	return a, nil
}

// reference returns the reference of the entry as a root.
func (t imgpkgTop) reference() name.Reference {
	if t.tag != "" {
		return t.ref.Context().Tag(t.tag)
	}
	return t.ref.Context().Digest(t.digest.String())
}

// scanImgpkg reads the headers of a tar. It ignores members that imgpkg ignores. Each of the others
// must occur once, as a regular file, and be the same file to every reader.
func scanImgpkg(r io.ReaderAt, size int64) (*imgpkgMembers, error) {
	s := &imgpkgScan{r: io.NewSectionReader(r, 0, size), all: r, size: size, layers: map[v1.Hash]imgpkgMember{}}
	tr := tar.NewReader(s.r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, s.explain(err)
		}
		if n == maxImgpkgMembers {
			return nil, fmt.Errorf("%w: it has more than %d members", ErrDamaged, maxImgpkgMembers)
		}
		if err := s.member(h); err != nil {
			return nil, err
		}
	}
	if err := s.checkEnd(); err != nil {
		return nil, err
	}
	s.found.layers = slices.SortedFunc(maps.Values(s.layers), func(a, b imgpkgMember) int { return strings.Compare(a.digest.Hex, b.digest.Hex) })
	return &s.found, nil
}

// imgpkgScan is the state of one scanImgpkg.
type imgpkgScan struct {
	r      *io.SectionReader // what archive/tar reads: after Next it is at the content
	all    io.ReaderAt
	size   int64
	end    int64 // of the last member's content and padding
	found  imgpkgMembers
	layers map[v1.Hash]imgpkgMember
}

// member adds a member whose header was read.
func (s *imgpkgScan) member(h *tar.Header) error {
	at, err := s.r.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	var raw [blockSize]byte
	if _, err := s.all.ReadAt(raw[:], at-blockSize); err != nil {
		return err
	}
	rawName, _, _ := bytes.Cut(raw[:100], []byte{0})
	isOurs := isImgpkgName(h.Name) || isImgpkgName(string(rawName))
	err = checkMember(h, raw[:])
	switch {
	case err != nil:
	case isOurs && h.Typeflag != tar.TypeReg:
		err = fmt.Errorf("is not a regular file (type %q)", h.Typeflag)
	case isOurs && h.Name != string(rawName):
		err = fmt.Errorf("has another name in its header, %.100q", rawName)
	}
	if err != nil {
		return fmt.Errorf("%w: member %.100q at byte %d %w", ErrDamaged, h.Name, at-blockSize, err)
	}
	if h.Size > s.size-at {
		return fmt.Errorf("%w in %.100q", ErrTruncated, h.Name)
	}
	if s.end = at + h.Size + padding(h.Size); isOurs {
		return s.add(h.Name, imgpkgMember{at: at, size: h.Size})
	}
	s.found.others++
	return nil
}

// checkMember refuses a member that two readers could read differently. raw is its header.
func checkMember(h *tar.Header, raw []byte) error {
	size, ok := sizeOf(raw)
	isSparse := h.Typeflag == tar.TypeGNUSparse
	for key := range h.PAXRecords {
		isSparse = isSparse || strings.HasPrefix(key, "GNU.sparse.")
	}
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return errors.New("has PAX records for all other members, which some readers obey")
	case isSparse:
		return errors.New("is sparse")
	case h.Typeflag != tar.TypeReg && h.Size != 0:
		return fmt.Errorf("is not a regular file (type %q) and has %d bytes", h.Typeflag, h.Size)
	case !ok || (size != h.Size && (size != 0 || h.Size < maxOctal)): // archive/tar writes 0 where PAX has what is too large
		return fmt.Errorf("has another size in its header than in PAX records, %d", h.Size)
	}
	return nil
}

func isImgpkgName(s string) bool { return s == imgpkgDocument || imgpkgNamePattern.MatchString(s) }

// add adds a member that imgpkg reads.
func (s *imgpkgScan) add(memberName string, m imgpkgMember) error {
	if memberName == imgpkgDocument {
		if s.found.document.at != 0 {
			return fmt.Errorf("%w: it has two members %s", ErrDamaged, memberName)
		}
		s.found.document = m
		return nil
	}
	m.digest = v1.Hash{Algorithm: "sha256", Hex: imgpkgNamePattern.FindStringSubmatch(memberName)[1]}
	if _, twice := s.layers[m.digest]; twice {
		return fmt.Errorf("%w: it has two members %s", ErrDamaged, memberName)
	}
	if s.layers[m.digest] = m; len(s.layers) > maxBlobs {
		return fmt.Errorf("%w: %w", ErrDamaged, overLimit("layers", maxBlobs))
	}
	return nil
}

// explain says where and why the tar cannot be read further.
func (s *imgpkgScan) explain(err error) error {
	at, _ := s.r.Seek(0, io.SeekCurrent)
	switch {
	case s.end > s.size || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it has %d bytes, and its members need more", ErrTruncated, s.size)
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("%w: at byte %d: no header of a member", ErrDamaged, max(at-blockSize, s.end))
	}
	return fmt.Errorf("read the headers: %w", err)
}

// checkEnd checks the end of the tar: two zero blocks.
func (s *imgpkgScan) checkEnd() error {
	s.found.end = s.end + 2*blockSize
	var end [2 * blockSize]byte
	if n, err := s.all.ReadAt(end[:], s.end); n < len(end) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the end: %w", err)
	} else if n < len(end) || s.size < s.found.end {
		return fmt.Errorf("%w: it has no end", ErrTruncated)
	}
	return onlyZeros(end[:], s.end, s.end)
}

// checkPadding checks the padding after each content, which archive/tar ignores. The result has an
// entry for each layer, and a last one for manifest.json; nil where all is well.
func (a *Archive) checkPadding() ([]*Damage, error) {
	frames := make([]*Damage, len(a.l.blobs)+1)
	check := func(i int, member string, at, n int64) error {
		buf := make([]byte, padding(n))
		if _, err := a.r.ReadAt(buf, at+n); err != nil {
			return fmt.Errorf("read what follows %s: %w", member, err)
		}
		for j, b := range buf {
			if b != 0 {
				frames[i] = &Damage{Member: member, Offset: at + n + int64(j), Reason: "the padding after it is not zero"}
				return nil
			}
		}
		return nil
	}
	for i, b := range a.l.blobs {
		if err := check(i, imgpkgName(b.Digest), a.l.offsets[i]+blockSize, b.Size); err != nil {
			return nil, err
		}
	}
	return frames, check(len(a.l.blobs), imgpkgDocument, a.members.document.at, a.members.document.size)
}
