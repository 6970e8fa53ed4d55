package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/singleflight"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Spool is a Source that answers from a file what a walk has read, so that nothing is downloaded
// twice or kept in memory. What it does not have comes from the source below it. It is safe for
// concurrent use.
type Spool struct {
	src  bundle.Source
	file scratchSpace
	once singleflight.Group

	again atomic.Int64 // blobs that were damaged at first, and read again

	mu   sync.Mutex
	end  int64
	kept map[item]kept
	tags map[string]v1.Hash // what a tag stood for when it was first read
	gone map[string]error   // references that were not found, or not shown
}

// item is what a digest stands for: a manifest or a blob. They differ because a blob has no media
// type of its own.
type item struct {
	digest     v1.Hash
	isManifest bool
}

// scratchSpace is a file for what must be read again.
type scratchSpace interface {
	io.ReaderAt
	io.WriterAt
}

// kept is where in the file a document is.
type kept struct {
	at   int64
	desc v1.Descriptor
}

// NewSpool returns a spool over src that writes to file, from byte 0 on.
func NewSpool(src bundle.Source, file interface {
	io.ReaderAt
	io.WriterAt
}) *Spool {
	return &Spool{src: src, file: file, kept: map[item]kept{}, tags: map[string]v1.Hash{}, gone: map[string]error{}}
}

// Keeping returns the spool as a Source for walks. It keeps everything that is read, and a tag that
// was read once stands for the same digest afterwards. What was not found is not asked for again.
func (s *Spool) Keeping() bundle.Source { return keeper{s} }

// ReadAgain returns how many blobs that were kept did not match their digests at first, and did
// when they were read again.
func (s *Spool) ReadAgain() int { return int(s.again.Load()) }

// Manifest implements bundle.Source.
func (s *Spool) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if d, err := v1.NewHash(ref.Identifier()); err == nil { // not a tag
		if k, ok := s.find(item{d, true}); ok {
			return s.manifest(k)
		}
	}
	return s.src.Manifest(ctx, ref)
}

// Blob implements bundle.Source.
func (s *Spool) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if k, ok := s.find(item{d.Digest, false}); ok {
		return s.blob(k, d), nil
	}
	return s.src.Blob(ctx, repo, d)
}

func (s *Spool) manifest(k kept) (v1.Descriptor, []byte, error) {
	raw, err := io.ReadAll(s.blob(k, k.desc)) // the source limits the size
	if err != nil {
		return v1.Descriptor{}, nil, fmt.Errorf("read from the scratch file: %w", err)
	}
	return k.desc, raw, nil
}

// blob returns a kept item, and checks that it matches d.
func (s *Spool) blob(k kept, d v1.Descriptor) io.ReadCloser {
	return io.NopCloser(digest.Reader(io.NewSectionReader(s.file, k.at, k.desc.Size), d.Digest, d.Size))
}

func (s *Spool) find(i item) (kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[i]
	return k, ok
}

// keep writes the content of r, which d describes, to the file.
func (s *Spool) keep(d v1.Descriptor, isManifest bool, r io.Reader) (kept, error) {
	s.mu.Lock()
	k := kept{s.end, d}
	s.end += d.Size
	s.mu.Unlock()
	if _, err := io.Copy(io.NewOffsetWriter(s.file, k.at), r); err != nil {
		return k, fmt.Errorf("keep %s: %w", d.Digest, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[item{d.Digest, isManifest}] = k
	return k, nil
}

// keeper keeps what it reads. Concurrent calls for the same item share one read.
type keeper struct{ *Spool }

func (s keeper) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	k, err := s.first("manifest "+ref.Name(), func() (kept, error) {
		if err := s.wasGone(ref); err != nil { // also of what another repository has
			return kept{}, err
		}
		if k, ok := s.find(item{s.standsFor(ref), true}); ok {
			return k, ctx.Err()
		}
		desc, raw, err := s.src.Manifest(ctx, ref)
		if err != nil {
			s.keepGone(ref, err)
			return kept{}, err
		}
		k, err := s.keep(desc, true, bytes.NewReader(raw))
		if _, isTag := ref.(name.Tag); isTag && err == nil {
			s.mu.Lock()
			s.tags[ref.Name()] = desc.Digest
			s.mu.Unlock()
		}
		return k, err
	})
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return s.manifest(k)
}

// wasGone returns the error of the answer that ref was not found, or not shown; nil for none.
func (s keeper) wasGone(ref name.Reference) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[ref.Name()]
}

// keepGone keeps such an error.
func (s keeper) keepGone(ref name.Reference, err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone[ref.Name()] = err
	}
}

// standsFor returns the digest in ref, or what its tag stood for; zero when it has not been read.
func (s keeper) standsFor(ref name.Reference) v1.Hash {
	if d, err := v1.NewHash(ref.Identifier()); err == nil {
		return d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tags[ref.Name()]
}

func (s keeper) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	k, err := s.first("blob "+repo.Digest(d.Digest.String()).Name(), func() (kept, error) {
		if k, ok := s.find(item{d.Digest, false}); ok {
			return k, nil
		}
		return s.read(ctx, repo, d)
	})
	if err != nil {
		return nil, err
	}
	return s.blob(k, d), nil
}

// read keeps a blob. One that does not match its digest is read once more, because it may have been
// damaged in transit.
func (s keeper) read(ctx context.Context, repo name.Repository, d v1.Descriptor) (k kept, err error) {
	err = twice(func() error {
		r, err := s.src.Blob(ctx, repo, d)
		if err != nil {
			return err
		}
		k, err = s.keep(d, false, r)
		return errors.Join(err, r.Close())
	}, func() { s.again.Add(1) })
	return k, err
}

// first calls read, unless a call for the same key is under way, whose result it shares.
func (s keeper) first(key string, read func() (kept, error)) (kept, error) {
	k, err, _ := s.once.Do(key, func() (any, error) { return read() })
	return k.(kept), err
}
