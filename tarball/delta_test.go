package tarball_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
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

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/inventory"
	"relocate/report"
	"relocate/tarball"
	"relocate/testdata/interop"
)

// baseOf is the base that an archive is.
func baseOf(t testing.TB, archive []byte) bundle.Base {
	t.Helper()
	a, err := open(archive)
	require.NoError(t, err)
	base, err := a.Base()
	require.NoError(t, err)
	return base
}

// listing is the base that an inventory of blobs is.
func listing(t testing.TB, blobs ...v1.Descriptor) bundle.Base {
	t.Helper()
	var entries []inventory.Entry
	for _, d := range blobs {
		entries = append(entries, inventory.Entry{Kind: inventory.Blob, Digest: d.Digest, Size: d.Size})
	}
	i, err := inventory.New(slices.Values(entries))
	require.NoError(t, err)
	return i.Base()
}

// delta is a repository, the archive that its destination has, and the archive of the rest: an inventory
// lists two more layers.
func delta(t testing.TB) (m *memory, before, after []byte) {
	t.Helper()
	before = repository(t).bytes(t)
	m = repository(t, 100, 2*4096, 300)
	after = m.bytes(t, baseOf(t, before), listing(t, m.layer(100), m.layer(300), m.layer(1000)))
	return m, before, after
}

// TestDelta: a delta is an archive that can be checked by itself. It has everything but the layers that it
// says it assumes, and says which base has them.
func TestDelta(t *testing.T) {
	t.Parallel()
	m, before, after := delta(t)
	a, err := open(after)
	require.NoError(t, err)
	damage, err := a.Check(t.Context(), 2, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)
	plan, err := a.CheckedPlan(t.Context(), 2, nil)
	require.NoError(t, err)
	full := m.plan(t)
	assert.Equal(t, full.Graph.Nodes, plan.Graph.Nodes)
	assert.Equal(t, full.Blobs[:full.Small], plan.Blobs[:plan.Small], "what the walk reads is carried")
	require.Len(t, plan.Bases, 2)
	assert.Equal(t, "archive "+baseOf(t, before).Digest.String()+" of "+rootName, plan.Bases[0].String())
	assert.Equal(t, bundle.BaseInventory, plan.Bases[1].Kind)

	byBase := map[int][]int64{}
	for _, x := range plan.Assumed {
		byBase[x.Base] = append(byBase[x.Base], x.Size)
	}
	assert.Equal(t, map[int][]int64{0: {0, 1, 511, 512, 513, 70_000, 1000, 2000, 3000}, 1: {100, 300}}, byBase)
	assert.Equal(t, plan.Assumed, a.Assumed())
	var carried []int64
	for _, b := range plan.Blobs[plan.Small:] {
		carried = append(carried, b.Descriptor.Size)
	}
	assert.Equal(t, []int64{2 * 4096}, carried)
	assert.Len(t, after, 1024+512*len(plan.Blobs)+int(documents(t, after))+1024+int(padded(plan)))

	again, err := open(after)
	require.NoError(t, err)
	base, err := again.Base()
	require.NoError(t, err)
	for _, b := range full.Blobs {
		assert.True(t, base.Has(*b.Descriptor), "a destination has all of it, %s", b.Descriptor.Digest)
	}
	assert.False(t, base.Has(m.layer(12345)))
	_, err = a.Blob(t.Context(), name.Repository{}, m.layer(1))
	require.Error(t, err, "it is not in the archive")
}

// documents returns how many bytes the three documents of an archive take.
func documents(t testing.TB, archive []byte) (n int64) {
	t.Helper()
	tr := tar.NewReader(bytes.NewReader(archive))
	for range 3 {
		h, err := tr.Next()
		require.NoError(t, err)
		n += 512 + (h.Size+511)/512*512
	}
	return n
}

// padded returns how many bytes the content of the plan's blobs takes, with padding.
func padded(plan *bundle.Plan) (n int64) {
	for _, b := range plan.Blobs {
		n += (b.Descriptor.Size + 511) / 512 * 512
	}
	return n
}

// TestUselessBase: a base that has nothing changes no byte.
func TestUselessBase(t *testing.T) {
	t.Parallel()
	m := repository(t)
	assert.Equal(t, m.bytes(t), m.bytes(t, listing(t, m.layer(123)), baseOf(t, tiny(t).bytes(t))))
}

