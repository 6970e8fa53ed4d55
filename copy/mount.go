package copy

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// mounter is a Repository that can mount blobs from other repositories of its registry
// (distribution-spec 1.1, "Mounting a blob from another repository").
type mounter interface {
	Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error)
}

// mount mounts a blob from the repository where it was found, if that is in the same registry, and
// reports whether that worked. A failure is no error, because the blob is uploaded then. A
// repository from which a mount failed is not tried again.
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
