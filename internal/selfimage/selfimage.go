// Package selfimage makes a container image of relocate: the program, from scratch, for one or several
// platforms. Start with Build.
//
//	/relocate       the program, which is the entrypoint
//	/tmp            for scratch files
//
// It runs as 65532, which is nobody's number, and needs no shell, library or package of a distribution.
// It has no certificates of authorities: those of a site are mounted at /etc/ssl/certs. The same programs
// give the same bytes with the same release of Go.
package selfimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User runs the program: a number, so that Kubernetes can check runAsNonRoot without /etc/passwd.
const User = "65532:65532"

// Program is relocate for an architecture of Linux.
type Program struct {
	Architecture string // amd64 or arm64
	Binary       []byte // an ELF file that needs no other
}

// About is what the image says of itself.
type About struct {
	Version string
	Created time.Time
}

// Build returns an index with an image for each program, in their order.
//
// Errors: ErrProgram.
func Build(programs []Program, about About) (v1.ImageIndex, error) {
	var images []v1.Image
	for _, p := range programs {
		image, err := buildImage(p, about)
		if err != nil {
			return nil, fmt.Errorf("image for linux/%s: %w", p.Architecture, err)
		}
		images = append(images, image)
	}
	return newIndex(images, about.annotations())
}

func (a About) annotations() map[string]string { // of image-spec 1.1, annotations.md
	return map[string]string{
		"org.opencontainers.image.title":       "relocate",
		"org.opencontainers.image.description": "Carries Carvel package repositories across an air gap",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     a.Version,
		"org.opencontainers.image.created":     a.Created.UTC().Format(time.RFC3339),
	}
}

func buildImage(p Program, about About) (v1.Image, error) {
	if err := check(p); err != nil {
		return nil, err
	}
	layer, err := newLayer(p.Binary)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS:           "linux",
		Architecture: p.Architecture,
		Created:      v1.Time{Time: about.Created.UTC()},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/relocate"},
			User:       User,
			WorkingDir: "/tmp",
			Env:        []string{"PATH=/", "HOME=/tmp"},
			Labels:     about.annotations(),
		},
	}); err != nil {
		return nil, err
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: about.Created.UTC()}, CreatedBy: "relocate " + about.Version},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, about.annotations()).(v1.Image), nil
}

// newLayer returns a layer with the program and a folder for scratch files.
func newLayer(binary []byte) (v1.Layer, error) {
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(zw)
	epoch := time.Unix(0, 0)
	for _, header := range []*tar.Header{
		{Name: "relocate", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(binary)), ModTime: epoch},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: epoch},
	} {
		if err := tw.WriteHeader(header); err != nil {
			return nil, err
		}
		if header.Size > 0 {
			if _, err := tw.Write(binary); err != nil {
				return nil, err
			}
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
