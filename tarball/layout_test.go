package tarball

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/report"
)

// TestLayoutLimits: what could not be read again is not written.
func TestLayoutLimits(t *testing.T) {
	t.Parallel()
	some := digest.Of(nil)
	image := func(ref string) manifestEntry {
		return manifestEntry{Digest: some, MediaType: types.OCIManifestSchema1, Kind: bundle.Plain, References: []string{ref}}
	}
	tests := []struct {
		name string
		inv  inventory
		says string
	}{
		{"too many blobs", inventory{Blobs: make([]blobEntry, maxBlobs+1)}, "more blobs than an archive can have (250000), with those that it leaves out"},
		{"too many blobs and others", inventory{Blobs: make([]blobEntry, maxBlobs-100), Omitted: make([]report.Omitted, 20), Assumed: make([]bundle.Assumed, 41)},
			"more blobs than an archive can have (250000), with those that it leaves out"},
		{"too many bases", inventory{Bases: make([]bundle.Base, maxRoots+1)}, "more bases and roots of them than an archive can have (1000)"},
		{"too many roots of a base", inventory{Bases: []bundle.Base{{Roots: make([]bundle.Pin, maxRoots)}}}, "more bases and roots of them than an archive can have (1000)"},
		{"too many roots", inventory{Roots: make([]bundle.Pin, maxRoots+1)}, "more roots than"},
		{"too many pins", inventory{Pins: make([]bundle.Pin, maxPins+1)}, "more pins than"},
		{"too many references", inventory{Manifests: []manifestEntry{{References: make([]string, maxManifests)}}}, "more manifests and references than"},
		{"element too large", inventory{Manifests: []manifestEntry{image(strings.Repeat("x", maxElement))}}, "manifests[0] has 4194"},
		{"index too large", inventory{Manifests: slices.Repeat([]manifestEntry{image(strings.Repeat("x", maxElement/2))}, 33)}, "index.json would have 69"},
		{"another algorithm", inventory{Blobs: []blobEntry{{v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}, 1}}}, "only sha256"},
		{"no digest", inventory{Blobs: []blobEntry{{Size: 1}}}, "only sha256"},
		{"negative size", inventory{Blobs: []blobEntry{{some, -1}}}, "-1 bytes are more than"},
		{"huge size", inventory{Blobs: []blobEntry{{some, 1<<63 - 1}}}, "9223372036854775807 bytes are more than"},
		{"sizes that overflow", inventory{Blobs: []blobEntry{{some, 1 << 61}, {some, 1 << 61}, {some, 1<<63 - 1}}}, "bytes are more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := newLayout(&test.inv)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

// BenchmarkMost opens an archive with as many blobs as there can be; B/blob is what stays.
func BenchmarkMost(b *testing.B) {
	inv := synthetic(maxBlobs)
	l, err := newLayout(inv)
	require.NoError(b, err)
	var docs bytes.Buffer
	require.NoError(b, l.writeDocs(&docs))
	b.Logf("index.json %d bytes, relocate.json %d bytes", l.docs[1].size, l.docs[2].size)
	size := l.size
	inv, l = nil, nil
	b.ReportAllocs()
	for b.Loop() {
		before := heap()
		a, err := NewArchive(bytes.NewReader(docs.Bytes()), size)
		require.NoError(b, err)
		b.ReportMetric(float64(heap()-before)/maxBlobs, "B/blob")
		assert.Len(b, a.index, maxBlobs)
	}
}

// synthetic returns an inventory of n blobs, of which a quarter are manifests of the usual length.
func synthetic(n int) *inventory {
	inv := &inventory{}
	for i := range n {
		d := digest.Of(fmt.Appendf(nil, "%d", i))
		inv.Blobs = append(inv.Blobs, blobEntry{d, int64(i)})
		if i%4 == 0 && i < 200_000 { // 64 MiB of relocate.json hold no more
			inv.Manifests = append(inv.Manifests, manifestEntry{Digest: d, MediaType: types.OCIManifestSchema1, Size: int64(i), Kind: bundle.Plain,
				From: "registry.example/some/repository", References: []string{"registry.example/some/repository@" + d.String()}})
		}
	}
	return inv
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
