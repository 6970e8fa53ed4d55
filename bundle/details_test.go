package bundle_test

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
	"relocate/testdata/interop"
)

const metadataYAML = `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: PackageMetadata
metadata: {name: a.corp.com}
spec: {displayName: A, shortDescription: short, longDescription: long, providerName: Corp, supportDescription: call,
  categories: [x, z], maintainers: [{name: l}, {name: m}]}
`

// repositoryOf returns a registry with a repository bundle that has the files below packages/.
func repositoryOf(t *testing.T, files map[string]string) (*interop.Registry, name.Digest) {
	t.Helper()
	r := &interop.Registry{}
	all := map[string]string{".imgpkg/images.yml": lockHead}
	for p, text := range files {
		all["packages/"+p] = text
	}
	return r, r.Repo("reg.test/repository").PutBundle(all, "1")
}

// node reads the manifest and the config of ref.
func node(t *testing.T, src bundle.Source, ref name.Digest) *bundle.Node {
	t.Helper()
	n, err := bundle.ReadNode(t.Context(), src, ref)
	require.NoError(t, err)
	return n
}

func all(string) bool { return true }

func TestDetails(t *testing.T) {
	t.Parallel()
	more := "\n  releasedAt: 2024-01-02T03:04:05Z\n  releaseNotes: notes\n  licenses: [l]\n  capacityRequirementsDescription: much\n" +
		"  valuesSchema: {openAPIv3: {properties: {on: {default: &d [1], description: d}, b: {default: *d}}}}\n"
	r, ref := repositoryOf(t, map[string]string{
		"a.yml":       strings.TrimSuffix(packageYAML("a.corp.com", "1.0.0"), "\n") + more + "---\n" + packageYAML("a.corp.com", "2.0.0"),
		"again.yml":   packageYAML("a.corp.com", "1.0.0"),
		"broken.yml":  "a: [",
		"b/meta.yml":  metadataYAML,
		"ignored.txt": metadataYAML,
		"old.yml":     "apiVersion: package.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: old.corp.com.1}\nspec: {publicName: old.corp.com, version: 1.0.0, description: d}\n",
	})
	d, err := node(t, r, ref).Details(t.Context(), r, nil, "a.corp.com", "1.0.0")
	require.NoError(t, err)
	assert.Equal(t, &carvel.MetadataDetails{DisplayName: "A", Categories: []string{"x", "z"}, ShortDescription: "short", LongDescription: "long",
		ProviderName: "Corp", Maintainers: []string{"l", "m"}, SupportDescription: "call"}, d.Metadata)
	assert.JSONEq(t, `{"properties": {"true": {"default": [1], "description": "d"}, "b": {"default": [1]}}}`, string(d.Package.ValuesSchema))
	assert.JSONEq(t, `{"fetch": []}`, string(d.Package.Template))
	d.Package.ValuesSchema, d.Package.Template = nil, nil
	assert.Equal(t, &carvel.PackageDetails{Version: "1.0.0", ReleasedAt: "2024-01-02T03:04:05Z", CapacityRequirements: "much", ReleaseNotes: "notes", Licenses: []string{"l"}}, d.Package)

	for which, want := range map[[2]string][2]bool{ // metadata, package
		{"a.corp.com", ""}: {true, false}, {"a.corp.com", "2.0.0"}: {true, true}, {"a.corp.com", "3.0.0"}: {true, false},
		{"b.corp.com", "1.0.0"}: {false, false}, {"old.corp.com", "1.0.0"}: {true, true}, {"old.corp.com", "2.0.0"}: {false, false},
	} {
		d, err := node(t, r, ref).Details(t.Context(), r, nil, which[0], which[1])
		require.NoError(t, err)
		assert.Equal(t, want, [2]bool{d.Metadata != nil, d.Package != nil}, which)
	}
}

