package tarball

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/internal/digest"
)

// Damage is a place in the file that is not as it must be.
type Damage struct {
	Member string  `json:"member"`
	Offset int64   `json:"offset"` // of the first wrong byte, or of the content of a blob
	Digest v1.Hash `json:"digest"` // of the blob, when its content is wrong
	Reason string  `json:"reason"`
}

func (d Damage) String() string {
	return fmt.Sprintf("%s at byte %d: %s", d.Member, d.Offset, d.Reason)
}

// Check compares every byte of the file with what it must be, and returns all damage in file order. What
// is in missing volumes is not compared: see Complete.
// It hashes jobs blobs at once, at least 1. progress may be nil. It is called with the blobs and
// bytes that were hashed since the last call, and must be safe for concurrent use.
//
// Errors: ErrDamaged when the file was changed meanwhile; those of reading the file; that of ctx.
func (a *Archive) Check(ctx context.Context, jobs int, progress func(blobs int, bytes int64)) ([]Damage, error) {
	if progress == nil {
		progress = func(int, int64) {}
	}
	return a.check(ctx, func() ([]*Damage, error) { return a.checkBlobs(ctx, jobs, progress) })
}

// checkSealed checks what the seal covers: the documents, headers, padding and the end.
func (a *Archive) checkSealed(ctx context.Context) ([]Damage, error) {
	return a.check(ctx, func() ([]*Damage, error) { return make([]*Damage, len(a.l.offsets)), nil })
}

