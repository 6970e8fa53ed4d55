package bundle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
	"relocate/testdata/interop"
)

// One digest must not be two things to two readers (CVE-2021-41190).
func TestMalformedManifests(t *testing.T) {
	t.Parallel()
	config := `"config":{"mediaType":"x","size":2,"digest":"sha256:` + hexA + `"}`
	tests := []struct {
		name      string
		mediaType types.MediaType
		text      string
		err       string
	}{
		{"index with config", types.OCIImageIndex, `{"schemaVersion":2,"manifests":[],` + config + `}`, "is an index with config or layers"},
		{"index with layers", types.DockerManifestList, `{"schemaVersion":2,"manifests":[],"layers":[]}`, "is an index with config or layers"},
		{"image with manifests", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[],"manifests":[],` + config + `}`, "is an image manifest with manifests"},
		{"image without config", types.DockerManifestSchema2, `{"schemaVersion":2,"layers":[]}`, "is an image manifest without config"},
		{"another media type inside", types.OCIManifestSchema1,
			`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",` + config + `}`,
			`is served as "application/vnd.oci.image.manifest.v1+json" but says that it is "application/vnd.oci.image.index.v1+json"`},
		{"Docker schema 1", types.DockerManifestSchema1, `{"schemaVersion":1}`, "Docker schema 1 cannot be copied"},
		{"Docker schema 1, signed", types.DockerManifestSchema1Signed, `{"schemaVersion":1}`, "push the image again in a newer format"},
		{"schemaVersion", types.OCIManifestSchema1, `{"schemaVersion":1,` + config + `}`, "has schemaVersion 1, want 2"},
		{"no manifest type", "application/json", `{"schemaVersion":2,` + config + `}`, `has the media type "application/json", which is neither`},
		{"no media type", "", `{"schemaVersion":2,` + config + `}`, `has the media type "", which is neither`},
		{"not JSON", types.OCIManifestSchema1, `<html>`, "is no manifest"},
		{"key twice", types.OCIManifestSchema1, `{"schemaVersion":2,` + config + `,` + config + `}`, `is no manifest: has the key "config" twice`},
		{"key twice, in another case", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[],"LAYERS":[],` + config + `}`, `has the key "LAYERS" twice`},
		{"key twice, with a long s", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[],"layerſ":[],` + config + `}`, `has the key "layerſ" twice`},
		{"key twice, below", types.OCIManifestSchema1, `{"schemaVersion":2,` + config[:len(config)-1] + `,"size":3}}`, `has the key "size" twice`},
		{"annotation twice", types.OCIManifestSchema1, `{"schemaVersion":2,"annotations":{"a":"1","a":"2"},` + config + `}`, `has the key "a" twice`},
		{"deep", types.OCIManifestSchema1, `{"schemaVersion":2,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,` + config + `}`, "is nested more than 64 deep"},
		{"more than one value", types.OCIManifestSchema1, `{"schemaVersion":2,` + config + `} {}`, "has something after the end of its JSON"},
		{"not UTF-8", types.OCIManifestSchema1, `{"schemaVersion":2,"x":"` + "\xff" + `",` + config + `}`, "is no manifest: is not UTF-8"},
		{"many children", types.OCIImageIndex, `{"schemaVersion":2,"manifests":[{}` + strings.Repeat(",{}", 50_000) + `]}`, "has a list of more than 50000"},
		{"cut short", types.OCIManifestSchema1, `{"schemaVersion":2,`, "is no manifest"},
		{"long media type", types.OCIManifestSchema1, `{"schemaVersion":2,"mediaType":"` + strings.Repeat("a", 200_000) + `",` + config + `}`, `but says that it is "aaa`},
		{"long media type of a layer", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[{"size":1,"digest":"sha256:` + hexA + `","mediaType":"` +
			strings.Repeat("a", 256) + `"}],` + config + `}`, `and the media type "aaa`},
		{"long digest", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[{"digest":"` + strings.Repeat("a", 200_000) + `"}],` + config + `}`, "is no manifest"},
		{"layer without digest", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[{"size":1}],` + config + `}`, "has a descriptor with the digest"},
		{"negative size", types.OCIImageIndex, `{"schemaVersion":2,"manifests":[{"size":-1,"digest":"sha256:` + hexA + `"}]}`, "the size -1"},
		{"sha512", types.OCIImageIndex, `{"schemaVersion":2,"manifests":[{"size":1,"digest":"sha512:` + hexA + hexB + `"}]}`, "not supported: names sha512:"},
		{"sha512 layer", types.OCIManifestSchema1, `{"schemaVersion":2,"layers":[{"size":1,"digest":"sha512:` + hexA + hexB + `"}],` + config + `}`, "only sha256 digests are supported"},
		{"bad digest", types.OCIImageIndex, `{"schemaVersion":2,"manifests":[{"size":1,"digest":"sha256:../../etc"}]}`, "is no manifest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			image := repo.Ref(repo.PutManifest(tt.mediaType, []byte(tt.text)))
			_, err := bundle.Walk(t.Context(), &src, refs(bundleOf(repo, image)), bundle.WalkOptions{})
			require.ErrorContains(t, err, tt.err)
			require.ErrorIs(t, err, oci.ErrMalformed)
			assert.ErrorContains(t, err, "read "+image.Name())
			assert.Less(t, len(err.Error()), 1200)
			assert.False(t, errors.As(err, new(carvel.ImgpkgError)))
			unsupported := strings.Contains(tt.name, "sha512") || strings.Contains(tt.name, "schema 1")
			assert.Equal(t, unsupported, errors.Is(err, oci.ErrUnsupported))
			assert.Equal(t, !unsupported, strings.Contains(err.Error(), "malformed"))
		})
	}
}

