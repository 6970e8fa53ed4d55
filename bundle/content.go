package bundle

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/render"
	"relocate/report"
)

// readBundleLayer reads the layer of a bundle image and calls visit for the regular files that want
// accepts, in the order of the layer. One file is in memory at a time. A bundle must have imgpkg's
// format: one layer, of Docker's media type.
//
// Errors: oci.ErrMalformed for another format, and around every error of visit; those of Source.Blob.
func readBundleLayer(ctx context.Context, src Source, repo name.Repository, m *oci.Manifest, want func(path string) bool, visit func(path string, data []byte) error) error {
	wanted := func(p string, _ int64) bool { return want(p) }
	return openBundleLayer(ctx, src, repo, m, func(r io.Reader) error { return imgpkg.ReadLayer(r, wanted, visit) })
}

// readPackages reads the lock of a bundle image, for which it calls visit, and its packages.
//
// Errors: as readBundleLayer; that of ctx.
func readPackages(ctx context.Context, src Source, repo name.Repository, m *oci.Manifest, packages *render.Packages, visit func(lock []byte) error) ([]report.Finding, error) {
	want := func(p string, size int64) bool {
		if size > yamlnode.MaxSize && packages.Wants(p) && !carvel.IsPackageFile(p) { // such a YAML file is an error
			packages.TooLarge(p, size)
			return false
		}
		return p == carvel.LockFile || packages.Wants(p)
	}
	err := openBundleLayer(ctx, src, repo, m, func(r io.Reader) error {
		return imgpkg.ReadLayer(r, want, func(p string, data []byte) error {
			if p == carvel.LockFile {
				return visit(data)
			}
			packages.Add(p, data)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return packages.End(ctx)
}

// openBundleLayer calls read with the layer of a bundle image. It checks the format as readBundleLayer
// does.
func openBundleLayer(ctx context.Context, src Source, repo name.Repository, m *oci.Manifest, read func(io.Reader) error) error {
	if n := len(m.Layers()); n != 1 {
		return carvel.ImgpkgError{Err: fmt.Errorf("%w: has %d layers; a bundle has one", oci.ErrMalformed, n)}
	}
	layer := m.Layers()[0]
	if layer.MediaType != types.DockerLayer {
		return carvel.ImgpkgError{Err: fmt.Errorf("%w: has a layer of type %s; a bundle's is %q", oci.ErrMalformed, text.Quote(layer.MediaType), types.DockerLayer)}
	}
	if layer.Size > imgpkg.MaxUnpacked {
		return fmt.Errorf("%w: has a layer of %d bytes, more than the limit of %d", oci.ErrMalformed, layer.Size, imgpkg.MaxUnpacked)
	}
	r, err := src.Blob(ctx, repo, layer)
	if err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	defer r.Close()
	malformed := read(r)
	// The source compares the digest at the end. Damage explains any other error.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	if malformed != nil {
		return fmt.Errorf("%w: %w", oci.ErrMalformed, malformed)
	}
	return nil
}
