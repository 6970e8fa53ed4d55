package tarball_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/tarball"
)

// memory is a bundle.Source. It has one place for all repositories.
type memory struct {
	manifests map[v1.Hash]manifest
	blobs     map[v1.Hash][]byte
	tags      map[string]v1.Hash
}

type manifest struct {
	mediaType types.MediaType
	raw       []byte
}

func newMemory() *memory {
	return &memory{manifests: map[v1.Hash]manifest{}, blobs: map[v1.Hash][]byte{}, tags: map[string]v1.Hash{}}
}

func (m *memory) Manifest(_ context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	d, ok := m.tags[ref.Name()]
	if !ok {
		d, _ = v1.NewHash(ref.Identifier())
	}
	found, ok := m.manifests[d]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", ref, fs.ErrNotExist)
	}
	return describe(found.mediaType, found.raw), found.raw, nil
}

func (m *memory) Blob(_ context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	return io.NopCloser(digest.Reader(bytes.NewReader(b), d.Digest, d.Size)), nil
}

// content returns the bytes of a blob or a manifest.
func (m *memory) content(d v1.Hash) []byte {
	if found, ok := m.manifests[d]; ok {
		return found.raw
	}
	return m.blobs[d]
}

func describe(mediaType types.MediaType, b []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(b)), Digest: digest.Of(b)}
}

func (m *memory) blob(mediaType types.MediaType, b []byte) v1.Descriptor {
	m.blobs[digest.Of(b)] = b
	return describe(mediaType, b)
}

// document adds a manifest, which raw or its JSON is, and tags it.
func (m *memory) document(t testing.TB, mediaType types.MediaType, doc any, tags ...string) v1.Descriptor {
	t.Helper()
	raw, ok := doc.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(doc)
		require.NoError(t, err)
	}
	m.manifests[digest.Of(raw)] = manifest{mediaType, raw}
	for _, tag := range tags {
		m.tags[tag] = digest.Of(raw)
	}
	return describe(mediaType, raw)
}

// image adds an OCI image.
func (m *memory) image(t testing.TB, layers ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	return m.document(t, types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: m.blob(types.OCIConfigJSON, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","of":%d}`, len(layers))),
		Layers: layers,
	})
}

// layer adds a layer of n bytes, the same for the same n.
func (m *memory) layer(n int) v1.Descriptor {
	return m.blob(types.OCILayer, noise(n))
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b) //nolint:errcheck // never fails
	return b
}

// bundle adds a bundle of files with a lock of references, each of which is its own kbld id.
func (m *memory) bundle(t testing.TB, tag string, files map[string]string, locked ...string) v1.Descriptor {
	t.Helper()
	lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, ref := range locked {
		lock += "- image: " + ref + "\n  annotations:\n    kbld.carvel.dev/id: " + ref + "\n"
	}
	if len(locked) == 0 {
		lock = strings.Replace(lock, "images:", "images: []", 1)
	}
	all := map[string][]byte{".imgpkg/images.yml": []byte(lock)}
	for path, text := range files {
		all[path] = []byte(text)
	}
	b, err := imgpkg.Build(all, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	m.blob(types.DockerConfigJSON, b.Config)
	m.blob(types.DockerLayer, b.Layer)
	return m.document(t, b.Descriptor.MediaType, b.Manifest, tag)
}

const rootName = "registry.example/repo:1.0"

// tiny is a repository of one bundle and one image.
func tiny(t testing.TB) *memory {
	t.Helper()
	m := newMemory()
	image := m.image(t, m.layer(600))
	m.bundle(t, rootName, nil, "registry.example/app@"+image.Digest.String())
	return m
}

// repository has every kind of thing: a Package that fetches by tag, a nested bundle, an image that
// two references name, an index, a layer that must stay, blobs of odd sizes. It has extra layers
// of the sizes given.
func repository(t testing.TB, sizes ...int) *memory {
	t.Helper()
	m := newMemory()
	layers := []v1.Descriptor{m.layer(0), m.layer(1), m.layer(511), m.layer(512), m.layer(513), m.layer(70_000)}
	for _, n := range sizes {
		layers = append(layers, m.layer(n))
	}
	foreign := m.blob(types.DockerForeignLayer, []byte("not to be distributed"))
	image, other := m.image(t, layers...), m.image(t, m.layer(1000), foreign)
	index := m.document(t, types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{m.image(t, m.layer(2000)), m.image(t, m.layer(1000), m.layer(3000), m.layer(1))},
	})
	app := m.bundle(t, "registry.example/app-bundle:1.0", nil,
		"registry.example/app@"+image.Digest.String(), "registry.example/also@"+image.Digest.String(),
		"registry.example/windows@"+other.Digest.String(), "registry.example/many@"+index.Digest.String())
	m.bundle(t, "registry.example/extra:1.0", map[string]string{"more": "of it"})
	m.bundle(t, rootName, map[string]string{"packages/p.yml": `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: p.example.1.0.0}
spec:
  refName: p.example
  version: 1.0.0
  template:
    spec:
      fetch:
      - imgpkgBundle: {image: "registry.example/extra:1.0"}
`}, "registry.example/app-bundle@"+app.Digest.String())
	return m
}

// plan walks m from its root.
func (m *memory) plan(t testing.TB, bases ...bundle.Base) *bundle.Plan {
	t.Helper()
	root, err := name.ParseReference(rootName)
	require.NoError(t, err)
	g, err := bundle.Walk(context.Background(), m, []name.Reference{root}, bundle.WalkOptions{Discovery: m})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{Bases: bases})
	require.NoError(t, err)
	return plan
}

// opener returns what PutBlob reads a blob from.
func (m *memory) opener(d v1.Descriptor) func(context.Context, int64) (io.ReadCloser, error) {
	return func(_ context.Context, from int64) (io.ReadCloser, error) {
		if from > 0 {
			return io.NopCloser(bytes.NewReader(m.content(d.Digest)[from:])), nil
		}
		return io.NopCloser(digest.Reader(bytes.NewReader(m.content(d.Digest)), d.Digest, d.Size)), nil
	}
}

// write makes the archive of m and returns its path.
func (m *memory) write(t testing.TB, bases ...bundle.Base) string {
	t.Helper()
	return m.writePlan(t, m.plan(t, bases...))
}

// writePlan makes the archive of a plan of m and returns its path.
func (m *memory) writePlan(t testing.TB, plan *bundle.Plan) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	w, err := tarball.Create(path, plan, tarball.Request{}, 1)
	require.NoError(t, err)
	for _, b := range plan.Blobs {
		require.NoError(t, w.PutBlob(context.Background(), *b.Descriptor, m.opener(*b.Descriptor)))
	}
	require.NoError(t, w.Commit())
	return path
}

// bytes makes the archive of m.
func (m *memory) bytes(t testing.TB, bases ...bundle.Base) []byte {
	t.Helper()
	b, err := os.ReadFile(m.write(t, bases...))
	require.NoError(t, err)
	return b
}

// open opens an archive that is held in memory.
func open(b []byte) (*tarball.Archive, error) {
	return tarball.NewArchive(bytes.NewReader(b), int64(len(b)))
}

// inspect opens an archive and checks all of it.
func inspect(b []byte) ([]tarball.Damage, error) {
	a, err := open(b)
	if err != nil {
		return nil, err
	}
	return a.Check(context.Background(), 2, nil)
}
