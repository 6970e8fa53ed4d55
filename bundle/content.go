package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Limits on the layer of a bundle, which is the only content that is unpacked.
const (
	maxUnpacked = 256 << 20 // bytes
	maxMembers  = 100_000
	maxPath     = 4096 // bytes
)

// LockFile is where a bundle has its ImagesLock.
const LockFile = ".imgpkg/images.yml"

var (
	// ErrMalformed says that content is what its digest says, but not in the form that Carvel gives it.
	ErrMalformed = errors.New("malformed")

	// ErrImgpkg says of an ErrMalformed that imgpkg (0.46) refuses the content, too.
	ErrImgpkg = errors.New("imgpkg refuses it, too")

	// ErrUnsupported is the ErrMalformed of what others may carry: the form is a legal one.
	ErrUnsupported error = unsupported{}
)

type unsupported struct{}

func (unsupported) Error() string        { return "not supported" }
func (unsupported) Is(target error) bool { return target == ErrMalformed }

// imgpkgRefuses is an error that is ErrImgpkg besides.
type imgpkgRefuses struct{ error }

func (e imgpkgRefuses) Unwrap() error        { return e.error }
func (e imgpkgRefuses) Is(target error) bool { return target == ErrImgpkg }

// file is a regular file of a bundle.
type file struct {
	path string
	data []byte
}

// readBundleLayer reads the one layer of a bundle image and calls visit for the regular files that
// want accepts, in the order of the layer; one is in memory at a time. It holds bundles to imgpkg's
// form: one layer, of Docker's type. Errors about the form, visit's too, wrap ErrMalformed.
func readBundleLayer(ctx context.Context, src Source, repo name.Repository, m *manifest, want func(path string) bool, visit func(file) error) error {
	return openBundleLayer(ctx, src, repo, m, func(r io.Reader) error { return readGzippedTar(r, want, visit) })
}

// openBundleLayer lets read read the one layer of a bundle image, and holds the bundle to its form as
// readBundleLayer does.
func openBundleLayer(ctx context.Context, src Source, repo name.Repository, m *manifest, read func(io.Reader) error) error {
	if n := len(m.layers()); n != 1 {
		return imgpkgRefuses{fmt.Errorf("%w: has %d layers; a bundle has one", ErrMalformed, n)}
	}
	layer := m.layers()[0]
	if layer.MediaType != types.DockerLayer {
		return imgpkgRefuses{fmt.Errorf("%w: has a layer of type %s; a bundle's is %q", ErrMalformed, quote(layer.MediaType), types.DockerLayer)}
	}
	if layer.Size > maxUnpacked {
		return fmt.Errorf("%w: has a layer of %d bytes, more than the limit of %d", ErrMalformed, layer.Size, maxUnpacked)
	}
	r, err := src.Blob(ctx, repo, layer)
	if err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	defer r.Close()
	malformed := read(r)
	// To the end, where the source compares the digest: damage explains whatever else was wrong.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	if malformed != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, malformed)
	}
	return nil
}

func readGzippedTar(r io.Reader, want func(path string) bool, visit func(file) error) error {
	return eachMember(r, func(p string, h *tar.Header, content io.Reader) error {
		if h.Typeflag != tar.TypeReg || !want(p) {
			return nil
		}
		if len(p) > maxPath {
			return fmt.Errorf("is a path of %d bytes, more than the limit of %d", len(p), maxPath)
		}
		if h.Size > maxDocument {
			return fmt.Errorf("has %d bytes, more than the limit of %d", h.Size, maxDocument)
		}
		data, err := io.ReadAll(content) // at most maxDocument, and the budget counts what is really there
		if err != nil {
			return err
		}
		return visit(file{p, data})
	})
}

// eachMember calls visit for each member of a gzipped tar, with its cleaned path, which leads nowhere
// out of the bundle, and its content.
func eachMember(r io.Reader, visit func(path string, h *tar.Header, content io.Reader) error) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("layer is not gzip: %w", err)
	}
	tr := tar.NewReader(&budget{r: zr, left: maxUnpacked})
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer is no tar: %w", err)
		}
		if n == maxMembers {
			return fmt.Errorf("layer has more than %d members", maxMembers)
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if err := visit(p, h, tr); err != nil {
			return fmt.Errorf("%s: %w", quote(p), err)
		}
	}
}

// budget is a reader that fails after so many bytes: a layer that unpacks to more is a bomb.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("unpacks to more than %d bytes", maxUnpacked)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// inBundle accepts the files of a bundle that the walk reads.
func inBundle(p string) bool { return p == LockFile || IsPackageFile(p) }

// IsPackageFile accepts what kapp-controller's ytt reads of packages/: .yml and .yaml at any depth.
func IsPackageFile(p string) bool {
	return strings.HasPrefix(p, "packages/") && (strings.HasSuffix(p, ".yml") || strings.HasSuffix(p, ".yaml"))
}
