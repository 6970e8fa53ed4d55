package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/testdata/interop"
)

// Which images are bundles (docs/carvel.md, "Bundles"): only the label's presence in the config counts.
func TestBundleDetection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, config string
		want         bundle.Kind
	}{
		{"true", bundleConfig, bundle.Bundle},
		{"false", `{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"false"}}}`, bundle.Bundle},
		{"empty", `{"config":{"Labels":{"dev.carvel.imgpkg.bundle":""}}}`, bundle.Bundle},
		{"other labels", `{"config":{"Labels":{"a":"b"}}}`, bundle.Plain},
		{"no labels", `{"config":{}}`, bundle.Plain},
		{"label outside of config", `{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}`, bundle.Plain},
		{"artifact's empty config", `{}`, bundle.Plain},
		{"labels are a list", `{"config":{"Labels":["dev.carvel.imgpkg.bundle"]}}`, bundle.Plain},
		{"config is a list", `[1]`, bundle.Plain},
		{"config is not JSON", "name: chart\n", bundle.Plain},
		{"config is empty", "", bundle.Plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			image := repo.PutPlain(tt.config, bundleLayer(repo, tarOf("./.imgpkg/images.yml", lockHead)))
			g := mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, image))
			assert.Equal(t, tt.want, g.Node(hash(image)).Kind)
		})
	}
}

// An artifact's config may be of any size; an image's own that is too large to be read may have the label.
func TestLargeConfig(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	large := bundleConfig + strings.Repeat(" ", 4<<20)
	artifact, image := putArtifact(repo, large), repo.PutPlain(large)
	assert.Equal(t, bundle.Plain, mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, artifact)).Node(hash(artifact)).Kind)
	_, err := bundle.Walk(t.Context(), &src, refs(bundleOf(repo, image)), bundle.WalkOptions{})
	require.ErrorIs(t, err, oci.ErrMalformed)
	assert.ErrorContains(t, err, "read "+image.Name()+": malformed: has a config of 4194361 bytes, more than the limit of 4194304")
}

// An index is none, whatever its annotations say.
func TestIndexIsNoBundle(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	index := repo.PutJSON(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{}, Annotations: map[string]string{imgpkg.Label: "true"}})
	g := mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, index))
	assert.Equal(t, bundle.Index, g.Node(hash(index)).Kind)
}

func TestBundleContent(t *testing.T) {
	t.Parallel()
	good := tarOf(".imgpkg/images.yml", lockHead)
	zeros := bytes.Repeat([]byte{0}, 1<<20)
	tests := []struct {
		name   string
		layers func(repo *interop.Repo) []v1.Descriptor
		err    string
	}{
		{"as imgpkg does", oneLayer(good), ""},
		{"dot in the name", oneLayer(tarOf("./.imgpkg/images.yml", lockHead)), ""},
		{"uncleaned name", oneLayer(tarOf("x/..//.imgpkg/images.yml", lockHead)), ""},
		{"the first counts", oneLayer(tarOf(".imgpkg/images.yml", lockHead, ".imgpkg/images.yml", "nonsense")), ""},
		{"the second does not", oneLayer(tarOf(".imgpkg/images.yml", "nonsense", ".imgpkg/images.yml", lockHead)), `".imgpkg/images.yml": ImagesLock: `},
		{"two gzip members", func(r *interop.Repo) []v1.Descriptor {
			return dockerLayer(r, append(gzipped(good[:512]), gzipped(good[512:])...))
		}, ""},
		{"no lock", oneLayer(tarOf("packages/a.yml", "")), "has no .imgpkg/images.yml"},
		{"lock is a link", oneLayer(linkTar(".imgpkg/images.yml")), "has no .imgpkg/images.yml"},
		{"lock elsewhere", oneLayer(tarOf("a/.imgpkg/images.yml", lockHead)), "has no .imgpkg/images.yml"},
		{"no layer", func(*interop.Repo) []v1.Descriptor { return nil }, "has 0 layers; a bundle has one"},
		{"two layers", func(r *interop.Repo) []v1.Descriptor {
			return append(dockerLayer(r, gzipped(good)), dockerLayer(r, gzipped(tarOf("a", "b")))...)
		}, "has 2 layers; a bundle has one"},
		{"OCI layer", func(r *interop.Repo) []v1.Descriptor {
			return []v1.Descriptor{r.PutBlob(gzipped(good))}
		}, `has a layer of type "application/vnd.oci.image.layer.v1.tar+gzip"`},
		{"not gzip", func(r *interop.Repo) []v1.Descriptor { return dockerLayer(r, good) }, "layer is not gzip"},
		{"not tar", func(r *interop.Repo) []v1.Descriptor {
			return dockerLayer(r, gzipped([]byte(strings.Repeat("x", 600))))
		}, "layer is no tar"},
		{"gzip cut short", func(r *interop.Repo) []v1.Descriptor { z := gzipped(good); return dockerLayer(r, z[:len(z)/2]) }, "malformed: "},
		{"large member", oneLayer(tarOf(".imgpkg/images.yml", lockHead+strings.Repeat("#", 4<<20))), `".imgpkg/images.yml": has 4194`},
		{"large member that is not read", oneLayer(tarOf("big", strings.Repeat("#", 5<<20), ".imgpkg/images.yml", lockHead)), ""},
		{"name with a line feed", oneLayer(tarOf("packages/a\nhint: b.yml", strings.Repeat("#", 5<<20))), `"packages/a\nhint: b.yml": has 5242880 bytes`},
		{"long name", oneLayer(tarOf("packages/"+strings.Repeat("a", 5000)+".yml", "")), `is a path of 5013 bytes`},
		{"bomb", func(r *interop.Repo) []v1.Descriptor {
			head := tarHeader(&tar.Header{Name: "zeros", Size: 1 << 40, Typeflag: tar.TypeReg})
			return dockerLayer(r, append(gzipped(head), bytes.Repeat(gzipped(zeros), 256)...))
		}, "unpacks to more than 268435456 bytes"},
		{"many members", func(r *interop.Repo) []v1.Descriptor {
			head := tarHeader(&tar.Header{Name: "a", Typeflag: tar.TypeDir})
			return dockerLayer(r, bytes.Repeat(gzipped(bytes.Repeat(head, 1001)), 100))
		}, "layer has more than 100000 members"},
		{"large layer", func(r *interop.Repo) []v1.Descriptor {
			d := dockerLayer(r, gzipped(good))
			d[0].Size = 256<<20 + 1
			return d
		}, "has a layer of 268435457 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			root := repo.PutPlain(bundleConfig, tt.layers(repo)...)
			_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
			require.ErrorIs(t, err, oci.ErrMalformed)
			assert.ErrorContains(t, err, "read bundle "+root.Name())
		})
	}
}

