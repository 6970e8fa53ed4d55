package sample

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/internal/imgpkg"
)

func TestPush(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	root, err := Push(t.Context(), host, Tiny)
	require.NoError(t, err)
	assert.Equal(t, host+"/corp/repository:1.0.0", root.Name())
	first, err := remote.Head(root)
	require.NoError(t, err)

	_, err = Push(t.Context(), host, Tiny)
	require.NoError(t, err)
	second, err := remote.Head(root)
	require.NoError(t, err)
	assert.Equal(t, first.Digest, second.Digest)

	seen := contents{bundles: map[v1.Hash]bool{}, images: map[v1.Hash]bool{}}
	seen.addBundle(t, root.Context().Digest(first.Digest.String()))
	assert.Equal(t, contents{seen.bundles, seen.images, Packages, Versions}, seen)
	assert.Len(t, seen.bundles, Bundles)
	assert.Len(t, seen.images, Images)
}

// contents is what the repository leads to.
type contents struct {
	bundles, images    map[v1.Hash]bool
	packages, versions int
}

var (
	imageLine   = regexp.MustCompile(`(?m)^\s*(?:- )?image: (\S+)$`)
	leftover    = regexp.MustCompile(`\b(IMAGE|BUNDLE|REGISTRY)_[A-Z0-9_]+`)
	packageKind = regexp.MustCompile(`(?m)^kind: Package$`)
	metaKind    = regexp.MustCompile(`(?m)^kind: PackageMetadata$`)
)

// addBundle adds a bundle, all that its lock names and what is found there in turn. Whatever its
// files have behind "image:" must be in the lock under exactly that name.
func (c *contents) addBundle(t *testing.T, ref name.Digest) {
	t.Helper()
	img, err := remote.Image(ref)
	require.NoError(t, err, ref)
	digest, err := img.Digest()
	require.NoError(t, err)
	c.bundles[digest] = true
	_, err = remote.Head(ref.Context().Tag("sha256-" + digest.Hex + ".imgpkg"))
	assert.NoError(t, err, "the tag that imgpkg push writes")

	files := filesOf(t, img)
	lock, err := carvel.ParseImagesLock(files[".imgpkg/images.yml"])
	require.NoError(t, err, ref)
	var ids []string
	for _, entry := range lock.Images {
		ids = append(ids, entry.Annotations[carvel.KbldID])
		found, err := remote.Get(entry.Image)
		require.NoError(t, err, "%s, wanted by %s", entry.Image, ref)
		if found.MediaType.IsImage() && isBundle(t, found) {
			c.addBundle(t, entry.Image)
			continue
		}
		c.images[found.Digest] = true
	}
	for file, data := range files {
		assert.Empty(t, leftover.FindString(string(data)), "%s: placeholder", file)
		c.packages += len(metaKind.FindAll(data, -1))
		c.versions += len(packageKind.FindAll(data, -1))
		if path.Dir(file) == ".imgpkg" {
			continue
		}
		for _, match := range imageLine.FindAllSubmatch(data, -1) {
			assert.True(t, slices.Contains(ids, string(match[1])), "%s: %s is not in the lock", file, match[1])
		}
	}
}

func isBundle(t *testing.T, found *remote.Descriptor) bool {
	t.Helper()
	img, err := found.Image()
	require.NoError(t, err)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	_, ok := config.Config.Labels[imgpkg.Label]
	return ok
}

// filesOf returns the files of a bundle's layer.
func filesOf(t *testing.T, img v1.Image) map[string][]byte {
	t.Helper()
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	layer, err := layers[0].Uncompressed()
	require.NoError(t, err)
	defer func() { assert.NoError(t, layer.Close()) }()
	files := map[string][]byte{}
	for tr := tar.NewReader(layer); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		var data bytes.Buffer
		_, err = io.Copy(&data, tr)
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = data.Bytes()
		}
	}
}
