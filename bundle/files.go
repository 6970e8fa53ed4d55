package bundle

import (
	"archive/tar"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/render"
)

// File is a member of a bundle's layer: a folder, a regular file, or an irregular one, such as a link or
// a device, which imgpkg does not unpack.
type File struct {
	Path    string      // cleaned, with slashes, relative to the bundle
	Mode    fs.FileMode // type and permissions in the layer
	Size    int64       // bytes; 0 unless the file is regular
	ModTime time.Time
}

// Files reads the layer of the bundle n and calls visit for each member that want accepts, in the order
// of the layer. content gives the file's bytes until visit returns. Damage is found at the end of the
// layer, so do not rely on what visit received until Files returns nil.
//
// Errors: as Source.Blob; ErrNotBundle; oci.ErrMalformed; those of visit.
func (n *Node) Files(ctx context.Context, src Source, want func(path string) bool, visit func(f File, content io.Reader) error) error {
	if n.Kind != Bundle {
		return fmt.Errorf("read bundle %s: it %w", n.Name(), ErrNotBundle)
	}
	var failed error // of visit; does not make the bundle malformed
	err := openBundleLayer(ctx, src, n.From, &oci.Manifest{Blobs: n.Blobs}, func(r io.Reader) error {
		return imgpkg.EachMember(r, func(p string, h *tar.Header, content io.Reader) error {
			if failed != nil || p == "" || !want(p) { // the rest is read for its digest
				return nil
			}
			if len(p) > imgpkg.MaxPath {
				return fmt.Errorf("is a path of %d bytes, more than the limit of %d", len(p), imgpkg.MaxPath)
			}
			failed = visit(fileOf(p, h), content)
			return nil
		})
	})
	if err == nil && failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("read bundle %s: %w", n.Name(), err)
	}
	return nil
}

// Layer calls read with the layer of the bundle n, a gzipped tar. Damage is found at its end, so do not
// rely on what read received until Layer returns nil.
//
// Errors: as Files, with those of read as oci.ErrMalformed.
func (n *Node) Layer(ctx context.Context, src Source, read func(io.Reader) error) error {
	if n.Kind != Bundle {
		return fmt.Errorf("read bundle %s: it %w", n.Name(), ErrNotBundle)
	}
	if err := openBundleLayer(ctx, src, n.From, &oci.Manifest{Blobs: n.Blobs}, read); err != nil {
		return fmt.Errorf("read bundle %s: %w", n.Name(), err)
	}
	return nil
}

// fileOf returns the member p with the header h. Neither a regular file nor a folder: irregular.
func fileOf(p string, h *tar.Header) File {
	f := File{Path: p, Mode: h.FileInfo().Mode() & fs.ModePerm, ModTime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Size = h.Size
	case tar.TypeDir:
		f.Mode |= fs.ModeDir
	default:
		f.Mode |= fs.ModeIrregular
	}
	return f
}

// Details reads the description of a package in the repository bundle n and, unless version is empty, of
// that version. If several documents describe it, the first Package and the last PackageMetadata count.
// r is as for Documents.
//
// Errors: as Documents; that of carvel.Details.Add for a document that cannot be read.
func (n *Node) Details(ctx context.Context, src Source, r *render.Renderer, pkg, version string) (*carvel.Details, error) {
	d := &carvel.Details{}
	var unread error // does not make the bundle malformed
	err := n.Documents(ctx, src, r, func(doc carvel.PackageDocument) {
		if err := d.Add(doc, pkg, version); err != nil && unread == nil {
			unread = fmt.Errorf("read bundle %s: %w", n.Name(), err)
		}
	})
	return d, cmp.Or(err, unread)
}

// Documents calls visit for the documents below packages/ of the repository bundle n. r runs the templates
// there; without r, the files are read as they are.
//
// Errors: as Files.
func (n *Node) Documents(ctx context.Context, src Source, r *render.Renderer, visit func(carvel.PackageDocument)) error {
	packages := r.Packages(n.Descriptor.Digest, func(doc carvel.PackageDocument) bool { visit(doc); return true })
	if !packages.Known() {
		if err := n.addPackages(ctx, src, packages); err != nil {
			return err
		}
	}
	_, err := packages.End(ctx)
	return err
}

// addPackages adds the files below packages/ of the bundle n.
func (n *Node) addPackages(ctx context.Context, src Source, packages *render.Packages) error {
	return n.Files(ctx, src, packages.Wants, func(f File, content io.Reader) error {
		switch {
		case !f.Mode.IsRegular():
			return nil
		case f.Size > yamlnode.MaxSize:
			packages.TooLarge(f.Path, f.Size)
			return nil
		}
		data, err := imgpkg.Content(f.Size, content)
		if err == nil {
			packages.Add(f.Path, data)
		}
		return err
	})
}