// Damage is called damage, whatever it does to the gzip and the tar; content never counts before the
// digest was compared.
func TestDamagedBundleLayer(t *testing.T) {
	t.Parallel()
	layer := gzipped(tarOf(".imgpkg/images.yml", lockHead))
	for i := range layer {
		var src interop.Registry
		repo := src.Repo("reg.test/repo")
		d := bundleLayer(repo, tarOf(".imgpkg/images.yml", lockHead))
		damaged := bytes.Clone(layer)
		damaged[i] ^= 0x20
		repo.Blobs[d.Digest] = damaged
		_, err := bundle.Walk(t.Context(), &src, refs(repo.PutPlain(bundleConfig, d)), bundle.WalkOptions{})
		require.ErrorIs(t, err, digest.ErrMismatch, "byte %d", i)
		require.NotErrorIs(t, err, oci.ErrMalformed, "byte %d", i)
	}
}

func oneLayer(content []byte) func(*interop.Repo) []v1.Descriptor {
	return func(r *interop.Repo) []v1.Descriptor { return dockerLayer(r, gzipped(content)) }
}

func bundleLayer(repo *interop.Repo, content []byte) v1.Descriptor {
	return dockerLayer(repo, gzipped(content))[0]
}

func dockerLayer(repo *interop.Repo, layer []byte) []v1.Descriptor {
	d := repo.PutBlob(layer)
	d.MediaType = types.DockerLayer
	return []v1.Descriptor{d}
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, err := zw.Write(b)
	if err := errors.Join(err, zw.Close()); err != nil {
		panic(err) // cannot be: into memory
	}
	return buf.Bytes()
}

// tarOf returns a tar of the given names and contents, in turn.
func tarOf(nameContent ...string) []byte {
	var out []byte
	for i := 0; i < len(nameContent); i += 2 {
		content := nameContent[i+1]
		out = append(out, tarHeader(&tar.Header{Name: nameContent[i], Size: int64(len(content)), Mode: 0o600, Typeflag: tar.TypeReg})...)
		out = append(out, content...)
		out = append(out, make([]byte, (512-len(content)%512)%512)...)
	}
	return append(out, make([]byte, 1024)...)
}

func linkTar(name string) []byte {
	return append(tarHeader(&tar.Header{Name: name, Linkname: "target", Typeflag: tar.TypeSymlink}), make([]byte, 1024)...)
}

func tarHeader(h *tar.Header) []byte {
	var buf bytes.Buffer
	if err := tar.NewWriter(&buf).WriteHeader(h); err != nil {
		panic(fmt.Sprint(h.Name, err)) // of a test's own literal
	}
	return buf.Bytes()
}
