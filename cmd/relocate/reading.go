package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

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
	kept   bundle.Source
	file   *os.File
	broken atomic.Int32 // answers that the registry cannot read a manifest
}

// newReading reads a repository through a scratch file. The caller closes it.
func newReading(r *registry.Repository) (*reading, error) {
	file, err := os.CreateTemp("", ".relocate-*")
	if err != nil {
		return nil, fmt.Errorf("create a scratch file: %w", err)
	}
	_ = os.Remove(file.Name()) // where an open file can be removed, even a kill leaves nothing
	return &reading{Repository: r, kept: copy.NewSpool(r, file).Keeping(), file: file}, nil
}

// Manifest implements bundle.Source.
func (r *reading) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	desc, raw, err := r.kept.Manifest(ctx, ref)
	return desc, raw, r.explain(err)
}

// Resolve asks the registry what a tag or digest stands for.
func (r *reading) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	d, err := r.Repository.Resolve(ctx, id)
	return d, r.explain(err)
}

// mostBroken is how many answers speak of single manifests; after more the registry itself is at fault.
const mostBroken = 100

// explain makes of a registry's 500 for a manifest an error about that manifest.
func (r *reading) explain(err error) error {
	var e *registry.Error
	if !errors.As(err, &e) || e.Status != 500 || r.broken.Add(1) > mostBroken {
		return err
	}
	return fmt.Errorf("%w: %w", bundle.ErrUnreadable, err)
}

// Blob implements bundle.Source.
func (r *reading) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	return r.kept.Blob(ctx, repo, d)
}

// close removes the scratch file, whose content is not needed any longer.
func (r *reading) close() {
	_ = r.file.Close()
	_ = os.Remove(r.file.Name())
}
