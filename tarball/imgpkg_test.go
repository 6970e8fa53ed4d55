package tarball_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/tarball"
	"relocate/testdata/interop"
)

// imgpkgTars are the tars that imgpkg wrote, with what it wrote on another day for the same.
var imgpkgTars = map[string]string{
	"repository": "repository.alt", "repository.alt": "", "repository-by-digest": "", "bundlelock": "", "imageslock": "", "image-web": "",
	"image-tool-index": "", "relocated": "", "signed": "", "foreign": "", "foreign-included": "", "artifact": "",
}

func imgpkgTar(t testing.TB, name string) []byte {
	t.Helper()
	b, err := interop.Read("tar/" + name + ".tar")
	require.NoError(t, err)
	return b
}

// TestImgpkgAgain reads what imgpkg wrote, and writes the same bytes.
func TestImgpkgAgain(t *testing.T) {
	t.Parallel()
	for name, other := range imgpkgTars {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := imgpkgTar(t, name)
			a, err := open(want)
			require.NoError(t, err)
			assert.Equal(t, tarball.Imgpkg, a.Format())
			assert.Empty(t, a.Seal())
			damage, err := a.Check(t.Context(), 1, nil)
			require.NoError(t, err)
			assert.Empty(t, damage)
			plan, err := a.Plan(t.Context(), 4, nil)
			require.NoError(t, err)
			others, layers := a.Surplus(plan)
			assert.Zero(t, others+layers)
			if other != "" {
				want = imgpkgTar(t, other)
			}
			again := rewritten(t, plan, a, name == "bundlelock")
			assert.True(t, bytes.Equal(want, again), "written again it is another")
		})
	}
}

// rewritten writes a plan in imgpkg's format, to a file in some order and to a stream: the same bytes.
func rewritten(t testing.TB, plan *bundle.Plan, src bundle.Source, noOrigins bool) []byte {
	t.Helper()
	tar, err := tarball.New(t.Context(), plan, src, tarball.Request{Format: tarball.Imgpkg, NoOrigins: noOrigins})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := tar.Create(path, 4)
	require.NoError(t, err)
	blobs := slices.Clone(tar.Plan().Blobs)
	rand.Shuffle(len(blobs), func(i, j int) { blobs[i], blobs[j] = blobs[j], blobs[i] })
	putFrom(t, w, 4, blobs, src)
	require.NoError(t, w.Commit())
	assertOnly(t, filepath.Dir(path), "a.tar")
	var stream bytes.Buffer
	s, err := tar.Stream(&stream)
	require.NoError(t, err)
	putFrom(t, s, 4, tar.StreamPlan().Blobs, src)
	require.NoError(t, s.Commit())
	got := readAll(t, path)
	assert.True(t, bytes.Equal(got, stream.Bytes()), "the stream is another")
	assert.Equal(t, tar.Size(), int64(len(got)))
	assert.Empty(t, w.Seal())
	return got
}

type putter interface {
	PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context, int64) (io.ReadCloser, error)) error
}

func putFrom(t testing.TB, w putter, jobs int, blobs []bundle.Blob, src bundle.Source) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(jobs)
	for _, b := range blobs {
		g.Go(func() error {
			return w.PutBlob(ctx, *b.Descriptor, func(ctx context.Context, _ int64) (io.ReadCloser, error) {
				if b.IsManifest {
					assert.Fail(t, "a manifest is fetched again")
				}
				return src.Blob(ctx, b.Node.From, *b.Descriptor)
			})
		})
	}
	require.NoError(t, g.Wait())
}

// imgpkgBytes is the repository of m in imgpkg's format.
func (m *memory) imgpkgBytes(t testing.TB) []byte {
	t.Helper()
	return rewritten(t, m.plan(t), m, false)
}

