package carvel

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"

	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/testdata/seed"
)

// hostileLocks are locks with what YAML allows and imgpkg does not write.
var hostileLocks = []string{
	"apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: &a\n- &b {image: \"r.test/a@sha256:0000000000000000000000000000000000000000000000000000000000000000\", annotations: {\"k\\u2028\\x1b\": \"v\\u0085\"}}\n- *b\n",
	"apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\nbundle: {image: \"a:1@sha256:0000000000000000000000000000000000000000000000000000000000000000\", tag: \"1\"}\n",
	"apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImageLocations\nimages:\n- image: localhost/a@sha256:0000000000000000000000000000000000000000000000000000000000000000\n  isBundle: yes\n",
	"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
	"<<: {kind: ImagesLock}\nkind: ImagesLock\n--- \nkind: x\n",
}

func addLocks(f *testing.F) {
	for _, data := range seed.Files(f, "..", seed.YAML...) {
		f.Add(data)
	}
	for _, text := range hostileLocks {
		f.Add([]byte(text))
	}
}

// FuzzImagesLock: what is accepted names every image by a digest, and is the same when it was written
// and read again; what is refused is refused in a line.
func FuzzImagesLock(f *testing.F) {
	addLocks(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := ParseImagesLock(data)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		for _, e := range lock.Images {
			requireLocked(t, e.Image)
		}
		text, err := lock.Encode()
		require.NoError(t, err)
		if len(text) > yamlnode.MaxSize || strings.Contains(fmt.Sprint(lock.Images), "\u0085") {
			return // aliases were written out; or there is a line break of YAML's own, which the library loses
		}
		again, err := ParseImagesLock(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, lock, again)
		twice, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(text), string(twice))
	})
}

// FuzzBundleLock: as FuzzImagesLock, for the one bundle and its tag.
func FuzzBundleLock(f *testing.F) {
	addLocks(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := ParseBundleLock(data)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		requireLocked(t, lock.Image)
		require.True(t, lock.Tag == "" || oci.IsTag(lock.Tag), lock.Tag)
		text, err := lock.Encode()
		require.NoError(t, err)
		again, err := ParseBundleLock(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, lock, again)
	})
}

// FuzzImageLocations: as FuzzImagesLock; writing sorts, and what was read and what was written say the
// same.
func FuzzImageLocations(f *testing.F) {
	addLocks(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		locations, err := ParseImageLocations(data)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		kinds := map[string]bool{}
		contradicts := false // one digest as bundle and as image: which counts depends on the order
		for _, image := range locations.Images {
			requireLocked(t, image.Image)
			kind, known := kinds[image.Image.DigestStr()]
			contradicts = contradicts || known && kind != image.IsBundle
			kinds[image.Image.DigestStr()] = image.IsBundle
		}
		text, err := locations.Encode()
		require.NoError(t, err)
		if len(text) > yamlnode.MaxSize {
			return
		}
		again, err := ParseImageLocations(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, locations.sorted(), again.Images)
		require.True(t, contradicts || locations.Equal(again) && again.Equal(locations))
	})
}

// FuzzReference: a lock's reference has one spelling, which stays when it is read again.
func FuzzReference(f *testing.F) {
	digest := "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, s := range []string{"a", "a:1", "docker.io/a", "localhost:5000/a/b:c", "[::1]:5000/a", "reg.test/../a", "reg.test//a", "a b", "a\nb", "user@reg.test/a", "reg.test/a?b", "é.test/a"} {
		f.Add(s)
		f.Add(s + digest)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := parseDigestReference(s)
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		require.LessOrEqual(t, len(s), oci.MaxReference)
		requireLocked(t, ref)
	})
}

// requireLocked holds a reference to what a lock may name: one with a sha256 digest, in the only
// spelling that it has.
func requireLocked(t *testing.T, ref name.Digest) {
	t.Helper()
	again, err := parseDigestReference(ref.Name())
	require.NoError(t, err)
	require.Equal(t, ref.Name(), again.Name())
	require.True(t, strings.HasSuffix(ref.Name(), "@"+oci.HashOf(ref).String()), ref.Name())
	require.Equal(t, "sha256", oci.HashOf(ref).Algorithm)
	require.Equal(t, "/"+ref.RepositoryStr(), path.Clean("/"+ref.RepositoryStr()), "leads out of its registry")
}
