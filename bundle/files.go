package bundle

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
)

// File is a folder or a regular file of a bundle.
type File struct {
	Path    string      // cleaned, with slashes, relative to the bundle
	Mode    fs.FileMode // a folder or not, and permissions, as the bundle has them
	Size    int64       // bytes; 0 of a folder
	ModTime time.Time
}

// ReadFiles reads the one layer of the bundle ref and calls visit for each folder and regular file, in the order of
// the layer. content gives the file's bytes until visit returns. Links, devices and the like are
// not visited: skipped is how many there are. A layer that was damaged is an error only when all was
// visited: what visit made of it counts for nothing before ReadFiles returned nil.
//
// Errors: as Source.Manifest; ErrNotBundle; ErrMalformed; those of visit.
func ReadFiles(ctx context.Context, src Source, ref name.Digest, visit func(f File, content io.Reader) error) (skipped int, err error) {
	m, err := readBundleManifest(ctx, src, ref)
	if err != nil {
		return 0, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	var failed error // of visit: not the bundle's fault
	err = openBundleLayer(ctx, src, ref.Context(), m, func(r io.Reader) error {
		return carvel.EachMember(r, func(p string, h *tar.Header, content io.Reader) error {
			if failed != nil || p == "" { // what is left is read for its digest
				return nil
			}
			switch h.Typeflag {
			case tar.TypeReg, tar.TypeDir:
			default:
				skipped++
				return nil
			}
			if len(p) > carvel.MaxPath {
				return fmt.Errorf("is a path of %d bytes, more than the limit of %d", len(p), carvel.MaxPath)
			}
			info := h.FileInfo()
			f := File{Path: p, Mode: info.Mode() & (fs.ModeDir | fs.ModePerm), ModTime: h.ModTime}
			if !f.Mode.IsDir() {
				f.Size = h.Size
			}
			failed = visit(f, content)
			return nil
		})
	})
	if err == nil && failed != nil {
		return skipped, failed
	}
	if err != nil {
		return skipped, fmt.Errorf("read bundle %s: %w", ref.Name(), err)
	}
	return skipped, nil
}
