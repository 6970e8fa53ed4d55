package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// Overlay is a Source with manifests and blobs that were made here in front of another source. Everything
// else comes from that one. It is safe for concurrent use, except for Add.
type Overlay struct {
	Source
	manifests map[v1.Hash]madeManifest
	blobs     map[v1.Hash][]byte
	kept      map[v1.Hash]int64           // blobs that are in file: where they begin
	places    map[v1.Hash]map[string]bool // where manifests that were made here are found; everywhere without
	names     map[string]v1.Hash          // of tags that exist here only
	owned     map[string]bool             // repositories that exist here only
	locations map[string]string           // tags of locations images: of a bundle made here, and of what it was derived from

	file scratchSpace // nil: blobs are in memory
	end  int64        // of what is in file
}

// scratchSpace is a file for blobs that were made here.
type scratchSpace interface {
	io.ReaderAt
	io.WriterAt
}

type madeManifest struct {
	desc v1.Descriptor
	raw  []byte
}

// NewOverlay returns an overlay of src without content of its own.
func NewOverlay(src Source) *Overlay {
	return &Overlay{
		Source: src, manifests: map[v1.Hash]madeManifest{}, blobs: map[v1.Hash][]byte{}, kept: map[v1.Hash]int64{},
		places: map[v1.Hash]map[string]bool{}, names: map[string]v1.Hash{}, owned: map[string]bool{},
		locations: map[string]string{},
	}
}

// Add adds a manifest and the blobs that were made with it. A bundle that was derived from another is
// found with the other's locations image; from is zero for all others.
func (o *Overlay) Add(desc v1.Descriptor, manifest []byte, from v1.Hash, blobs ...[]byte) {
	o.manifests[desc.Digest] = madeManifest{desc, manifest}
	for _, b := range blobs {
		o.blobs[digest.Of(b)] = b
	}
	tag, other := imgpkg.LocationsTag(desc.Digest), ""
	if from != (v1.Hash{}) {
		other = imgpkg.LocationsTag(from)
	}
	o.locations[tag] = other
}

// Name gives a manifest that is added a tag in a repository that exists here only: the other source is not asked for
// anything in it.
func (o *Overlay) Name(tag name.Tag, d v1.Hash) {
	o.names[tag.Name()], o.owned[tag.Context().Name()] = d, true
}

// Keep lets Trim write the blobs that it makes to a file, from byte 0 on, and not keep them in memory.
func (o *Overlay) Keep(file interface {
	io.ReaderAt
	io.WriterAt
}) {
	o.file = file
}

// keep adds a blob.
func (o *Overlay) keep(b []byte) error {
	if o.file == nil {
		o.blobs[digest.Of(b)] = b
		return nil
	}
	if _, err := o.file.WriteAt(b, o.end); err != nil {
		return err
	}
	o.kept[digest.Of(b)] = o.end
	o.end += int64(len(b))
	return nil
}

// Over returns an overlay of another source with the same content of its own.
func (o *Overlay) Over(src Source) *Overlay {
	other := *o
	other.Source = src
	return &other
}

// in lets a manifest that was made here be found in a repository, and not in others, so that what it names
// is looked for there, too.
func (o *Overlay) in(d v1.Hash, repo name.Repository) {
	if o.places[d] == nil {
		o.places[d] = map[string]bool{}
	}
	o.places[d][repo.Name()] = true
}

// Has reports whether the manifest d was made here.
func (o *Overlay) Has(d v1.Hash) bool {
	_, ok := o.manifests[d]
	return ok
}

// Manifest implements Source. A manifest that was made here is in every repository, unless it stands for
// one that was found in some.
func (o *Overlay) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if d, err := v1.NewHash(ref.Identifier()); err == nil {
		m, ok := o.manifests[d]
		if in := o.places[d]; ok && in != nil && !in[ref.Context().Name()] {
			return v1.Descriptor{}, nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
		}
		if ok {
			return m.desc, m.raw, ctx.Err()
		}
	} else if tag, ok := o.locations[ref.Identifier()]; ok {
		if tag == "" {
			return v1.Descriptor{}, nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
		}
		ref = ref.Context().Tag(tag)
	}
	if d, ok := o.names[ref.Name()]; ok {
		m := o.manifests[d]
		return m.desc, m.raw, ctx.Err()
	}
	if o.owned[ref.Context().Name()] {
		return v1.Descriptor{}, nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
	}
	return o.Source.Manifest(ctx, ref)
}

// Blob implements Source.
func (o *Overlay) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if b, ok := o.blobs[d.Digest]; ok {
		return io.NopCloser(digest.Reader(bytes.NewReader(b), d.Digest, d.Size)), ctx.Err()
	}
	if at, ok := o.kept[d.Digest]; ok {
		return io.NopCloser(digest.Reader(io.NewSectionReader(o.file, at, d.Size), d.Digest, d.Size)), ctx.Err()
	}
	return o.Source.Blob(ctx, repo, d)
}
