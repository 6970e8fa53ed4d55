package tarball_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/tarball"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	m := repository(t)
	plan, path := m.plan(t), m.write(t)
	a, err := tarball.Open(path)
	require.NoError(t, err)
	defer a.Close()

	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)

	got, err := a.Plan(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Equal(t, plan.Graph.Roots, got.Graph.Roots)
	assert.Equal(t, plan.Graph.Pins, got.Graph.Pins)
	assert.Equal(t, plan.Graph.Packages, got.Graph.Packages)
	assert.Equal(t, plan.Graph.Findings, got.Graph.Findings)
	assert.Equal(t, plan.Graph.Nodes, got.Graph.Nodes)
	assert.Equal(t, plan.Omitted, got.Omitted)
	assert.Equal(t, plan.Small, got.Small)
	assert.Equal(t, plan.Blobs, got.Blobs)
	require.Len(t, plan.Omitted, 1, "the sample has a foreign layer")
	require.Len(t, plan.Graph.Pins, 2, "the sample has two tags")

	for _, b := range plan.Blobs {
		want := m.content(b.Descriptor.Digest)
		r, err := a.Blob(t.Context(), b.Node.From, *b.Descriptor)
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		assert.True(t, bytes.Equal(want, content), "blob %s", b.Descriptor.Digest)
		desc, raw, err := a.Manifest(t.Context(), b.Node.From.Digest(b.Descriptor.Digest.String()))
		if !b.IsManifest {
			require.ErrorIs(t, err, fs.ErrNotExist, "a layer is no manifest")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, *b.Descriptor, desc)
		assert.True(t, bytes.Equal(want, raw))
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	a, err := open(tiny(t).bytes(t))
	require.NoError(t, err)
	for _, ref := range []string{"registry.example/repo:2.0", "registry.example/repo@" + digest.Of([]byte("another")).String()} {
		parsed, err := name.ParseReference(ref)
		require.NoError(t, err)
		_, _, err = a.Manifest(t.Context(), parsed)
		require.ErrorIs(t, err, fs.ErrNotExist, ref)
	}
	_, err = a.Blob(t.Context(), name.Repository{}, describe("", []byte("another")))
	require.ErrorIs(t, err, fs.ErrNotExist)
	d := describe("", noise(600))
	d.Size++
	_, err = a.Blob(t.Context(), name.Repository{}, d)
	require.ErrorIs(t, err, digest.ErrMismatch, "a size that the archive does not have")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.CheckedPlan(stopped, 1, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = a.Check(stopped, 1, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// TestProgress: every blob and every byte is told, of what is damaged, too.
func TestProgress(t *testing.T) {
	t.Parallel()
	m := repository(t, 3<<20)
	b := m.bytes(t)
	for _, damaged := range []bool{false, true} {
		if damaged {
			b[len(b)/2] ^= 1
		}
		a, err := open(b)
		require.NoError(t, err)
		blobs, sum := 0, int64(0)
		damage, err := a.Check(t.Context(), 1, func(n int, bytes int64) { blobs += n; sum += bytes })
		require.NoError(t, err)
		assert.Equal(t, damaged, len(damage) > 0)
		assert.Equal(t, len(m.plan(t).Blobs), blobs)
		assert.Equal(t, m.plan(t).Size(), sum)
	}
}

// TestArchiveTar: Go's reader and writer of tar see what doc.go says, to the byte.
func TestArchiveTar(t *testing.T) {
	t.Parallel()
	m := repository(t)
	b := m.bytes(t)
	members := unpack(t, b)
	names := []string{"oci-layout", "index.json", "relocate.json"}
	for _, blob := range m.plan(t).Blobs {
		names = append(names, "blobs/sha256/"+blob.Descriptor.Digest.Hex)
	}
	names = append(names, "seal")
	require.Len(t, members, len(names))
	for i, got := range members {
		assert.Equal(t, names[i], got.Name)
		if d, ok := strings.CutPrefix(got.Name, "blobs/sha256/"); ok {
			assert.Equal(t, d, digest.Of(got.data).Hex)
		}
	}
	assert.Equal(t, `{"imageLayoutVersion":"1.0.0"}`, string(members[0].data))
	assert.True(t, bytes.Equal(b, pack(t, members)), "archive/tar writes the same bytes")
	assert.True(t, bytes.Equal(b, tamper(t, b, func(*relocateJSON, *[]member) {})), "so do documents and seal, written from doc.go's words")
}

func TestGNUTar(t *testing.T) {
	t.Parallel()
	gnutar(t)
	m := repository(t)
	path := m.write(t)
	out, err := exec.CommandContext(t.Context(), "tar", "--numeric-owner", "--utc", "-tvf", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	blobs := m.plan(t).Blobs
	require.Len(t, lines, len(blobs)+4)
	for i, b := range blobs {
		assert.Equal(t, []string{"-rw-r--r--", "0/0", strconv.FormatInt(b.Descriptor.Size, 10), "1970-01-01", "00:00",
			"blobs/sha256/" + b.Descriptor.Digest.Hex}, strings.Fields(lines[i+3]))
	}
	dir := t.TempDir()
	out, err = exec.CommandContext(t.Context(), "tar", "-xf", path, "-C", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, b := range blobs {
		got, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", b.Descriptor.Digest.Hex))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(m.content(b.Descriptor.Digest), got))
	}
}

// gnutar skips a test where tar is not GNU's.
func gnutar(t testing.TB) {
	t.Helper()
	out, err := exec.Command("tar", "--version").Output()
	if err != nil || !strings.Contains(string(out), "GNU tar") {
		t.Skip("GNU tar is not here")
	}
}

// TestImageLayout reads an archive as the OCI image layout that it is.
func TestImageLayout(t *testing.T) {
	t.Parallel()
	m := repository(t)
	dir := t.TempDir()
	for _, member := range unpack(t, m.bytes(t)) {
		path := filepath.Join(dir, member.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, member.data, 0o600))
	}
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	list, err := index.IndexManifest()
	require.NoError(t, err)
	var named []string
	for _, d := range list.Manifests {
		named = append(named, d.Annotations["org.opencontainers.image.ref.name"])
		var found interface{ RawManifest() ([]byte, error) }
		if d.MediaType.IsIndex() {
			found, err = index.ImageIndex(d.Digest)
		} else {
			found, err = index.Image(d.Digest)
		}
		require.NoError(t, err)
		raw, err := found.RawManifest()
		require.NoError(t, err)
		assert.Equal(t, d.Digest, digest.Of(raw))
	}
	var want []string
	for _, n := range m.plan(t).Graph.Nodes {
		want = append(want, n.References...)
		if !n.IsChild && len(n.References) == 0 {
			want = append(want, n.Name())
		}
	}
	assert.Equal(t, want, named, "roots first, then in graph order; no child of an index")
	assert.Equal(t, rootName, named[0])
}

// TestSameBytes: order and concurrency of PutBlob leave no trace, and the size is known beforehand.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20 // of the writer's buffer, in which the header, too, has 512 bytes
	m := repository(t, mib-1025, mib-1024, mib-1023, mib-513, mib-512, mib-511, mib-1, mib, mib+1, 2*mib-513, 2*mib-512, 2*mib-511)
	plan := m.plan(t)
	draft, err := tarball.New(t.Context(), plan, nil, tarball.Request{})
	require.NoError(t, err)
	size := draft.Size()
	want := pack(t, unpack(t, m.bytes(t)))
	assert.Equal(t, size, int64(len(want)))
	tests := []struct {
		name    string
		jobs    int
		reverse bool
	}{{"in order", 1, false}, {"reverse", 1, true}, {"16 at once", 16, false}, {"16 at once, reverse", 16, true}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			blobs := slices.Clone(plan.Blobs)
			if test.reverse {
				slices.Reverse(blobs)
			}
			path := filepath.Join(t.TempDir(), "a.tar")
			w, err := tarball.Create(path, plan, tarball.Request{}, 1)
			require.NoError(t, err)
			assert.Equal(t, size, w.Size())
			put(t, w, test.jobs, blobs, m)
			require.NoError(t, w.Commit())
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
			a, err := tarball.Open(path)
			require.NoError(t, err)
			defer a.Close()
			assert.Equal(t, size, a.Size())
			assert.Equal(t, w.Seal(), a.Seal())
		})
	}
}

func put(t testing.TB, w *tarball.Writer, jobs int, blobs []bundle.Blob, m *memory) {
	t.Helper()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(jobs)
	for _, b := range blobs {
		g.Go(func() error { return w.PutBlob(ctx, *b.Descriptor, m.opener(*b.Descriptor)) })
	}
	require.NoError(t, g.Wait())
}

// TestPaddingIsZeroAfterALargeBlob: buffers are used again, and padding must be zero all the same.
func TestPaddingIsZeroAfterALargeBlob(t *testing.T) {
	t.Parallel()
	m := newMemory()
	image := m.image(t, m.layer(1<<20), m.layer(100), m.layer(1), m.layer(700))
	m.bundle(t, rootName, nil, "registry.example/app@"+image.Digest.String())
	damage, err := inspect(m.bytes(t))
	require.NoError(t, err)
	assert.Empty(t, damage)
}

func TestReadInParallel(t *testing.T) {
	t.Parallel()
	m := repository(t, 300_000)
	plan, path := m.plan(t), m.write(t)
	a, err := tarball.Open(path)
	require.NoError(t, err)
	defer a.Close()
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			_, err := a.Plan(t.Context(), 4, nil)
			return err
		})
		g.Go(func() error {
			damage, err := a.Check(t.Context(), 4, nil)
			assert.Empty(t, damage)
			return err
		})
		for _, b := range plan.Blobs {
			g.Go(func() error {
				r, err := a.Blob(t.Context(), b.Node.From, *b.Descriptor)
				if err != nil {
					return err
				}
				got, err := io.ReadAll(r)
				assert.True(t, bytes.Equal(m.content(b.Descriptor.Digest), got))
				return err
			})
		}
	}
	require.NoError(t, g.Wait())
}

