package relocate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/bundle"
	"relocate/tarball"
	"relocate/testdata/interop"
)

// hugeArchive returns the ends of an archive of 20 GiB.
func hugeArchive(t *testing.T, version string) *interop.Ends {
	t.Helper()
	var registry interop.Registry
	repo := registry.Repo("registry.example/corp")
	huge := v1.Descriptor{MediaType: types.OCILayer, Size: 20 << 30, Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 1)}}
	image := repo.PutPlain(`{"os":"linux"}`, huge)
	pkg := repo.PutBundle(map[string]string{".imgpkg/images.yml": lockOf(image)})
	root := repo.PutBundle(map[string]string{
		".imgpkg/images.yml": lockOf(pkg),
		"packages/a.yml": fmt.Sprintf("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: a.corp.com.%[1]s}\n"+
			"spec: {refName: a.corp.com, version: %[1]s, template: {spec: {fetch: [{imgpkgBundle: {image: %[2]s}}]}}}\n", version, pkg.Name()),
	})
	g, err := bundle.Walk(t.Context(), repo, []name.Reference{root}, bundle.WalkOptions{Closed: true})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	draft, err := tarball.New(t.Context(), plan, nil, tarball.Request{})
	require.NoError(t, err)
	var head bytes.Buffer
	w, err := draft.Stream(&head)
	require.NoError(t, err)
	for _, b := range plan.Blobs[:plan.Small] {
		require.NoError(t, w.PutBlob(t.Context(), *b.Descriptor, func(ctx context.Context, from int64) (io.ReadCloser, error) {
			_, content, err := repo.Manifest(ctx, b.Node.From.Digest(b.Descriptor.Digest.String()))
			if b.IsManifest {
				return io.NopCloser(bytes.NewReader(content[from:])), err
			}
			return repo.Blob(ctx, b.Node.From, *b.Descriptor)
		}))
	}
	zeros := io.NopCloser(io.LimitReader(zeroes{}, 1<<20)) // so that the writer does not hold back the head
	err = w.PutBlob(t.Context(), huge, func(context.Context, int64) (io.ReadCloser, error) { return zeros, nil })
	require.ErrorContains(t, err, "it has 1048576 bytes")
	end := bytes.Index(head.Bytes(), []byte("blobs/sha256/"+huge.Digest.Hex))
	tail, err := interop.ArchiveEnd(w.Seal().String())
	require.NoError(t, err)
	return &interop.Ends{Head: head.Bytes()[:end], Tail: tail, Size: draft.Size()}
}

// zeroes are as many zero bytes as are read.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func lockOf(image name.Digest) string {
	return "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: " + image.Name() + "\n"
}

// TestDiffReadsHeads: of archives of 20 GiB only the heads and the ends are read, once.
func TestDiffReadsHeads(t *testing.T) {
	t.Parallel()
	var sides [2]relocate.Side
	for i, version := range []string{"1.0.0", "1.1.0"} {
		ends := hugeArchive(t, version)
		a, err := tarball.NewArchive(ends, ends.Size)
		require.NoError(t, err)
		sides[i] = relocate.Side{Name: version, Archives: []*tarball.Archive{a}}
		defer func() { assert.LessOrEqual(t, ends.Read.Load(), int64(len(ends.Head)+64<<10)) }()
	}
	r, err := relocate.Diff(t.Context(), sides[0], sides[1], relocate.Options{})
	require.NoError(t, err)
	assert.Equal(t, []string{"1.1.0"}, r.Packages[0].Added)
	assert.Greater(t, r.Blobs.Same.Bytes, int64(20<<30))
}