// TestDetailsRefused: what has another form than kapp-controller's, and what is no bundle.
func TestDetailsRefused(t *testing.T) {
	t.Parallel()
	r, ref := repositoryOf(t, map[string]string{"a.yml": "# first\n---\n" + strings.Replace(packageYAML("a.corp.com", "1.0.0"), "spec:\n", "spec:\n  licenses: 3\n", 1)})
	_, err := node(t, r, ref).Details(t.Context(), r, nil, "a.corp.com", "1.0.0")
	require.ErrorContains(t, err, `"packages/a.yml": line 2: Package "a.corp.com.1.0.0": `)
	require.NotErrorIs(t, err, oci.ErrMalformed)
	image := putArtifact(r.Repo("reg.test/image"), "{}")
	_, err = node(t, r, image).Details(t.Context(), r, nil, "a.corp.com", "")
	require.ErrorIs(t, err, bundle.ErrNotBundle)
	err = node(t, r, image).Files(t.Context(), r, all, func(bundle.File, io.Reader) error { return nil })
	require.ErrorIs(t, err, bundle.ErrNotBundle)
	_, err = bundle.ReadBundle(t.Context(), r, image, nil)
	require.ErrorIs(t, err, bundle.ErrNotBundle)
	_, err = bundle.ReadBundle(t.Context(), r, tagRef(t, "reg.test/repository:2"), nil)
	require.ErrorContains(t, err, "find reg.test/repository:2")
	require.NotEmpty(t, missingIn(err))
}

// TestReadBundle: the bundle alone, by tag and by digest, though nothing that it names is there.
func TestReadBundle(t *testing.T) {
	t.Parallel()
	r := &interop.Registry{}
	gone := digestRef(t, "reg.test/gone@sha256:"+strings.Repeat("0", 64))
	ref := r.Repo("reg.test/repository").PutBundle(map[string]string{
		".imgpkg/images.yml": lock(gone),
		"packages/a.yml":     packageYAML("a.corp.com", "1.0.0", "{imgpkgBundle: {image: "+gone.Name()+"}}") + "---\n" + packageYAML("a.corp.com", "1.10.0") + "---\n" + packageYAML("a.corp.com", "1.9.0") + "---\n" + packageYAML("a.corp.com", "1.9.0"),
	}, "1")
	for _, named := range []name.Reference{tagRef(t, "reg.test/repository:1"), ref} {
		g, err := bundle.ReadBundle(t.Context(), r, named, nil)
		require.NoError(t, err)
		assert.Equal(t, []bundle.Root{{Reference: named, Digest: hash(ref)}}, g.Roots)
		require.Len(t, g.Nodes, 1)
		assert.Empty(t, g.Nodes[0].Children)
		assert.True(t, g.Nodes[0].HasPackages)
		assert.Equal(t, hash(gone), g.Packages[0].Fetches[0].Digest)
		var versions []string
		for _, p := range g.Versions("a.corp.com") {
			versions = append(versions, p.Version)
		}
		assert.Equal(t, []string{"1.10.0", "1.9.0", "1.0.0"}, versions)
		assert.Empty(t, g.Versions("b.corp.com"))
	}
}

// TestFiles: an error of the visitor ends the reading, and damage of the layer counts more than what
// was made of it.
func TestFiles(t *testing.T) {
	t.Parallel()
	r, ref := repositoryOf(t, map[string]string{"a.yml": "a: 1\n"})
	var paths []string
	err := node(t, r, ref).Files(t.Context(), r, all, func(f bundle.File, content io.Reader) error {
		paths = append(paths, f.Path)
		_, err := io.Copy(io.Discard, content)
		return err
	})
	require.NoError(t, err)
	assert.Contains(t, paths, "packages/a.yml")
	assert.Contains(t, paths, ".imgpkg/images.yml")
	err = node(t, r, ref).Files(t.Context(), r, all, func(bundle.File, io.Reader) error { return io.ErrClosedPipe })
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.NotErrorIs(t, err, oci.ErrMalformed)
}
