package imgpkg

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// Limits on the layer of a bundle, which is the only content that is unpacked.
const (
	MaxUnpacked = 256 << 20 // bytes
	maxMembers  = 100_000

	// MaxPath is the limit on the path of a member in bytes.
	MaxPath = 4096
)

// ReadLayer reads a gzipped tar, the layer of a bundle, and calls visit for the regular files that
// want accepts, in their order; one is in memory at a time. A larger file than yamlnode.MaxSize is
// an error.
func ReadLayer(r io.Reader, want func(path string, size int64) bool, visit func(path string, data []byte) error) error {
	return EachMember(r, func(p string, h *tar.Header, content io.Reader) error {
		if h.Typeflag != tar.TypeReg || !want(p, h.Size) {
			return nil
		}
		if len(p) > MaxPath {
			return fmt.Errorf("is a path of %d bytes, more than the limit of %d", len(p), MaxPath)
		}
		if h.Size > yamlnode.MaxSize {
			return fmt.Errorf("has %d bytes, more than the limit of %d", h.Size, yamlnode.MaxSize)
		}
		data, err := Content(h.Size, content)
		if err != nil {
			return err
		}
		return visit(p, data)
	})
}

// Content returns the content of a member of a size, which its caller has limited.
func Content(size int64, r io.Reader) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	return data, err
}

// EachMember calls visit for each member of a gzipped tar, with its content and its cleaned path,
// which never points outside the bundle.
func EachMember(r io.Reader, visit func(path string, h *tar.Header, content io.Reader) error) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("layer is not gzip: %w", err)
	}
	tr := tar.NewReader(&budget{r: zr, left: MaxUnpacked})
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
			return fmt.Errorf("%s: %w", text.Quote(p), err)
		}
	}
}

// budget is a reader that fails after so many bytes: a layer that unpacks to more is an
// attack.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("unpacks to more than %d bytes", MaxUnpacked)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
