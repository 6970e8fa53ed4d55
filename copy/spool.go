package copy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/singleflight"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Spool is a Source that answers from a file what the walk has read, so that nothing is fetched
// twice and nothing of it is held in memory. What it does not have comes from the source below it.
type Spool struct {
	src  bundle.Source
	file File
	once singleflight.Group

	mu   sync.Mutex
	end  int64
	kept map[v1.Hash]kept
}

// File is a scratch file.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// kept is a document in the file; the media type is a manifest's.
type kept struct {
	at   int64
	desc v1.Descriptor
}

// NewSpool returns a spool over src that writes to an empty file.
func NewSpool(src bundle.Source, file File) *Spool {
	return &Spool{src: src, file: file, kept: map[v1.Hash]kept{}}
}

// Keeping returns the spool as a Source for the walk: all that is read through it is kept.
func (s *Spool) Keeping() bundle.Source { return keeper{s} }

// Manifest implements bundle.Source.
func (s *Spool) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	k, ok := s.find(ref.Identifier())
	if !ok {
		return s.src.Manifest(ctx, ref)
	}
	raw, err := io.ReadAll(s.open(k)) // a manifest: the source that gave it has a limit
	return k.desc, raw, err
}

// Blob implements bundle.Source.
func (s *Spool) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	k, ok := s.find(d.Digest.String())
	if !ok {
		return s.src.Blob(ctx, repo, d)
	}
	return io.NopCloser(s.open(k)), nil
}

func (s *Spool) find(id string) (kept, bool) {
	d, err := v1.NewHash(id)
	if err != nil {
		return kept{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[d]
	return k, ok
}

func (s *Spool) open(k kept) io.Reader {
	return digest.Reader(io.NewSectionReader(s.file, k.at, k.desc.Size), k.desc.Digest, k.desc.Size)
}

// keep writes what r gives, which d describes, to the file.
func (s *Spool) keep(d v1.Descriptor, r io.Reader) (kept, error) {
	s.mu.Lock()
	k := kept{s.end, d}
	s.end += d.Size
	s.mu.Unlock()
	if _, err := io.Copy(io.NewOffsetWriter(s.file, k.at), r); err != nil {
		return k, fmt.Errorf("keep %s: %w", d.Digest, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[d.Digest] = k
	return k, nil
}

type keeper struct{ *Spool }

func (s keeper) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if _, ok := s.find(ref.Identifier()); ok {
		return s.Spool.Manifest(ctx, ref)
	}
	desc, raw, err := s.src.Manifest(ctx, ref)
	if err != nil {
		return desc, nil, err
	}
	_, err = s.keep(desc, bytes.NewReader(raw))
	return desc, raw, err
}

func (s keeper) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	got, err, _ := s.once.Do(d.Digest.String(), func() (any, error) {
		if k, ok := s.find(d.Digest.String()); ok {
			return k, nil
		}
		r, err := s.src.Blob(ctx, repo, d)
		if err != nil {
			return kept{}, err
		}
		defer r.Close()
		return s.keep(d, r)
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(s.open(got.(kept))), nil
}