// TestDeltaRefused: an inventory must say exactly what is assumed, of which base.
func TestDeltaRefused(t *testing.T) {
	t.Parallel()
	m, _, good := delta(t)
	zeros := "sha256:" + strings.Repeat("0", 64)
	plan := m.plan(t)
	config, layer := plan.Graph.Nodes[1].Blobs[0], plan.Graph.Nodes[0].Blobs[1]
	for name, test := range map[string]struct {
		change func(inv *relocateJSON)
		says   string
	}{
		"nothing changed":       {func(*relocateJSON) {}, ""},
		"one less":              {func(inv *relocateJSON) { inv.Assumed = inv.Assumed[1:] }, "the inventory"},
		"none":                  {func(inv *relocateJSON) { inv.Assumed, inv.Bases = nil, nil }, "the inventory"},
		"no base":               {func(inv *relocateJSON) { inv.Bases = nil }, "the inventory"},
		"in disorder":           {func(inv *relocateJSON) { inv.Assumed[0], inv.Assumed[1] = inv.Assumed[1], inv.Assumed[0] }, "assumed[0]"},
		"twice":                 {func(inv *relocateJSON) { inv.Assumed = append(inv.Assumed, inv.Assumed[0]) }, "the inventory"},
		"nobody needs it":       {func(inv *relocateJSON) { inv.Assumed = append(inv.Assumed, assumed{zeros, 1, 0}) }, "12 assumed, the content 11"},
		"another size":          {func(inv *relocateJSON) { inv.Assumed[1].Size = 2 }, "the inventory"},
		"of an unknown base":    {func(inv *relocateJSON) { inv.Assumed[0].Base = 2 }, "the inventory"},
		"of base -1":            {func(inv *relocateJSON) { inv.Assumed[0].Base = -1 }, "the inventory"},
		"a base without layers": {func(inv *relocateJSON) { inv.Bases = append(inv.Bases, base{"inventory", zeros, nil}) }, "3 bases, the content 2"},
		"a kind of base":        {func(inv *relocateJSON) { inv.Bases[0].Kind = "\x1b[2J" }, "bases[0]"},
		"a base without digest": {func(inv *relocateJSON) { inv.Bases[0].Digest = "sha256:1" }, "bases[0]"},
		"a base of no root":     {func(inv *relocateJSON) { inv.Bases[0].Roots[0].Reference = "Not A Reference" }, "bases[0]"},
		"a config": {func(inv *relocateJSON) {
			inv.Assumed = append(inv.Assumed, assumed{config.Digest.String(), config.Size, 0})
		}, "the inventory"},
		"the layer of a bundle": {func(inv *relocateJSON) {
			inv.Assumed = append([]assumed{{layer.Digest.String(), layer.Size, 0}}, inv.Assumed...)
		}, "the inventory"},
		"what it carries": {func(inv *relocateJSON) {
			last := inv.Blobs[len(inv.Blobs)-1]
			inv.Assumed = append(inv.Assumed, assumed{last.Digest, last.Size, 0})
		}, "the inventory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := open(tamper(t, good, func(inv *relocateJSON, _ *[]member) { test.change(inv) }))
			if err == nil {
				_, err = a.Plan(t.Context(), 2, nil)
			}
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.says)
			require.ErrorIs(t, err, tarball.ErrDamaged)
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
}

// TestImgpkgHasNoDelta: imgpkg's format cannot say what is left out, and has no seal to be named by.
func TestImgpkgHasNoDelta(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	_, err := tarball.New(t.Context(), m.plan(t, listing(t, m.layer(600))), m, tarball.Request{Format: tarball.Imgpkg})
	require.ErrorIs(t, err, tarball.ErrNoDelta)

	draft, err := tarball.New(t.Context(), m.plan(t), m, tarball.Request{Format: tarball.Imgpkg})
	require.NoError(t, err)
	var b bytes.Buffer
	w, err := draft.Stream(&b)
	require.NoError(t, err)
	for _, blob := range draft.StreamPlan().Blobs {
		require.NoError(t, w.PutBlob(t.Context(), *blob.Descriptor, m.opener(*blob.Descriptor)))
	}
	require.NoError(t, w.Commit())
	a, err := open(b.Bytes())
	require.NoError(t, err)
	_, err = a.Base()
	require.ErrorIs(t, err, tarball.ErrNoSeal)
}

// TestHeadPlan: of an archive of 20 GiB, only the small section, what is before it and the end are read and checked.
func TestHeadPlan(t *testing.T) {
	t.Parallel()
	m := newMemory()
	large := v1.Descriptor{MediaType: types.OCILayer, Size: 20 << 30, Digest: digest.Of([]byte("large"))}
	image := m.image(t, m.layer(600), large)
	m.bundle(t, rootName, nil, "registry.example/app@"+image.Digest.String())
	plan := m.plan(t)
	var begun bytes.Buffer
	draft, err := tarball.New(t.Context(), plan, m, tarball.Request{})
	require.NoError(t, err)
	w, err := draft.Stream(&begun)
	require.NoError(t, err)
	size := int64(0) // of the small section
	for _, b := range plan.Blobs[:plan.Small] {
		require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, m.opener(*b.Descriptor)))
		size += 512 + (b.Descriptor.Size+511)/512*512
	}
	require.NoError(t, w.PutBlob(t.Context(), m.layer(600), m.opener(m.layer(600))))
	require.Error(t, w.PutBlob(t.Context(), large, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, 4<<20))), nil // which pushes out what is before it
	}))
	head := begun.Bytes()
	last := plan.Blobs[plan.Small-1].Descriptor.Size
	head = head[:documents(t, head)+size-(-last&511)] // its padding belongs to what follows
	tail, err := interop.ArchiveEnd(w.Seal().String())
	require.NoError(t, err)
	file := &interop.Ends{Head: head, Tail: tail, Size: draft.Size()}
	a, err := tarball.NewArchive(file, draft.Size())
	require.NoError(t, err)
	got, err := a.HeadPlan(t.Context(), 2, nil)
	require.NoError(t, err)
	assert.Equal(t, plan.Blobs, got.Blobs)
	_, err = a.CheckedPlan(t.Context(), 2, nil)
	require.Error(t, err, "it looks further")

	for at := 0; at < len(head)+len(tail); at += 97 {
		both := slices.Concat(head, tail)
		both[at] ^= 1
		a, err := tarball.NewArchive(&interop.Ends{Head: both[:len(head)], Tail: both[len(head):], Size: draft.Size()}, draft.Size())
		if err == nil {
			_, err = a.HeadPlan(t.Context(), 2, nil)
		}
		require.Error(t, err, "byte %d", at)
	}
}

