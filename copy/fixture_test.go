package copy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
)

// memory is a repository in memory, and a source. It is as strict as a registry may be: a manifest
// needs its blobs and children. It counts what is read and notes what is written.
type memory struct {
	mu        sync.Mutex
	manifests map[v1.Hash]stored
	tags      map[string]v1.Hash
	blobs     map[v1.Hash][]byte
	reads     map[string]int // by "manifest ID" and "blob DIGEST"
	asked     []string       // "manifest ID", "blob DIGEST": Resolve and HasBlob
	puts      []string       // "blob DIGEST", "manifest DIGEST TAG"

	before func(ctx context.Context, act string) error // asked before each act, when not nil
}

type stored struct {
	desc v1.Descriptor
	raw  []byte
}

func newMemory() *memory {
	return &memory{manifests: map[v1.Hash]stored{}, tags: map[string]v1.Hash{}, blobs: map[v1.Hash][]byte{}, reads: map[string]int{}}
}

// act notes what is done in list, unless before forbids it.
func (m *memory) act(ctx context.Context, list *[]string, format string, args ...any) error {
	s := fmt.Sprintf(format, args...)
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.before != nil {
		if err := m.before(ctx, s); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if list == nil {
		m.reads[s]++
		return nil
	}
	*list = append(*list, s)
	return nil
}

func (m *memory) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	if err := m.act(ctx, nil, "manifest %s", ref.Identifier()); err != nil {
		return v1.Descriptor{}, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := v1.NewHash(ref.Identifier())
	if err != nil {
		d = m.tags[ref.Identifier()]
	}
	doc, ok := m.manifests[d]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", ref, fs.ErrNotExist)
	}
	return doc.desc, doc.raw, nil
}

func (m *memory) Blob(ctx context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if err := m.act(ctx, nil, "blob %s", d.Digest); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	return io.NopCloser(digest.Reader(bytes.NewReader(b), d.Digest, d.Size)), nil
}

func (m *memory) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	if err := m.act(ctx, &m.asked, "manifest %s", id); err != nil {
		return v1.Hash{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := v1.NewHash(id)
	if err != nil {
		d = m.tags[id]
	}
	if _, ok := m.manifests[d]; !ok {
		return v1.Hash{}, fs.ErrNotExist
	}
	return d, nil
}

func (m *memory) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	err := m.act(ctx, &m.asked, "blob %s", d.Digest)
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d.Digest]
	return ok && int64(len(b)) == d.Size, err
}

func (m *memory) ReadsBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	err := m.act(ctx, nil, "byte of %s", d.Digest)
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d.Digest]
	return ok && int64(len(b)) == d.Size, err
}

func (m *memory) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	r, err := open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := m.act(ctx, &m.puts, "blob %s", d.Digest); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[d.Digest] = b
	return nil
}

type missingError []v1.Hash

func (e missingError) Error() string                   { return fmt.Sprint("blobs unknown: ", []v1.Hash(e)) }
func (e missingError) MissingBlobs() ([]v1.Hash, bool) { return e, true }

func (m *memory) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	if err := m.act(ctx, &m.puts, "manifest %s %s", d.Digest, tag); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := digest.Check(raw, d.Digest); err != nil {
		return err
	}
	var doc struct {
		Config    *v1.Descriptor
		Layers    []v1.Descriptor
		Manifests []v1.Descriptor
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	var missing missingError
	if doc.Config != nil {
		doc.Layers = append(doc.Layers, *doc.Config)
	}
	for _, b := range doc.Layers {
		if _, ok := m.blobs[b.Digest]; !ok && b.MediaType.IsDistributable() {
			missing = append(missing, b.Digest)
		}
	}
	for _, child := range doc.Manifests {
		if _, ok := m.manifests[child.Digest]; !ok {
			return fmt.Errorf("manifest unknown: %s", child.Digest)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("PUT: %w", missing)
	}
	m.manifests[d.Digest] = stored{d, raw}
	if tag != "" {
		m.tags[tag] = d.Digest
	}
	return nil
}

// addBlob adds a blob that is there without having been put.
func (m *memory) addBlob(mediaType types.MediaType, b []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.Of(b), Size: int64(len(b))}
	m.blobs[d.Digest] = b
	return d
}

func (m *memory) addManifest(t *testing.T, mediaType types.MediaType, doc any) v1.Descriptor {
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.Of(raw), Size: int64(len(raw))}
	m.manifests[d.Digest] = stored{d, raw}
	return d
}

// addImage adds an image with the layers; config makes it another than others.
func (m *memory) addImage(t *testing.T, config string, layers ...v1.Descriptor) v1.Descriptor {
	return m.addManifest(t, types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: m.addBlob(types.OCIConfigJSON, []byte(fmt.Sprintf("{%q:1}", config))), Layers: layers,
	})
}

