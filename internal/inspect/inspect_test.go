package inspect_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/inspect"
	"relocate/testdata/interop"
)

// TestSubject: a repository that imgpkg pushed is read alone, or with all that it names.
func TestSubject(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)
	ref, err := name.ParseReference(interop.Repository + ":1.0.0")
	require.NoError(t, err)

	alone, err := inspect.Read(t.Context(), src, ref, nil)
	require.NoError(t, err)
	r := alone.Report()
	assert.Nil(t, r.Contents)
	assert.Empty(t, r.Images)
	require.Len(t, r.Packages, 2)
	assert.Equal(t, "alpha.example.test", r.Packages[0].Name)
	assert.Equal(t, []string{"2.0.0", "1.0.0"}, r.Packages[0].Versions)

	read := make(chan struct{}, 100)
	whole, err := inspect.Walk(t.Context(), src, ref, 2, nil, func() { read <- struct{}{} })
	require.NoError(t, err)
	r = whole.Report()
	assert.Equal(t, 3, r.Contents.PackageVersions)
	assert.Len(t, r.Images, r.Contents.Manifests)
	assert.Len(t, read, r.Contents.Manifests)
}

// TestFind: the newest version is found by the name alone; what is missing is a MissingError.
func TestFind(t *testing.T) {
	t.Parallel()
	src, err := interop.Source()
	require.NoError(t, err)
	ref, err := name.ParseReference(interop.Repository + ":1.0.0")
	require.NoError(t, err)
	s, err := inspect.Read(t.Context(), src, ref, nil)
	require.NoError(t, err)

	p, err := s.Find("alpha.example.test")
	require.NoError(t, err)
	assert.Equal(t, "2.0.0", p.Version)
	digest, err := s.FetchedBundle("alpha.example.test/1.0.0")
	require.NoError(t, err)
	assert.Equal(t, interop.Bundles["alpha-1.0.0"], digest.String())
	at, err := s.Locate(digest)
	require.NoError(t, err)
	assert.Equal(t, interop.Repository+"@"+digest.String(), at.Name(), "beside the root")

	v, err := s.Package(t.Context(), "alpha.example.test/1.0.0")
	require.NoError(t, err)
	require.Len(t, v.Package.Fetches, 1)
	assert.Contains(t, v.Package.Fetches[0], digest.String())

	for _, which := range []string{"none", "alpha.example.test/3.0.0"} {
		_, err := s.Package(t.Context(), which)
		assert.ErrorAs(t, err, new(inspect.MissingError), which)
	}
	other, err := name.ParseReference(interop.Repository + ":2.0.0")
	require.NoError(t, err)
	_, err = s.Digest(other)
	assert.ErrorAs(t, err, new(inspect.MissingError))
}