// TestGoldenLists pins the format of what the smallest archive does not have: every list of
// relocate.json. It is frozen: an archive that an older relocate wrote must stay readable, and the same
// plan must give the same bytes.
func TestGoldenLists(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "lists.tar")
	m := newMemory()
	foreign := m.blob(types.DockerForeignLayer, []byte("not to be distributed"))
	image := m.image(t, m.layer(600), m.layer(601), m.layer(602), foreign)
	const app = "registry.example/app"
	m.tags[app+":1.0"] = image.Digest
	m.document(t, types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": m.blob("application/vnd.oci.empty.v1+json", []byte("{}")),
		"layers": []v1.Descriptor{m.blob("text/plain", []byte("signature"))}}, app+":sha256-"+image.Digest.Hex+".sig")
	m.tags["refused"] = digest.Of(nil)
	root, err := name.NewDigest(app + "@" + image.Digest.String())
	require.NoError(t, err)
	tag, err := name.NewTag(app + ":1.0")
	require.NoError(t, err)
	g, err := bundle.Walk(t.Context(), m, []name.Reference{root, tag}, bundle.WalkOptions{Discovery: m})
	require.NoError(t, err)
	g.Listed = &carvel.ImagesLock{Images: []carvel.LockEntry{{Image: root, Annotations: map[string]string{"kbld.carvel.dev/id": "app"}}}}
	bases := []bundle.Base{baseOf(t, tinyArchive(t)), listing(t, m.layer(601))}
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{Bases: bases})
	require.NoError(t, err)
	for what, n := range map[string]int{"pins": len(g.Pins), "attachments": len(g.Attachments), "unseen": len(g.Unseen), "omitted": len(plan.Omitted),
		"bases": len(plan.Bases), "assumed": len(plan.Assumed), "lock": len(g.Listed.Images)} {
		require.NotZero(t, n, what)
	}
	path := m.writePlan(t, plan)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the archive is not the one of %s", golden)
	a, err := tarball.Open(golden)
	require.NoError(t, err)
	defer a.Close()
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)
	read, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Equal(t, plan.Graph.Nodes, read.Graph.Nodes)
	assert.Equal(t, plan.Assumed, read.Assumed)
	assert.Equal(t, plan.Omitted, read.Omitted)
	assert.Equal(t, g.Listed, read.Graph.Listed)
	assert.Equal(t, []report.Omitted{{Digest: foreign.Digest, Size: foreign.Size, MediaType: string(foreign.MediaType), Image: app + ":1.0", Reason: "non-distributable"}}, read.Omitted)
}

// tinyArchive is the golden archive of TestGolden.
func tinyArchive(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "tiny.tar"))
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

// TestResumeDelta: a delta that was cut off continues to the same bytes, and for the same bases only.
func TestResumeDelta(t *testing.T) {
	t.Parallel()
	m, before, want := delta(t)
	plan := m.plan(t, baseOf(t, before), listing(t, m.layer(100), m.layer(300)))
	path := filepath.Join(memoryDir(t), "a.tar")
	request := tarball.Request{Roots: []string{rootName}, Bases: []string{plan.Bases[0].Digest.String(), plan.Bases[1].Digest.String()}}
	w, err := tarball.Create(path, plan, request, 1)
	require.NoError(t, err)
	put(t, w, 1, plan.Blobs[:plan.Small], m)
	require.NoError(t, w.Suspend())

	for _, bases := range [][]string{nil, request.Bases[:1], {request.Bases[1], request.Bases[0]}} {
		_, _, err := tarball.Resume(t.Context(), path, tarball.Request{Roots: request.Roots, Bases: bases}, 1, nil)
		require.ErrorIs(t, err, tarball.ErrCannotResume)
		require.ErrorContains(t, err, "--base or --have")
	}
	fetched, err := m.resume(t, path, request)
	require.NoError(t, err)
	assert.Equal(t, int64(2*4096), fetched)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	a, err := open(got)
	require.NoError(t, err)
	wanted, err := open(want)
	require.NoError(t, err)
	assert.Equal(t, wanted.Assumed(), a.Assumed())
	assert.Equal(t, m.bytes(t, plan.Bases[0], plan.Bases[1]), got)
}
