package tarball

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/render"
)

// Stream is an archive that is read once, from front to back, as from a pipe. It keeps what comes
// before the layers in a file, the documents and the small section, and is a bundle.Source of that.
// Next returns the layers. Call Plan first.
type Stream struct {
	*Archive

	// Device says that the end of the stream is not that of the archive, as on a tape: what follows the
	// archive is not read.
	Device bool

	in   *incoming
	next int   // index of the blob that Next returns
	left int64 // unread bytes of the blob before it

	planned bool  // the small section is kept
	failed  error // of Plan
}

// scratch is a file for what must be read again.
type scratch interface {
	io.ReaderAt
	io.WriterAt
}

// maxFront is the size in bytes of the largest blob before the last manifest, which is a bundle's
// layer.
const maxFront = 256 << 20

// OpenStream reads the documents of an archive from r. It keeps what comes before the layers in
// file, from byte 0 on. A stream in imgpkg's format is ErrNotArchive.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; those of r and file.
func OpenStream(r io.Reader, file interface {
	io.ReaderAt
	io.WriterAt
}) (*Stream, error) {
	in := &incoming{r: bufio.NewReaderSize(r, bufferSize), file: file}
	inv, err := readInventory(in, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	a, err := newArchive(in, inv)
	if err != nil {
		return nil, err
	}
	last := 0
	for i, b := range inv.Blobs {
		if a.mediaType[b.Digest] != "" {
			last = i
		}
	}
	for _, b := range inv.Blobs[:last] {
		if b.Size > maxFront {
			return nil, fmt.Errorf("%w: blob %s of %d bytes comes before a manifest", ErrDamaged, b.Digest, b.Size)
		}
	}
	damage, err := a.checkDocs()
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, damage[0])
	}
	return &Stream{Archive: a, in: in}, err
}

// Plan reads the small section, and returns the plan that the roots imply, as Archive.Plan does.
// Call it once, before Next. Something that is missing in the archive is damage.
//
// Errors: ErrDamaged, ErrTruncated, ErrNoSpace.
func (s *Stream) Plan(ctx context.Context, jobs int, r *render.Renderer) (plan *bundle.Plan, err error) {
	defer func() { s.planned, s.failed = err == nil, err }()
	if plan, err = s.Archive.Plan(ctx, jobs, r); err != nil {
		return nil, asDamage(err)
	}
	for i := range plan.Small {
		if err := s.checkFrame(s.r, i); err != nil {
			return nil, err
		}
	}
	if err := s.in.keep(s.l.offsets[plan.Small-1] + blockSize + s.l.blobs[plan.Small-1].Size); err != nil {
		return nil, err
	}
	s.next = plan.Small
	return plan, nil
}

// checkFrame checks the bytes between blob i, or the seal, and the blob before it.
func (s *Stream) checkFrame(r io.ReaderAt, i int) error {
	offset, want := s.l.frame(i)
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, offset); err != nil {
		return err
	}
	if at := firstDifference(got, want); at >= 0 {
		return fmt.Errorf("%w at byte %d: %s", ErrDamaged, offset+int64(at), s.frameReason(i, offset+int64(at)))
	}
	return nil
}

// Next returns the next blob after the small section, and its unchecked content, of which the
// caller reads every byte. After the last one it checks the seal and the end, and returns io.EOF.
//
// Errors: ErrTruncated, ErrDamaged.
func (s *Stream) Next() (v1.Hash, io.Reader, error) {
	if s.left > 0 {
		return v1.Hash{}, nil, fmt.Errorf("%d bytes of the previous blob were not read", s.left)
	}
	if err := s.checkFrame(s.in.following(), s.next); err != nil {
		return v1.Hash{}, nil, err
	}
	if s.next == len(s.l.blobs) {
		return v1.Hash{}, nil, s.finish()
	}
	b := s.l.blobs[s.next]
	s.next++
	s.left = b.Size
	return b.Digest, &content{s}, nil
}

// content reads the blob that Next returned.
type content struct{ s *Stream }

func (c *content) Read(p []byte) (int, error) {
	if c.s.left == 0 {
		return 0, io.EOF
	}
	n, err := c.s.in.read(p[:min(int64(len(p)), c.s.left)])
	c.s.left -= int64(n)
	return n, err
}

