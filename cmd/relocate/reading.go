package main

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
)

// reading is a private repository of which each manifest, and each blob that a walk reads, is fetched once,
// however many look at it.
type reading struct {
	*registry.Repository
	kept bundle.Source
	file *scratch
}

// newReading reads a repository through a scratch file. The caller closes it.
func newReading(r *registry.Repository) (*reading, error) {
	file, err := newScratch("")
	if err != nil {
		return nil, err
	}
	return &reading{r, copy.NewSpool(r, file).Keeping(), file}, nil
}

// Manifest implements bundle.Source.
func (r *reading) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	return r.kept.Manifest(ctx, ref)
}

// Blob implements bundle.Source.
func (r *reading) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	return r.kept.Blob(ctx, repo, d)
}

func (r *reading) close() { r.file.remove() }
