package serve

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Store has the content that a Handler answers with. A repository is a path without a host. at is
// the registry whose tag the client wants, as containerd names it to a mirror (the query's ns), or
// empty. A Store is safe for concurrent use.
type Store interface {
	// Manifest opens the manifest of repo with the tag or digest id.
	//
	// Errors: fs.ErrNotExist, for a missing repository, too; AmbiguousError.
	Manifest(ctx context.Context, at, repo, id string) (v1.Descriptor, Content, error)

	// Blob opens a config or a layer that a manifest of repo names.
	//
	// Errors: fs.ErrNotExist.
	Blob(ctx context.Context, repo string, d v1.Hash) (Content, error)

	// Tags returns at most n tags of repo that come after the tag given, in the order of their
	// bytes, and whether there are more.
	//
	// Errors: fs.ErrNotExist for a missing repository.
	Tags(ctx context.Context, at, repo, after string, n int) (tags []string, more bool, err error)

	// Referrers returns the digests of the manifests in repo whose subject is d, always in the same
	// order. A missing repository has none.
	Referrers(ctx context.Context, repo string, d v1.Hash) ([]v1.Hash, error)

	// Repositories returns at most n repositories that come after the one given, in the same way as
	// Tags.
	Repositories(ctx context.Context, after string, n int) (repos []string, more bool, err error)
}

// Content is the bytes of a manifest or a blob. Their digest is not checked yet. The caller closes
// it.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64 // in bytes
}