// finish checks the seal and the end, and returns io.EOF.
func (s *Stream) finish() error {
	want := s.l.end(s.seal)
	got := make([]byte, len(want))
	if _, err := s.in.following().ReadAt(got, s.l.seal); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		at := s.l.seal + int64(firstDifference(got, want))
		return fmt.Errorf("%w at byte %d: %s", ErrDamaged, at, s.frameReason(len(s.l.offsets), at))
	}
	if s.unread = s.Device; s.unread {
		return io.EOF
	}
	return s.skipZeros()
}

// skipZeros reads the stream to its end, and returns io.EOF if only zero bytes follow the archive.
func (s *Stream) skipZeros() error {
	buf := make([]byte, hashBuffer)
	for {
		n, err := s.in.r.Read(buf)
		if other := onlyZeros(buf[:n], s.l.size+s.zeros, s.l.size); other != nil {
			return other
		}
		if s.zeros += int64(n); s.zeros > maxZeros {
			return fmt.Errorf("%w: more than %d zero bytes follow its end at %d", ErrDamaged, maxZeros, s.l.size)
		}
		if err == io.EOF {
			return err
		}
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
	}
}

// Check reads what follows the small section, in place of Next, and returns the blobs that are damaged, in
// file order. Damage elsewhere is an error. A damaged blob of the stream cannot be read again. progress is
// as for Archive.Check.
//
// Errors: that of Plan; as Next; that of ctx.
func (s *Stream) Check(ctx context.Context, _ int, progress func(blobs int, bytes int64)) (damage []Damage, err error) {
	if s.failed != nil {
		return nil, s.failed
	}
	for i := range s.next {
		blob, err := s.checkBlob(ctx, i, progress)
		if err != nil {
			return nil, err
		}
		if blob != nil {
			damage = append(damage, *blob)
		}
	}
	for {
		_, content, err := s.Next()
		if err == io.EOF {
			return damage, nil
		}
		if err == nil {
			err = s.hash(ctx, content, s.next-1, progress)
		}
		if errors.Is(err, digest.ErrMismatch) {
			damage = append(damage, *s.damagedBlob(s.next-1, mismatch(err)))
		} else if err != nil {
			return nil, err
		}
	}
}

// Kept returns how many bytes of the scratch file are in use, from byte 0 on.
func (s *Stream) Kept() int64 {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.in.kept
}

// ErrPassed says that a layer is needed that came earlier in the stream.
var ErrPassed = errors.New("it came earlier in the stream, which cannot be read again")

// Blob implements bundle.Source for the small section. It may be called beside Next.
//
// Errors: ErrPassed for a layer; as Archive.Blob.
func (s *Stream) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if i, ok := s.index[d.Digest]; ok && s.planned && s.l.offsets[i] >= s.Kept() {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, ErrPassed)
	}
	return s.Archive.Blob(ctx, repo, d)
}

// incoming reads a stream, and keeps in a file, at the same offsets, what ReadAt asks for.
type incoming struct {
	r    *bufio.Reader
	file scratch

	mu   sync.Mutex
	at   int64 // bytes that were read
	kept int64 // bytes of these that are in the file
	err  error // why nothing can be kept any longer
}

// ReadAt implements io.ReaderAt.
func (in *incoming) ReadAt(p []byte, off int64) (int, error) {
	if err := in.keep(off + int64(len(p))); err != nil {
		n, _ := in.file.ReadAt(p, off) // the first bytes show what kind of file it is
		return n, err
	}
	return in.file.ReadAt(p, off)
}

// keep reads the stream up to end, into the file. After a failure it returns that error, because
// some of what was read last may not be in the file.
func (in *incoming) keep(end int64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if end <= in.kept || in.err != nil { // read advances at beside this, once all that is kept is here
		return in.err
	}
	n, err := io.CopyN(io.NewOffsetWriter(in.file, in.at), in.r, end-in.at)
	in.at += n
	in.kept = in.at
	if err != nil {
		in.err = in.explain(err)
	}
	return in.err
}

// read reads the following bytes, and keeps nothing.
func (in *incoming) read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.at += int64(n)
	if err != nil {
		err = in.explain(err)
	}
	return n, err
}

func (in *incoming) explain(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the stream ends after %d bytes", ErrTruncated, in.at)
	}
	return fmt.Errorf("read the stream after %d bytes: %w", in.at, noSpace(err))
}

// following returns an io.ReaderAt of the bytes that follow in the stream. It ignores the offset.
func (in *incoming) following() io.ReaderAt { return following{in} }

type following struct{ in *incoming }

// ReadAt implements io.ReaderAt.
func (r following) ReadAt(p []byte, _ int64) (int, error) {
	for n := 0; n < len(p); {
		m, err := r.in.read(p[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return len(p), nil
}