func (m *memory) addBundle(t *testing.T, locked ...v1.Descriptor) v1.Descriptor {
	lock := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	if len(locked) == 0 {
		lock = strings.Replace(lock, "images:\n", "images: []\n", 1)
	}
	for _, d := range locked {
		lock += "- image: " + source + "@" + d.Digest.String() + "\n"
	}
	image, err := imgpkg.Build(map[string][]byte{".imgpkg/images.yml": []byte(lock)}, map[string]string{imgpkg.Label: "true"})
	require.NoError(t, err)
	m.addBlob("", image.Config)
	m.addBlob("", image.Layer)
	m.manifests[image.Descriptor.Digest] = stored{image.Descriptor, image.Manifest}
	return image.Descriptor
}

const source = "source.example.com/repo"

var target = name.MustParseReference("target.example.com/repo:x").Context()

// fixture is a bundle of bundles, images and an index, at its source.
type fixture struct {
	*memory
	plan                  *bundle.Plan
	root, inner, empty    v1.Descriptor // bundles
	index, child1, child2 v1.Descriptor
	shared                v1.Descriptor // an image that both root and inner lock
	lone                  v1.Descriptor // an image with a layer of its own
	base, layer           v1.Descriptor // layers: in all images, in lone
	foreign               v1.Descriptor // a layer that is not carried
	tags                  []string      // what a repository has in the end
	opt                   Options
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{memory: newMemory()}
	f.base = f.addBlob(types.OCILayer, bytes.Repeat([]byte("base"), 100))
	f.layer = f.addBlob(types.OCILayer, bytes.Repeat([]byte("layer"), 200))
	f.foreign = v1.Descriptor{MediaType: types.OCIRestrictedLayer, Digest: digest.Of([]byte("foreign")), Size: 7}
	f.shared = f.addImage(t, "shared", f.base, f.base)
	f.lone = f.addImage(t, "lone", f.base, f.layer, f.foreign)
	f.child1, f.child2 = f.addImage(t, "1", f.base), f.addImage(t, "2", f.base)
	f.index = f.addManifest(t, types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{f.child1, f.child2},
	})
	f.empty = f.addBundle(t)
	f.inner = f.addBundle(t, f.index, f.shared, f.empty)
	f.root = f.addBundle(t, f.inner, f.lone, f.shared)
	ref := name.MustParseReference(source + ":1.0").(name.Tag)
	f.memory.tags["1.0"] = f.root.Digest
	g, err := bundle.Walk(t.Context(), f, []name.Reference{ref}, bundle.WalkOptions{Jobs: 4})
	require.NoError(t, err)
	f.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	f.opt = Options{Jobs: 4, Tags: []Tag{{"1.0", f.root.Digest}}}
	f.tags = []string{"1.0"}
	for _, n := range g.Nodes {
		if n.Descriptor.Digest != f.child1.Digest && n.Descriptor.Digest != f.child2.Digest {
			f.tags = append(f.tags, imgpkg.DefaultTag(n.Descriptor.Digest))
		}
		if n.Kind == bundle.Bundle {
			image, err := imgpkg.Locations(g.Locations(n))
			require.NoError(t, err)
			f.tags = append(f.tags, imgpkg.LocationsTag(n.Descriptor.Digest), imgpkg.DefaultTag(image.Descriptor.Digest))
		}
	}
	slices.Sort(f.tags)
	f.reads = map[string]int{}
	return f
}

// fill copies the fixture to dst.
func (f *fixture) fill(t *testing.T, dst *memory) (*Result, error) {
	dst.puts, dst.asked = nil, nil
	return ToRepository(t.Context(), f.plan, f, dst, target, f.opt)
}

// checkOrder checks of what was put that whatever could be seen in between was complete: had is what
// was there before.
func checkOrder(t *testing.T, plan *bundle.Plan, puts []string, had func(v1.Hash) bool) {
	t.Helper()
	at := map[string]int{}
	carried := map[v1.Hash]bool{}
	for _, b := range plan.Blobs {
		carried[b.Descriptor.Digest] = true
	}
	for i, put := range puts {
		for _, key := range []string{put, put[:strings.LastIndex(put, " ")]} {
			if _, ok := at[key]; !ok {
				at[key] = i
			}
		}
	}
	needs := func(i int, what string, d v1.Hash) {
		j, ok := at[what+" "+d.String()]
		if !had(d) && (!ok || j > i) {
			t.Errorf("%q is put without %s %s", puts[i], what, d)
		}
	}
	for i, put := range puts {
		fields := strings.Split(put, " ")
		if fields[0] != "manifest" {
			continue
		}
		d, err := v1.NewHash(fields[1])
		require.NoError(t, err)
		below := func(n *bundle.Node) {
			for _, b := range n.Blobs {
				if carried[b.Digest] {
					needs(i, "blob", b.Digest)
				}
			}
			for _, child := range n.Children {
				needs(i, "manifest", child)
			}
		}
		if n := plan.Graph.Node(d); n != nil {
			below(n)
		}
		for _, n := range plan.Graph.Nodes {
			if n.Kind == bundle.Bundle && fields[2] == imgpkg.LocationsTag(n.Descriptor.Digest) {
				needs(i, "manifest", n.Descriptor.Digest)
				below(n)
			}
		}
	}
}
