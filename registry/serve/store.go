package serve

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Store is what a Handler answers from. Repositories are paths without a host; at is the registry that the client wants
// the tag of, as containerd names it to a mirror, or empty. It is safe for concurrent use.
type Store interface {
	// Manifest opens the manifest that id, a tag or a digest, stands for in repo.
	//
	// Errors: fs.ErrNotExist, also when repository not found; AmbiguousError.
	Manifest(ctx context.Context, at, repo, id string) (v1.Descriptor, Content, error)

	// Blob opens a config or a layer that a manifest of repo names.
	//
	// Errors: as Manifest.
	Blob(ctx context.Context, repo string, d v1.Hash) (Content, error)

	// Tags returns, in the order of their bytes, at most n tags of repo that come after the one given, and whether
	// there are more.
	//
	// Errors: as Manifest.
	Tags(ctx context.Context, at, repo, after string, n int) (tags []string, more bool, err error)

	// Referrers returns the digests of the manifests in repo whose subject is d, in a lasting order. There may be none,
	// and no such repository.
	Referrers(ctx context.Context, repo string, d v1.Hash) ([]v1.Hash, error)

	// Repositories returns repositories as Tags does tags.
	Repositories(ctx context.Context, after string, n int) (repos []string, more bool, err error)
}

// Content is the bytes of a manifest or a blob, which nobody has hashed yet. Who opened it closes it.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64 // in bytes
}
