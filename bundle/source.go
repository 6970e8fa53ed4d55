package bundle

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Source is where manifests and blobs are read from: a registry, one repository, an archive.
// All methods are safe for concurrent use.
type Source interface {
	// Manifest returns the manifest that ref names, and its descriptor: media type, size in bytes,
	// digest. The bytes have been hashed: they have the descriptor's digest, which is ref's when ref
	// has one. A document of more than 4 MiB is an error. A source that is one place (an archive, a
	// repository) ignores ref's repository.
	//
	// Errors: fs.ErrNotExist when there is none; fs.ErrPermission when the place does not show it.
	Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error)

	// Blob opens the blob d as found in repo. The caller closes it. Reading gives exactly what d
	// describes: in place of the last bytes, or of io.EOF, comes an error when digest or size differ.
	//
	// Errors: as Manifest.
	Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error)
}