// Annotations are names of their authors, who may tell cases apart; keys of other objects may come again.
func TestManifestsWithSimilarKeys(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	config := repo.PutBlob([]byte(`{}`))
	image := repo.Ref(repo.PutManifest(types.OCIManifestSchema1, fmt.Appendf(nil, `{"schemaVersion":2,"annotations":{"a":"1","A":"2"},"layers":[],
		"config":{"mediaType":"x","size":2,"digest":"%s","annotations":{"size":"1"}}}`+"\n", config.Digest)))
	mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, image))
}

// A graph keeps of a descriptor what it needs: not what an author may put there in any amount.
func TestGraphHoldsNoDocuments(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo("reg.test/repo")
	large := func(d v1.Descriptor) v1.Descriptor {
		d.Data, d.URLs, d.Annotations = []byte("data"), []string{"https://a.test"}, map[string]string{"a": "b"}
		d.ArtifactType, d.Platform = "x/y", &v1.Platform{OS: "linux"}
		return d
	}
	image := repo.PutPlain(`{}`, large(repo.PutBlob([]byte("layer"))))
	child := repo.PutJSON(types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, Config: large(repo.PutBlob([]byte(`{}`))), Layers: []v1.Descriptor{}})
	index := repo.PutJSON(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{large(repo.Describe(child))}})
	for _, n := range mustWalk(t, &src, bundle.WalkOptions{}, bundleOf(repo, image, index)).Nodes {
		for _, d := range append(n.Blobs, n.Descriptor) {
			assert.Equal(t, v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, d, n.Name())
		}
	}
}

// What an index says of a child must hold, also when something else led to the child first.
func TestIndexMustDescribeItsChildren(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*v1.Descriptor)
		ok     bool
	}{
		{"right", func(*v1.Descriptor) {}, true},
		{"size", func(d *v1.Descriptor) { d.Size++ }, false},
		{"media type", func(d *v1.Descriptor) { d.MediaType = types.DockerManifestSchema2 }, false},
		{"no media type", func(d *v1.Descriptor) { d.MediaType = "" }, false},
	}
	for _, tt := range tests {
		for _, lockedToo := range []bool{false, true} {
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			image := repo.PutPlain(`{}`)
			d := repo.Describe(image)
			tt.change(&d)
			index := repo.PutJSON(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{d}})
			root := bundleOf(repo, index)
			if lockedToo {
				root = bundleOf(repo, image, index)
			}
			_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
			if tt.ok {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, oci.ErrMalformed, "%s, %t", tt.name, lockedToo)
			assert.ErrorContains(t, err, "but "+index.Name()+" says", tt.name)
		}
	}
}
