package copy

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// mounter is a Repository that takes blobs over from other repositories of its registry.
type mounter interface {
	Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error)
}

// mount lets the registry take a blob over from the repository where it was found, if that is one of its own. It
// saves the way of the bytes, so whatever goes wrong is no error: the blob is sent. A repository that was declined
// once is not tried again.
func (c *filling) mount(ctx context.Context, b bundle.Blob) bool {
	dst, ok := c.dst.(mounter)
	if !ok || c.opt.Trust == TrustNothing || b.Node.From.RegistryStr() != c.at.RegistryStr() || b.Node.From.Name() == c.at.Name() {
		return false
	}
	if _, declined := c.declined.Load(b.Node.From.Name()); declined {
		return false
	}
	mounted, err := dst.Mount(ctx, *b.Descriptor, b.Node.From)
	if err != nil || !mounted {
		c.declined.Store(b.Node.From.Name(), true)
	}
	return err == nil && mounted
}
