package bundle

import (
	"archive/tar"
	"context"
	"fmt"
	"io"

	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/oci"
)

// MaxText is the largest file that ReadText reads, in bytes.
const MaxText = yamlnode.MaxSize

// Text is a regular file of a bundle, or a link, a device or the like, which imgpkg does not unpack.
type Text struct {
	Path    string // cleaned, with slashes, relative to the bundle
	Size    int64  // in bytes
	Data    []byte // nil of what is no regular file, or larger than MaxText
	Regular bool
}

// ReadText reads the one layer of the bundle n and calls visit for each file that want accepts, in the order of
// the layer; one is in memory at a time.
//
// Errors: as Source.Blob; ErrMalformed, of visit's too.
func ReadText(ctx context.Context, src Source, n *Node, want func(path string) bool, visit func(Text) error) error {
	err := openBundleLayer(ctx, src, n.From, &oci.Manifest{Blobs: n.Blobs}, func(r io.Reader) error {
		return imgpkg.EachMember(r, func(p string, h *tar.Header, content io.Reader) error {
			if h.Typeflag == tar.TypeDir || p == "" || !want(p) {
				return nil
			}
			if len(p) > imgpkg.MaxPath {
				return fmt.Errorf("is a path of %d bytes, more than the limit of %d", len(p), imgpkg.MaxPath)
			}
			t := Text{Path: p, Size: h.Size, Regular: h.Typeflag == tar.TypeReg}
			if t.Regular && h.Size <= MaxText {
				var err error
				if t.Data, err = io.ReadAll(content); err != nil { // at most MaxText
					return err
				}
			}
			return visit(t)
		})
	})
	if err != nil {
		return fmt.Errorf("read bundle %s: %w", n.Name(), err)
	}
	return nil
}
