package bundle

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/internal/imgpkg"
	"relocate/oci"
)

// isBundle reports whether the image's config has the bundle label. The config of an artifact may be of
// any format and size, and has no label. An image's config above the limit is an error, because it may
// have the label.
func isBundle(ctx context.Context, src Source, repo name.Repository, m *oci.Manifest) (bool, error) {
	if m.Config().Size > oci.MaxSize {
		if m.Config().MediaType.IsConfig() {
			return false, fmt.Errorf("%w: has a config of %d bytes, more than the limit of %d", oci.ErrMalformed, m.Config().Size, oci.MaxSize)
		}
		return false, nil
	}
	r, err := src.Blob(ctx, repo, m.Config())
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.Config().Digest, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // a source returns at most the size in the descriptor, which is within oci.MaxSize
	if err != nil {
		return false, fmt.Errorf("config %s: %w", m.Config().Digest, err)
	}
	return imgpkg.IsBundle(raw), nil
}
