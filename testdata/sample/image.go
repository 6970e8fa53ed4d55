package sample

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/imgpkg"
)

// pushable is a v1.Image or a v1.ImageIndex.
type pushable interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// image says how an image with the program is made: with Docker's media types, or those of OCI, and
// as an index when it is for several architectures.
type image struct {
	tag    string
	oci    bool
	arches []string
}

var images = []image{
	{tag: "simple-app:1.0.0", arches: []string{"amd64"}},
	{tag: "status:1.0.0", arches: []string{"amd64"}},
	{tag: "guestbook:1.0.0", oci: true, arches: []string{"amd64"}},
	{tag: "guestbook:1.1.0", oci: true, arches: []string{"amd64", "arm64"}},
}

// build returns the image; programs has the program for each architecture.
func (i image) build(programs map[string][]byte) (pushable, error) {
	if len(i.arches) == 1 {
		return i.buildFor(i.arches[0], programs[i.arches[0]])
	}
	var index v1.ImageIndex = empty.Index // of OCI's media type
	for _, arch := range i.arches {
		child, err := i.buildFor(arch, programs[arch])
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        child,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

// buildFor makes two layers, the program and the name of the release.
func (i image) buildFor(arch string, program []byte) (v1.Image, error) {
	base, layerType := empty.Image, types.DockerLayer
	if i.oci {
		base = mutate.ConfigMediaType(mutate.MediaType(base, types.OCIManifestSchema1), types.OCIConfigJSON)
		layerType = types.OCILayer
	}
	base, err := mutate.ConfigFile(base, &v1.ConfigFile{
		OS:           "linux",
		Architecture: arch,
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint:   []string{"/app"},
			User:         "65532:65532", // a number, so that runAsNonRoot can be checked without /etc/passwd
			ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		},
	})
	if err != nil {
		return nil, err
	}
	programLayer, err := fileLayer(layerType, "app", 0o755, program)
	if err != nil {
		return nil, err
	}
	releaseLayer, err := fileLayer(layerType, "etc/app-release", 0o644, []byte(strings.Replace(i.tag, ":", " ", 1)+"\n"))
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(base, programLayer, releaseLayer)
}

// fileLayer returns a layer of one file, with the same bytes each time.
func fileLayer(mediaType types.MediaType, path string, mode int64, data []byte) (v1.Layer, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	h := &tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(0, 0)}
	if err := tw.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := tw.Write(data); err != nil {
		return nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(mediaType))
}

// bundleImage makes a v1.Image of a bundle's bytes, with partial.CompressedToImage.
type bundleImage struct{ built *imgpkg.Image }

func (b bundleImage) RawConfigFile() ([]byte, error) { return b.built.Config, nil }
func (b bundleImage) RawManifest() ([]byte, error)   { return b.built.Manifest, nil }

func (b bundleImage) MediaType() (types.MediaType, error) {
	return b.built.Descriptor.MediaType, nil
}

func (b bundleImage) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) {
	return static.NewLayer(b.built.Layer, types.DockerLayer), nil // it has but one
}
