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
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Limits on the layer of a bundle, which is the only content that is unpacked.
const (
	maxUnpacked = 256 << 20 // bytes
	maxMembers  = 100_000
)

// lockFile is where a bundle has its ImagesLock.
const lockFile = ".imgpkg/images.yml"

type file struct {
	path string
	data []byte
}

// readBundleLayer reads the one layer of a bundle image and returns the regular files that want
// accepts, in the order of the layer. It holds bundles to imgpkg's form: one layer, of Docker's
// type.
func readBundleLayer(ctx context.Context, src Source, repo name.Repository, m *manifest, want func(path string) bool) ([]file, error) {
	if len(m.layers) != 1 {
		return nil, fmt.Errorf("has %d layers; a bundle has one", len(m.layers))
	}
	if m.layers[0].MediaType != types.DockerLayer {
		return nil, fmt.Errorf("has a layer of type %q; a bundle's is %q", m.layers[0].MediaType, types.DockerLayer)
	}
	files, err := readLayer(ctx, src, repo, m.layers[0], want)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", m.layers[0].Digest, err)
	}
	return files, nil
}

func readLayer(ctx context.Context, src Source, repo name.Repository, layer v1.Descriptor, want func(string) bool) ([]file, error) {
	r, err := src.Blob(ctx, repo, layer)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("is not gzip: %w", err)
	}
	files, err := readTar(tar.NewReader(&budget{r: zr, left: maxUnpacked}), want)
	if err != nil {
		return nil, err
	}
	// To the end, where the source compares the digest.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return files, nil
}

func readTar(tr *tar.Reader, want func(string) bool) ([]file, error) {
	var files []file
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("is no tar: %w", err)
		}
		if n == maxMembers {
			return nil, fmt.Errorf("has more than %d members", maxMembers)
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag != tar.TypeReg || !want(p) {
			continue
		}
		if h.Size > maxDocument {
			return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", p, h.Size, maxDocument)
		}
		data, err := io.ReadAll(tr) // at most maxDocument, and the budget counts what is really there
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		files = append(files, file{p, data})
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
func inBundle(p string) bool { return p == lockFile || isPackageFile(p) }

// isPackageFile accepts what kapp-controller's ytt reads of packages/: .yml and .yaml at any depth.
func isPackageFile(p string) bool {
	return strings.HasPrefix(p, "packages/") && (strings.HasSuffix(p, ".yml") || strings.HasSuffix(p, ".yaml"))
}
