package copy

import (
	"context"

	"relocate/bundle"
)

// What a repository is asked for although it is new: the first blobs, one of every so many later
// ones, and those whose upload takes much longer than a question. An interrupted copy may have left
// blobs there, and some registries have those of other repositories. The first one that is present
// ends this.
const (
	askedFirst = 8
	askedEvery = 32
	askedFrom  = 8 << 20 // bytes
)

// newcomer is a Repository that can be new.
type newcomer interface {
	// IsNew reports whether the registry says that it does not know the repository. Then it has no
	// tags, but it may have blobs.
	IsNew(ctx context.Context) bool
}

// findFresh asks for the first root, and whether the destination is new if that is missing. The root
// comes first: an answer about the repository may be out of date.
func (c *filling) findFresh(ctx context.Context) error {
	n := c.plan.Graph.Nodes[0]
	present, err := c.isNamed(ctx, n)
	if err != nil {
		return err
	}
	c.nodes[n.Descriptor.Digest].present = present
	if dst, ok := c.dst.(newcomer); ok && !present && c.trustsManifests() && !c.opt.Begun && c.opt.AwaitBlobs == 0 {
		c.fresh.Store(dst.IsNew(ctx))
	}
	return nil
}

// asks reports whether the destination is asked for what is to be put.
func (c *filling) asks() bool { return c.opt.Trust != TrustNothing && !c.fresh.Load() }

// asksForBlob reports whether the destination is asked for a blob, the n-th that may be missing,
// before it is uploaded.
func (c *filling) asksForBlob(n int, b bundle.Blob) bool {
	return c.asks() || c.opt.Trust != TrustNothing && (n < askedFirst || n%askedEvery == 0 || b.Descriptor.Size >= askedFrom)
}