// TestRoots: several roots, one of them by two names.
func TestRoots(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	second := m.bundle(t, "registry.example/second:1", map[string]string{"second": ""})
	m.tags["registry.example/repo:latest"] = m.tags[rootName]
	var roots []name.Reference
	for _, s := range []string{rootName, "registry.example/second@" + second.Digest.String(), "registry.example/repo:latest"} {
		ref, err := name.ParseReference(s)
		require.NoError(t, err)
		roots = append(roots, ref)
	}
	g, err := bundle.Walk(t.Context(), m, roots, bundle.WalkOptions{})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := tarball.Create(path, plan, tarball.Request{}, 1)
	require.NoError(t, err)
	put(t, w, 2, plan.Blobs, m)
	require.NoError(t, w.Commit())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(b, tamper(t, b, func(*relocateJSON, *[]member) {})))
	a, err := open(b)
	require.NoError(t, err)
	got, err := a.Roots()
	require.NoError(t, err)
	assert.Equal(t, roots, got, "in the order given")
	again, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	assert.Equal(t, plan.Graph.Roots, again.Graph.Roots)
	desc, _, err := a.Manifest(t.Context(), roots[2])
	require.NoError(t, err)
	assert.Equal(t, m.tags[rootName], desc.Digest, "a tag is answered by its pin")
}
