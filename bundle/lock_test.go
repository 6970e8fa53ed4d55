package bundle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
	"relocate/testdata/interop"
)

var (
	hexA = strings.Repeat("a", 64)
	hexB = strings.Repeat("b", 64)
	refA = "reg.test/a@sha256:" + hexA
)

// The rows are those of docs/carvel.md, "Locks", which were seen with the real imgpkg.
func TestParseImagesLock(t *testing.T) {
	t.Parallel()
	image := func(s string) string { return lockHead + "images:\n- image: " + s + "\n" }
	tests := []struct {
		name, text string
		want       []string // references
		err        string
	}{
		{name: "images missing", text: lockHead},
		{name: "images null", text: lockHead + "images: null\n"},
		{name: "images empty", text: lockHead + "images: []\n"},
		{name: "document marker", text: "---\n" + image(refA), want: []string{refA}},
		{name: "comment and YAML directive first", text: "# by hand\n%YAML 1.1\n---\n" + image(refA), want: []string{refA}},
		{name: "unknown key", text: lockHead + "foo: 1\n", err: `ImagesLock: error unmarshaling JSON: while decoding JSON: json: unknown field "foo"`},
		{name: "unknown key in image", text: image(refA) + "  foo: 1\n", err: `unknown field "foo"`},
		{name: "wrong apiVersion", text: "apiVersion: imgpkg.carvel.dev/v1\nkind: ImagesLock\n",
			err: `apiVersion: is "imgpkg.carvel.dev/v1", want "imgpkg.carvel.dev/v1alpha1"`},
		{name: "no apiVersion", text: "kind: ImagesLock\n", err: `apiVersion: is ""`},
		{name: "kind in another case", text: "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: imageslock\n", err: `kind: is "imageslock", want "ImagesLock"`},
		{name: "another kind", text: "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\n", err: `kind: is "BundleLock"`},
		{name: "duplicate key", text: lockHead + "kind: ImagesLock\n", err: `key "kind" already set in map`},
		{name: "keys in another case", text: lockHead + "Images:\n- Image: " + refA + "\n", want: []string{refA}},
		{name: "tag", text: image("reg.test/a:1"), err: `images[0].image: "reg.test/a:1" has no digest`},
		{name: "neither tag nor digest", text: image("nginx"), err: `images[0].image: "nginx" has no digest`},
		{name: "empty", text: image(`""`), err: "images[0].image: is empty"},
		{name: "no image", text: lockHead + "images:\n- annotations: {}\n", err: "images[0].image: is empty"},
		{name: "second is wrong", text: image(refA) + "- image: reg.test/b\n", err: `images[1].image: "reg.test/b"`},
		{name: "sha512", text: image("reg.test/a@sha512:" + hexA + hexB), err: "images[0].image"},
		{name: "short digest", text: image("reg.test/a@sha256:abc"), err: `images[0].image: "reg.test/a@sha256:abc" is no digest reference`},
		{name: "upper-case digest", text: image("reg.test/a@sha256:" + strings.ToUpper(hexA)), err: "is no digest reference"},
		{name: "tag and digest", text: image("reg.test/a:1@sha256:" + hexA), want: []string{refA}},
		{name: "short name", text: image("ubuntu@sha256:" + hexA), want: []string{"index.docker.io/library/ubuntu@sha256:" + hexA}},
		{name: "same image twice", text: image(refA) + "- image: " + refA + "\n", want: []string{refA, refA}},
		{name: "second document", text: image(refA) + "---\nkind: nonsense\n", want: []string{refA}},
		{name: "JSON", text: `{"apiVersion":"imgpkg.carvel.dev/v1alpha1","kind":"ImagesLock","images":[{"image":"` + refA + `"}]}`, want: []string{refA}},
		{name: "empty file", text: "", err: "apiVersion"},
		{name: "no map", text: "- a\n", err: "ImagesLock: "},
		{name: "no YAML", text: "a: [\n", err: "ImagesLock: "},
		{name: "not UTF-8", text: "\xff\xfe", err: "ImagesLock: is not UTF-8"},
		{name: "comment first", text: "# by hand\n---\n" + image(refA), want: []string{refA}},
		{name: "first document is empty", text: "---\n# by hand\n---\n" + image(refA), err: `apiVersion: is ""`}, // so for imgpkg
		{name: "carriage return", text: image(refA) + "\r---\rkind: x\n", err: "ImagesLock: line 5: has a line break that some YAML readers do not see"},
		{name: "carriage return and line feed", text: strings.ReplaceAll(image(refA), "\n", "\r\n"), want: []string{refA}},
		{name: "next line", text: lockHead + "\u0085", err: "ImagesLock: line 3: has a line break"},
		{name: "line separator", text: lockHead + "#\u2028", err: "ImagesLock: line 3: has a line break"},
		{name: "paragraph separator", text: lockHead + "#\u2029", err: "ImagesLock: line 3: has a line break"},
		{name: "aliases", text: lockHead + "images:\n- image: " + refA + "\n  annotations: {a: &a x, b: *a}\n", want: []string{refA}},
		{name: "many nodes by aliases", text: lockHead + "images:\n" + bomb(9), err: "excessive aliasing"},
		{name: "much text by aliases", text: lockHead + "images:\n- image: &a " + refA + strings.Repeat("x", 1<<20) + "\n" + strings.Repeat("- image: *a\n", 4),
			err: "ImagesLock: has aliases that make it larger than 4194304 bytes"},
		{name: "deep", text: lockHead + "images: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), err: "ImagesLock: is nested more than 200 deep"},
		{name: "long reference", text: image("reg.test/" + strings.Repeat("a", 200_000)), err: `images[0].image: "reg.test/aaa`},
		{name: "long host", text: image(strings.Repeat("a", 2000) + ".test/a@sha256:" + hexA), err: "has 2079 bytes, more than the limit of 1024"},
		{name: "long kind", text: "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: " + strings.Repeat("a", 200_000), err: `kind: is "aaa`},
		{name: "long key", text: lockHead + `? "` + strings.Repeat("a", 100_000) + "\"\n: 1\n", err: "unknown field"},
		{name: "too large", text: lockHead + "#" + strings.Repeat(" ", 4<<20), err: "more than the limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lock, err := carvel.ParseImagesLock([]byte(tt.text))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				assert.NotContains(t, err.Error(), "\n")
				assert.Less(t, len(err.Error()), 1000)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, e := range lock.Images {
				got = append(got, e.Image.Name())
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// TestLockPaths: what imgpkg copies is read; what leads elsewhere in a URL is not, and is not imgpkg's to refuse.
func TestLockPaths(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"x/_under": true, "x/trail-": true, "x/.dot": true, "-": true, "a..b": true, "a.-b/c__d": true, "blobs/uploads": true, ".../x": true,
		"a/../b": false, "..": false, "a/.": false, "./a": false, "a//b": false, "a/": false, "/a": false,
	} {
		_, err := carvel.ParseImagesLock([]byte(lockHead + "images:\n- image: reg.test/" + path + "@sha256:" + hexA + "\n"))
		if ok {
			require.NoError(t, err, path)
			continue
		}
		require.ErrorContains(t, err, "is not lower-case names between single slashes", path)
		require.False(t, errors.As(err, new(carvel.ImgpkgError)), path)
	}
	for _, entry := range []string{"reg.test/A@sha256:" + hexA, "reg.test/a:1", "reg.test/a@sha512:" + hexA + hexB} {
		_, err := carvel.ParseImagesLock([]byte(lockHead + "images:\n- image: " + entry + "\n"))
		require.ErrorAs(t, err, new(carvel.ImgpkgError), entry)
	}
}

// bomb returns a YAML list that holds 10 to the power of n items.
func bomb(n int) string {
	text := "- &a0 [x]\n"
	for i := range n {
		text += fmt.Sprintf("- &a%d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return text
}

func TestImagesLockAnnotations(t *testing.T) {
	t.Parallel()
	lock, err := carvel.ParseImagesLock([]byte(lockHead + "images:\n- image: " + refA + "\n  annotations:\n    a: 1\n    b: true\n    " + carvel.KbldID + ": x\n"))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "1", "b": "true", carvel.KbldID: "x"}, lock.Images[0].Annotations)
}

func TestEncodeEmptyImagesLock(t *testing.T) {
	t.Parallel()
	text, err := new(carvel.ImagesLock).Encode()
	require.NoError(t, err)
	assert.Equal(t, "---\n"+lockHead, string(text))
}

func TestParseBundleLock(t *testing.T) {
	t.Parallel()
	text := func(image, rest string) string {
		return "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\nbundle:\n  image: " + image + "\n" + rest
	}
	tests := []struct{ name, text, tag, err string }{
		{name: "digest", text: text(refA, "")},
		{name: "tag", text: text(refA, "  tag: 1.0.0\n"), tag: "1.0.0"},
		{name: "tag in image is dropped", text: text("reg.test/a:1@sha256:"+hexA, "")},
		{name: "no digest", text: text("reg.test/a:1", ""), err: `bundle.image: "reg.test/a:1" has no digest`},
		{name: "no bundle", text: "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\n", err: "bundle.image: is empty"},
		{name: "bad tag", text: text(refA, "  tag: a/b\n"), err: `bundle.tag: "a/b" is not a tag`},
		{name: "unknown key", text: text(refA, "  foo: 1\n"), err: `unknown field "foo"`},
		{name: "duplicate key", text: text(refA, "kind: BundleLock\n"), err: "already set"},
		{name: "another kind", text: lockHead, err: `kind: is "ImagesLock", want "BundleLock"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lock, err := carvel.ParseBundleLock([]byte(tt.text))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, refA, lock.Image.Name())
			assert.Equal(t, tt.tag, lock.Tag)
		})
	}
}

// A walk says which file of which bundle is wrong, in which field.
func TestLockErrorNamesBundleAndField(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	root := src.Repo("reg.test/repo").PutBundle(map[string]string{".imgpkg/images.yml": lockHead + "images:\n- image: nginx:1.25\n"})
	_, err := bundle.Walk(t.Context(), &src, refs(root), bundle.WalkOptions{})
	require.ErrorIs(t, err, oci.ErrMalformed)
	assert.EqualError(t, err, "read bundle "+root.Name()+`: malformed: ".imgpkg/images.yml": images[0].image: "nginx:1.25" has no digest`)
}
