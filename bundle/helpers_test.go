package bundle_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/testdata/interop"
)

const (
	bundleConfig = `{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`
	lockHead     = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"
)

// lock returns an ImagesLock of refs, each of which has itself as kbld's id.
func lock(refs ...name.Digest) string {
	var b strings.Builder
	b.WriteString(lockHead + "images:\n")
	for _, ref := range refs {
		b.WriteString("- image: " + ref.Name() + "\n  annotations:\n    kbld.carvel.dev/id: " + ref.Name() + "\n")
	}
	return b.String()
}

// bundleOf keeps a bundle that locks refs.
func bundleOf(repo *interop.Repo, refs ...name.Digest) name.Digest {
	return repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(refs...)})
}

// packageYAML returns a Package whose steps of fetch are given as flow-style YAML.
func packageYAML(refName, version string, fetches ...string) string {
	return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata:\n  name: " + refName + "." + version +
		"\nspec:\n  refName: " + refName + "\n  version: " + version +
		"\n  template:\n    spec:\n      fetch: [" + strings.Join(fetches, ", ") + "]\n"
}

func mustWalk(t *testing.T, src bundle.Source, opt bundle.WalkOptions, roots ...name.Reference) *bundle.Graph {
	t.Helper()
	g, err := bundle.Walk(t.Context(), src, roots, opt)
	require.NoError(t, err)
	return g
}

// hash returns the digest of a reference.
func hash(ref name.Digest) v1.Hash { return interop.Hash(ref) }

func hashes(refs ...name.Digest) []v1.Hash {
	var list []v1.Hash
	for _, ref := range refs {
		list = append(list, hash(ref))
	}
	return list
}

func digestRef(t *testing.T, s string) name.Digest {
	t.Helper()
	ref, err := name.NewDigest(s)
	require.NoError(t, err)
	return ref
}

func refs(list ...name.Digest) []name.Reference {
	var out []name.Reference
	for _, ref := range list {
		out = append(out, ref)
	}
	return out
}

func tagRef(t *testing.T, s string) name.Tag {
	t.Helper()
	ref, err := name.NewTag(s)
	require.NoError(t, err)
	return ref
}

// putArtifact keeps an image with a config that is no image's.
func putArtifact(repo *interop.Repo, config string, layers ...v1.Descriptor) name.Digest {
	c := repo.PutBlob([]byte(config))
	c.MediaType = "application/vnd.cncf.helm.config.v1+json"
	return repo.PutJSON(types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, Config: c, Layers: layers})
}

// missingIn returns the missing images that err names.
func missingIn(err error) []*bundle.MissingError {
	missing, _ := bundle.Missing(err)
	return missing
}
