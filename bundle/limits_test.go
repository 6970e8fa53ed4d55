package bundle_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
	"relocate/testdata/interop"
)

// A lock and Packages together may name so many images, which is known before any of them is looked for.
func TestManyImages(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	root := repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(repo.PutPlain(`{}`)),
		"packages/a.yml": packageYAML("a", "1", "&a {image: {url: reg.test/gone}}"+strings.Repeat(", *a", 49_999))})
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	require.ErrorIs(t, err, oci.ErrMalformed)
	assert.ErrorContains(t, err, "malformed: names 50001 images, more than the limit of 50000")
	assert.Len(t, src.Calls(), 1, "nothing was looked for")
}

// indexOf returns an index of n children that do not exist.
func indexOf(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"schemaVersion":2,"manifests":[`)
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"size":1,"digest":"%s"}`, digest.Of(fmt.Append(nil, i)))
	}
	return []byte(b.String() + "]}")
}

// Of very many that are missing, the first are named and the others counted.
func TestManyMissing(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	index := repo.Ref(repo.PutManifest(types.OCIImageIndex, indexOf(1_500)))
	_, err := bundle.Walk(t.Context(), &src, refs(bundleOf(repo, index)), bundle.WalkOptions{Jobs: 4})
	require.ErrorIs(t, err, fs.ErrNotExist)
	missing, more := bundle.Missing(err)
	assert.Len(t, missing, 1000)
	assert.Equal(t, 500, more)
	assert.ErrorContains(t, err, "\nand 500 more are missing")
	missing, more = bundle.Missing(missing[0])
	assert.Len(t, missing, 1)
	assert.Zero(t, more)
	missing, more = bundle.Missing(nil)
	assert.Nil(t, missing)
	assert.Zero(t, more)
}