// check checks what the seal covers and, with checkBlobs, the blobs: an entry for each, nil where
// all is well.
func (a *Archive) check(ctx context.Context, checkBlobs func() ([]*Damage, error)) ([]Damage, error) {
	damage, err := a.checkDocs()
	if err != nil {
		return nil, err
	}
	frames, err := a.checkFrames(len(a.l.offsets) + 1)
	if err != nil {
		return nil, err
	}
	blobs, err := checkBlobs()
	if err != nil {
		return nil, err
	}
	for i, frame := range frames {
		if frame != nil {
			damage = append(damage, *frame)
		}
		if i < len(blobs) && blobs[i] != nil {
			damage = append(damage, *blobs[i])
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := a.unchanged(); err != nil {
		return nil, err
	}
	return damage, nil
}

// checkBlobs hashes all blobs. The result has an entry for each, nil where all is well.
func (a *Archive) checkBlobs(ctx context.Context, jobs int, progress func(int, int64)) ([]*Damage, error) {
	blobs := make([]*Damage, len(a.l.offsets))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for i := range blobs {
		if running.Err() != nil {
			break
		}
		g.Go(func() (err error) { blobs[i], err = a.checkBlob(running, i, progress); return err })
	}
	return blobs, g.Wait()
}

// checkDocs compares the documents with what the inventory implies. It reports the first wrong byte
// of each.
func (a *Archive) checkDocs() ([]Damage, error) {
	if a.imgpkg != nil { // Open has checked it
		return nil, nil
	}
	var damage []Damage
	at := int64(0)
	for _, doc := range a.l.docs {
		n := member(doc.size)
		c := &comparer{r: bufio.NewReaderSize(io.NewSectionReader(a.r, at, n), 1<<16)}
		if err := doc.write(c); errors.Is(err, ErrDamaged) {
			damage = append(damage, Damage{Member: doc.name, Offset: at + c.n, Reason: "is not what the inventory implies"})
		} else if err != nil {
			return nil, fmt.Errorf("read the documents: %w", err)
		}
		at += n
	}
	return damage, nil
}

// checkFrames compares the first frames of headers, padding, seal and end. The result has an entry for
// each blob's frame, and a last one for the seal's; nil where all is well.
func (a *Archive) checkFrames(first int) ([]*Damage, error) {
	if a.imgpkg != nil {
		return a.checkPadding()
	}
	frames := make([]*Damage, first)
	var g errgroup.Group
	var next atomic.Int64
	check := func() (err error) {
		for i := next.Add(1) - 1; i < int64(first) && err == nil; i = next.Add(1) - 1 {
			frames[i], err = a.checkFrame(int(i))
		}
		return err
	}
	readers := 1
	if a.ranged != nil {
		readers = framesAtOnce
	}
	for range readers {
		g.Go(check)
	}
	return frames, g.Wait()
}

// checkFrame compares the frame before blob i, or the last one with the seal and the end.
func (a *Archive) checkFrame(i int) (*Damage, error) {
	offset, want := a.l.frame(i)
	member := "seal"
	if i < len(a.l.offsets) {
		member = a.l.name(a.l.blobs[i].Digest)
	} else {
		want = append(want, a.l.end(a.seal)...)
	}
	if a.lacks(offset, int64(len(want))) {
		return nil, nil
	}
	got := make([]byte, len(want))
	if n, err := a.r.ReadAt(got, offset); n < len(got) {
		return nil, fmt.Errorf("read %s: %w", member, err)
	}
	at := firstDifference(got, want)
	if at < 0 {
		return nil, nil
	}
	return &Damage{Member: member, Offset: offset + int64(at), Reason: a.frameReason(i, offset+int64(at))}, nil
}

func (a *Archive) frameReason(i int, at int64) string {
	switch {
	case i < len(a.l.offsets) && at >= a.l.offsets[i]:
		return "the header is not what the inventory implies"
	case i == len(a.l.offsets) && at >= a.l.seal+blockSize && at < a.l.seal+blockSize+int64(sealSize):
		return "the seal is not that of this file"
	case i == len(a.l.offsets) && at >= a.l.seal:
		return "the end of the file is not as it must be"
	}
	return "the padding before it is not zero"
}

// checkBlob hashes blob i. It reads a wrong one again: a medium or memory that gives other bytes
// each time is another fault than a file that was changed.
func (a *Archive) checkBlob(ctx context.Context, i int, progress func(int, int64)) (*Damage, error) {
	if a.lacks(a.l.offsets[i]+blockSize, a.l.blobs[i].Size) {
		progress(1, a.l.blobs[i].Size)
		return nil, nil
	}
	err := a.hashBlob(ctx, i, progress)
	if !errors.Is(err, digest.ErrMismatch) {
		return nil, err
	}
	reason := mismatch(err)
	again := a.hashBlob(ctx, i, func(int, int64) {})
	switch {
	case again != nil && !errors.Is(again, digest.ErrMismatch):
		return nil, again
	case again == nil || again.Error() != err.Error():
		reason += "; the second read gave other bytes: the medium or this machine is unstable"
	}
	return a.damagedBlob(i, reason), nil
}

func (a *Archive) damagedBlob(i int, reason string) *Damage {
	b := a.l.blobs[i]
	return &Damage{Member: a.l.name(b.Digest), Offset: a.l.offsets[i] + blockSize, Digest: b.Digest, Reason: reason}
}

// mismatch says how content differs from its digest.
func mismatch(err error) string {
	return strings.TrimPrefix(err.Error(), digest.ErrMismatch.Error()+": ")
}

// hashBuffer is how many bytes are read and hashed at a time. It fits into a core's own cache; more
// was slower by a fifth.
const hashBuffer = 256 << 10

var hashBuffers = sync.Pool{New: func() any { return new([hashBuffer]byte) }}

// hashBlob opens blob i for hash.
func (a *Archive) hashBlob(ctx context.Context, i int, progress func(int, int64)) error {
	content, err := a.open(ctx, i)
	if err != nil {
		return fmt.Errorf("read %s: %w", a.l.name(a.l.blobs[i].Digest), err)
	}
	return errors.Join(a.hash(ctx, content, i, progress), content.Close())
}

// hash reads the content of blob i. The error wraps digest.ErrMismatch when it does not match.
func (a *Archive) hash(ctx context.Context, content io.Reader, i int, progress func(int, int64)) error {
	b := a.l.blobs[i]
	r := digest.Reader(content, b.Digest, b.Size)
	buffer := hashBuffers.Get().(*[hashBuffer]byte)
	defer hashBuffers.Put(buffer)
	buf := buffer[:]
	for left := b.Size; ; {
		n, err := r.Read(buf)
		left -= int64(n)
		progress(0, int64(n))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			continue
		case err == io.EOF:
			progress(1, left)
			return nil
		case errors.Is(err, digest.ErrMismatch):
			progress(1, left)
			return err
		}
		return fmt.Errorf("read %s: %w", a.l.name(b.Digest), err)
	}
}