// TestImgpkgSameGraph: a graph is the same after a crossing in imgpkg's format: tags in Packages, an index with what it
// nests, a foreign layer that is left out, blobs that are config and layer at once.
func TestImgpkgSameGraph(t *testing.T) {
	t.Parallel()
	for what, m := range map[string]*memory{"tiny": tiny(t), "repository": repository(t, 1<<20, 0, 1), "odd": oddImages(t)} {
		plan := m.plan(t)
		a, err := open(m.imgpkgBytes(t))
		require.NoError(t, err, what)
		got, err := a.Plan(t.Context(), 4, nil)
		require.NoError(t, err, what)
		assert.Equal(t, plan.Graph.Roots, got.Graph.Roots, what)
		assert.Equal(t, plan.Graph.Pins, got.Graph.Pins, what)
		assert.Equal(t, plan.Graph.Packages, got.Graph.Packages, what)
		assert.Equal(t, plan.Graph.Findings, got.Graph.Findings, what)
		assert.Equal(t, plan.Graph.Attachments, got.Graph.Attachments, what)
		require.Len(t, got.Graph.Nodes, len(plan.Graph.Nodes), what)
		for i, n := range got.Graph.Nodes {
			if want := plan.Graph.Nodes[i]; want.From != n.From { // of several places the tar names all
				assert.True(t, slices.ContainsFunc(n.References, func(s string) bool { return strings.HasPrefix(s, n.From.Name()+"@") }), n.Name())
				n.From = want.From
			}
		}
		assert.Equal(t, plan.Graph.Nodes, got.Graph.Nodes, what)
		assert.Equal(t, plan.Omitted, got.Omitted, what)
		assert.Equal(t, plan.Small, got.Small, what)
		digest := func(b bundle.Blob) string { return b.Descriptor.Digest.String() }
		assert.Equal(t, slices.Sorted(each(plan.Blobs, digest)), slices.Sorted(each(got.Blobs, digest)), what)
		assert.Equal(t, slices.Collect(each(plan.Blobs[:plan.Small], digest)), slices.Collect(each(got.Blobs[:plan.Small], digest)), what)
	}
}

func each[T, U any](list []T, do func(T) U) iter.Seq[U] {
	return func(yield func(U) bool) {
		for _, e := range list {
			if !yield(do(e)) {
				return
			}
		}
	}
}

