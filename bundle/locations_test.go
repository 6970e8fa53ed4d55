package bundle_test

import (
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/oci"
	"relocate/testdata/interop"
)

func locationsOf(t *testing.T, entries ...string) *carvel.ImageLocations {
	t.Helper()
	l := &carvel.ImageLocations{}
	for _, s := range entries {
		image, isBundle := strings.CutSuffix(s, " bundle")
		l.Images = append(l.Images, carvel.Location{Image: digestRef(t, image), IsBundle: isBundle})
	}
	return l
}

func TestImageLocations(t *testing.T) {
	t.Parallel()
	a, b := "reg.test/a@sha256:"+hexA, "reg.test/b@sha256:"+hexB
	text, err := locationsOf(t, b+" bundle", a).Encode()
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages:\n- image: "+a+"\n  isBundle: false\n- image: "+b+
		"\n  isBundle: true\nkind: ImageLocations\n", string(text))
	parsed, err := carvel.ParseImageLocations(text)
	require.NoError(t, err)
	assert.Equal(t, locationsOf(t, a, b+" bundle"), parsed)

	text, err = new(carvel.ImageLocations).Encode()
	require.NoError(t, err)
	assert.Equal(t, "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nimages: null\nkind: ImageLocations\n", string(text))
	parsed, err = carvel.ParseImageLocations(text)
	require.NoError(t, err)
	assert.Empty(t, parsed.Images)
}

func TestParseImageLocations(t *testing.T) {
	t.Parallel()
	head := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImageLocations\n"
	tests := []struct{ name, text, err string }{
		{"unknown keys", head + "foo: 1\nimages:\n- image: " + refA + "\n  bar: 2\n", ""},
		{"apiVersion", "apiVersion: v1\nkind: ImageLocations\n", `apiVersion: is "v1"`},
		{"kind", lockHead, `kind: is "ImagesLock"`},
		{"no digest", head + "images:\n- image: nginx\n", `images[0].image: "nginx" has no digest`},
		{"no YAML", "a: [", "ImageLocations: "},
		{"not UTF-8", "\xff", "ImageLocations: is not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := carvel.ParseImageLocations([]byte(tt.text))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, l.Images, 1)
		})
	}
}

func TestImageLocationsEqual(t *testing.T) {
	t.Parallel()
	a, b := "reg.test/a@sha256:"+hexA, "reg.test/b@sha256:"+hexB
	one := locationsOf(t, a, b+" bundle")
	tests := []struct {
		name  string
		other *carvel.ImageLocations
		want  bool
	}{
		{"itself", one, true},
		{"another order", locationsOf(t, b+" bundle", a), true},
		{"another name of the digest", locationsOf(t, "else.test/a@sha256:"+hexA, b+" bundle"), true},
		{"less", locationsOf(t, a), false},
		{"more", locationsOf(t, a, b+" bundle", "reg.test/c@sha256:"+strings.Repeat("c", 64)), false},
		{"another kind", locationsOf(t, a, b), false},
		{"another digest", locationsOf(t, a, "reg.test/b@sha256:"+strings.Repeat("c", 64)+" bundle"), false},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, one.Equal(tt.other), tt.name)
		assert.Equal(t, tt.want, tt.other.Equal(one), "%s, the other way", tt.name)
	}
}

func TestReadLocations(t *testing.T) {
	t.Parallel()
	d := v1.Hash{Algorithm: "sha256", Hex: hexA}
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImageLocations\nimages: [{image: " + refA + "}]\n"
	tests := []struct {
		name  string
		files map[string]string
		err   error
	}{
		{"none", nil, fs.ErrNotExist},
		{"at the top", map[string]string{"image-locations.yml": text}, nil},
		{"in a folder", map[string]string{"a/b/image-locations.yml": text}, nil},
		{"the first counts", map[string]string{"a/image-locations.yml": text, "b/image-locations.yml": "nonsense"}, nil},
		{"another file", map[string]string{"my-image-locations.yml": text}, oci.ErrMalformed},
		{"not read", map[string]string{"image-locations.yml": lockHead}, oci.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var src interop.Registry
			repo := src.Repo("reg.test/repo")
			if tt.files != nil {
				repo.PutBundle(tt.files, imgpkg.LocationsTag(d))
			}
			l, err := (&bundle.Node{Descriptor: v1.Descriptor{Digest: d}}).ReadLocations(t.Context(), &src, digestRef(t, "reg.test/repo@sha256:"+hexA).Context())
			require.ErrorIs(t, err, tt.err)
			if err == nil {
				assert.True(t, locationsOf(t, refA).Equal(l))
			}
		})
	}
}

// TestRepositoryTags: of a long path the end is kept, and a tag begins as a tag may.
func TestRepositoryTags(t *testing.T) {
	t.Parallel()
	d := "sha256-" + strings.Repeat("a", 64) + ".imgpkg"
	n := &bundle.Node{}
	n.Descriptor.Digest = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	n.References = []string{"reg.test/a/b:1", "other.test/a/b@sha256:" + strings.Repeat("a", 64), "reg.test/" + strings.Repeat("x", 10) + "/" + strings.Repeat("y", 48) + ":1"}
	assert.Equal(t, []string{"a-b-" + d, strings.Repeat("y", 48) + "-" + d}, n.KeptTags(true))
	assert.Equal(t, []string{d}, n.KeptTags(false))
	n.IsChild = true
	assert.Empty(t, n.KeptTags(true))
}
