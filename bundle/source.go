package bundle

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Source gives manifests and blobs: a registry, one repository or an archive. All methods are safe for
// concurrent use.
type Source interface {
	// Manifest returns the manifest that ref names, and its descriptor with media type, size in bytes and
	// digest. The source has checked the digest, against ref too when ref has one. A manifest of more
	// than 4 MiB is an error. An archive or a single repository ignores ref's repository.
	//
	// Errors: fs.ErrNotExist when it is not found; fs.ErrPermission when access is denied.
	Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error)

	// Blob opens the blob d in repo. The caller closes it. When digest or size differ from d, reading
	// gives an error in place of the last bytes or of io.EOF.
	//
	// Errors: as Manifest.
	Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error)
}

// Content is the bytes of a manifest or a blob in an archive, which are not hashed. The caller closes it.
type Content struct {
	*io.SectionReader
	io.Closer
}

// ContentOf returns n bytes of r, from at on. Nothing needs to be closed.
func ContentOf(r io.ReaderAt, at, n int64) Content {
	return Content{io.NewSectionReader(r, at, n), io.NopCloser(nil)}
}
