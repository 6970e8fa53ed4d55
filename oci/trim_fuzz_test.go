package oci

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
)

// FuzzTrim: what Trim makes of an index is an index with the other children, in their order.
func FuzzTrim(f *testing.F) {
	for _, m := range manifestSeeds(f) {
		if m.MediaType.IsIndex() {
			f.Add([]byte(m.Raw))
		}
	}
	f.Add([]byte(`{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}`))
	f.Add([]byte("{ \"annotations\" : null , \"manifests\" : [ ] , \"schemaVersion\" : 2 }\n"))
	index := v1.Descriptor{MediaType: types.OCIImageIndex}
	f.Fuzz(func(t *testing.T, raw []byte) {
		was, err := ParseManifest(index, raw)
		if err != nil {
			return
		}
		drop := map[v1.Hash]bool{}
		var want []v1.Descriptor
		for i, d := range was.Children {
			if i%2 == 0 {
				drop[d.Digest] = true
			}
		}
		for _, d := range was.Children {
			if !drop[d.Digest] {
				want = append(want, d)
			}
		}
		got, err := Trim(raw, func(d v1.Hash) bool { return drop[d] }, nil, "from", "x")
		if err != nil {
			return // annotations that are none, or no list of manifests
		}
		is, err := ParseManifest(index, got)
		require.NoError(t, err)
		require.Equal(t, len(want), len(is.Children))
		for i := range want {
			require.Equal(t, want[i], is.Children[i])
		}
		require.Contains(t, string(is.Annotations), `"from":"x"`)
	})
}