// oddImages is a bundle of images that are built as few are.
func oddImages(t testing.TB) *memory {
	m := newMemory()
	both := m.blob(types.OCILayer, []byte("{}"))
	config := both
	config.MediaType = types.OCIConfigJSON
	add := func(config v1.Descriptor, layers ...v1.Descriptor) string {
		d := m.document(t, types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
		return "registry.example/odd@" + d.Digest.String()
	}
	helm := m.blob("application/vnd.cncf.helm.config.v1+json", []byte(`{"<name>":"é & \u2028"}`))
	m.bundle(t, rootName, nil,
		add(config, both, both),
		add(config, []v1.Descriptor{}...),
		add(helm, m.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", noise(700)), helm))
	return m
}

// TestImgpkgRefusesToWrite what its form cannot hold.
func TestImgpkgRefusesToWrite(t *testing.T) {
	t.Parallel()
	for says, configs := range map[string][]string{
		"is not UTF-8 text":                  {"\xff\xfe"},
		"its config has 4194305 bytes":       {strings.Repeat(" ", 4<<20+1)},
		"takes more than the 33554432 bytes": {strings.Repeat("\n", 4<<20), strings.Repeat("\n", 4<<20-1), strings.Repeat("\n", 4<<20-2), strings.Repeat("\n", 4<<20-3), "{}"},
		"no error":                           nil,
	} {
		m := newMemory()
		index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
		for _, config := range configs {
			index.Manifests = append(index.Manifests, m.document(t, types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
				Config: m.blob("application/octet-stream", []byte(config)), Layers: []v1.Descriptor{}}))
		}
		m.bundle(t, rootName, nil, "registry.example/odd@"+m.document(t, types.OCIImageIndex, index).Digest.String())
		_, err := tarball.New(t.Context(), m.plan(t), m, tarball.Request{Format: tarball.Imgpkg})
		if configs == nil {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
}

// TestImgpkgOneRoot: imgpkg's import panics when a tar has two root bundles. A second tag of one, or an image
// beside it, is another entry.
func TestImgpkgOneRoot(t *testing.T) {
	t.Parallel()
	m := repository(t)
	image := m.image(t, m.layer(10))
	plan := func(refs ...string) *bundle.Plan {
		var roots []name.Reference
		for _, s := range refs {
			ref, err := name.ParseReference(s)
			require.NoError(t, err)
			roots = append(roots, ref)
		}
		g, err := bundle.Walk(t.Context(), m, roots, bundle.WalkOptions{})
		require.NoError(t, err)
		plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
		require.NoError(t, err)
		return plan
	}
	root := plan(rootName)
	nested := root.Graph.Nodes[slices.IndexFunc(root.Graph.Nodes, func(n *bundle.Node) bool {
		return n.Kind == bundle.Bundle && n.Descriptor.Digest != root.Graph.Roots[0].Digest
	})]
	_, err := tarball.New(t.Context(), plan(rootName, nested.Name()), m, tarball.Request{Format: tarball.Imgpkg})
	require.ErrorIs(t, err, tarball.ErrOneRoot)

	again := "registry.example/repo@" + root.Graph.Roots[0].Digest.String()
	several := plan(rootName, again, "registry.example/app@"+image.Digest.String())
	b := rewritten(t, several, m, false)
	assert.Equal(t, 1, bytes.Count(b, []byte("dev.carvel.imgpkg.copy.root-bundle")))
	a, err := open(b)
	require.NoError(t, err)
	got, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Len(t, got.Graph.Nodes, len(several.Graph.Nodes))
	assert.Contains(t, got.Graph.Roots, several.Graph.Roots[0])
	assert.Contains(t, got.Graph.Roots, several.Graph.Roots[2])
}

// TestImgpkgPins: what a Package names by a tag is in a tar of ours with its tag; one that imgpkg wrote does not have
// it, which is told.
func TestImgpkgPins(t *testing.T) {
	t.Parallel()
	m := repository(t)
	b := m.imgpkgBytes(t)
	doc := unpack(t, b)[0].data
	assert.Contains(t, string(doc), `"Labels":{"relocate.pins":"`)
	without := changed(t, b, func(doc []entry) []entry {
		return slices.DeleteFunc(doc, func(e entry) bool { return e.labels()["relocate.pins"] != nil })
	})
	a, err := open(without)
	require.NoError(t, err)
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	var said []string
	for _, f := range plan.Graph.Findings {
		if f.Code == "not-carried" {
			said = append(said, f.Message)
		}
	}
	assert.Contains(t, strings.Join(said, "\n"), "it is not in the archive")
	_, _, err = a.Manifest(t.Context(), mustTag(t, "registry.example/none:1"))
	require.Error(t, err)
}

func mustTag(t testing.TB, s string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(s)
	require.NoError(t, err)
	return tag
}

// TestImgpkgResume goes on from every blob, and from within.
func TestImgpkgResume(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20, 3<<20, 700)
	want := m.imgpkgBytes(t)
	request := tarball.Request{Roots: []string{rootName}, Format: tarball.Imgpkg}
	tar, err := tarball.New(t.Context(), m.plan(t), m, request)
	require.NoError(t, err)
	plan := tar.Plan()
	isLayer := func(b bundle.Blob) bool {
		return bytes.Contains(want, []byte("sha256-"+b.Descriptor.Digest.Hex+".tar.gz\x00"))
	}
	for n := range len(plan.Blobs) {
		path := filepath.Join(memoryDir(t), "a.tar")
		w, err := tar.Create(path, 1)
		require.NoError(t, err)
		put(t, w, 1, plan.Blobs[:n], m)
		require.NoError(t, w.Suspend())
		if n < plan.Small && slices.ContainsFunc(plan.Blobs[n:plan.Small], isLayer) { // without a bundle's layer there is no plan
			assertOnly(t, filepath.Dir(path))
			continue
		}
		for _, other := range []tarball.Request{{Roots: request.Roots}, {Roots: []string{"other"}, Format: tarball.Imgpkg},
			{Roots: request.Roots, Format: tarball.Imgpkg, NoOrigins: true}, {Roots: request.Roots, Format: tarball.Imgpkg, NonDistributable: true}} {
			_, _, err := tarball.Resume(t.Context(), path, other, 1, nil)
			require.ErrorIs(t, err, tarball.ErrCannotResume)
		}
		fetched, err := m.resume(t, path, request)
		require.NoError(t, err)
		assertSame(t, want, path, "after %d blobs", n)
		var left int64
		for _, b := range plan.Blobs[n:] {
			if isLayer(b) {
				left += b.Descriptor.Size
			}
		}
		assert.Equal(t, left, fetched, "after %d blobs", n)
	}
}

// TestImgpkgResumeDamaged: a .part whose manifest.json was changed does not go on; a layer that was changed is
// fetched again.
func TestImgpkgResumeDamaged(t *testing.T) {
	t.Parallel()
	m := repository(t, 1<<20)
	want := m.imgpkgBytes(t)
	request := tarball.Request{Roots: []string{rootName}, Format: tarball.Imgpkg}
	tar, err := tarball.New(t.Context(), m.plan(t), m, request)
	require.NoError(t, err)
	doc := len(unpack(t, want)[0].data) + 512
	for at := 0; at < len(want); at += 1 + rand.IntN(len(want)/60) {
		path := filepath.Join(memoryDir(t), "a.tar")
		w, err := tar.Create(path, 1)
		require.NoError(t, err)
		put(t, w, 1, tar.Plan().Blobs, m)
		require.NoError(t, w.Suspend())
		part := readAll(t, path+".part")
		part[at] ^= 1 << rand.IntN(8)
		require.NoError(t, os.WriteFile(path+".part", part, 0o600))
		_, err = m.resume(t, path, request)
		if err != nil {
			require.ErrorIs(t, err, tarball.ErrCannotResume, "byte %d", at)
			continue
		}
		require.GreaterOrEqual(t, at, doc)
		assertSame(t, want, path, "byte %d was changed", at)
	}
}
