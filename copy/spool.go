package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/singleflight"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Spool is a Source that answers from a file what the walk has read, so that nothing is fetched
// twice and nothing of it is held in memory. What it does not have comes from the source below it.
// It is safe for concurrent use.
type Spool struct {
	src  bundle.Source
	file scratchSpace
	once singleflight.Group

	again atomic.Int64 // blobs that were read again

	mu   sync.Mutex
	end  int64
	kept map[document]kept
	tags map[string]v1.Hash // what a tag stood for when it was first read through Keeping
}

// document is what a digest stands for: a manifest, or a blob. They are apart, because a blob has no
// media type of its own.
type document struct {
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

// NewSpool returns a spool over src that writes to an empty file.
func NewSpool(src bundle.Source, file interface {
	io.ReaderAt
	io.WriterAt
}) *Spool {
	return &Spool{src: src, file: file, kept: map[document]kept{}, tags: map[string]v1.Hash{}}
}

// Keeping returns the spool as a Source for a walk: all that is read through it is kept, and a tag stands for the
// same as long as the spool is there.
func (s *Spool) Keeping() bundle.Source { return keeper{s} }

// ReadAgain returns how many blobs that were kept came damaged, and were right when they were read again.
func (s *Spool) ReadAgain() int { return int(s.again.Load()) }

// Manifest implements bundle.Source.
func (s *Spool) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if d, err := v1.NewHash(ref.Identifier()); err == nil { // not a tag
		if k, ok := s.find(document{d, true}); ok {
			return s.manifest(k)
		}
	}
	return s.src.Manifest(ctx, ref)
}

// Blob implements bundle.Source.
func (s *Spool) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if k, ok := s.find(document{d.Digest, false}); ok {
		return s.blob(k, d), nil
	}
	return s.src.Blob(ctx, repo, d)
}

func (s *Spool) manifest(k kept) (v1.Descriptor, []byte, error) {
	raw, err := io.ReadAll(s.blob(k, k.desc)) // the source that gave it has a limit
	if err != nil {
		return v1.Descriptor{}, nil, fmt.Errorf("read from the scratch file: %w", err)
	}
	return k.desc, raw, nil
}

// blob returns what was kept, which must be what d says.
func (s *Spool) blob(k kept, d v1.Descriptor) io.ReadCloser {
	return io.NopCloser(digest.Reader(io.NewSectionReader(s.file, k.at, k.desc.Size), d.Digest, d.Size))
}

func (s *Spool) find(doc document) (kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[doc]
	return k, ok
}

// keep writes what r gives, which d describes, to the file.
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
	s.kept[document{d.Digest, isManifest}] = k
	return k, nil
}

// keeper keeps what it reads. Who asks one place for what is being read there waits for it.
type keeper struct{ *Spool }

func (s keeper) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	k, err := s.first("manifest "+ref.Name(), func() (kept, error) {
		if k, ok := s.find(document{s.standsFor(ref), true}); ok {
			return k, ctx.Err()
		}
		desc, raw, err := s.src.Manifest(ctx, ref)
		if err != nil {
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

// standsFor returns the digest in ref, or what its tag stood for; zero when it was not read yet.
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
		if k, ok := s.find(document{d.Digest, false}); ok {
			return k, nil
		}
		return s.read(ctx, repo, d)
	})
	if err != nil {
		return nil, err
	}
	return s.blob(k, d), nil
}

// read keeps a blob. One that is not what its digest says is read once more: it may have been damaged on
// its way.
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
