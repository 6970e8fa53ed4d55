package carvel

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"relocate/oci"
)

// FuzzRelock: a lock in which digests were replaced lists the same otherwise, and has as many bytes.
func FuzzRelock(f *testing.F) {
	d := "sha256:" + strings.Repeat("a", 64)
	const head = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, s := range []string{
		"- image: reg.test/x@" + d + "\n", "- image: 'reg.test/x@" + d + "'\n  annotations: {a: b}\n", "- {image: reg.test/x@" + d + "}\n- {image: reg.test/y@" + d + "}\n",
		"- image: &x reg.test/x@" + d + "\n- image: *x\n", "- image: >-\n    reg.test/x@" + d + "\n",
	} {
		f.Add([]byte(head + s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		was, err := ParseImagesLock(data)
		if err != nil {
			return
		}
		to, other := map[v1.Hash]v1.Hash{}, v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
		for _, e := range was.Images {
			to[oci.HashOf(e.Image)] = other
		}
		got, err := Relock(data, to)
		if err != nil {
			return
		}
		require.Len(t, got, len(data))
		is, err := ParseImagesLock(got)
		require.NoError(t, err)
		require.Len(t, is.Images, len(was.Images))
		for i, e := range is.Images {
			require.Equal(t, was.Images[i].Image.Context().Name(), e.Image.Context().Name())
			require.Equal(t, other, oci.HashOf(e.Image))
			require.Equal(t, was.Images[i].Annotations, e.Annotations)
		}
	})
}
