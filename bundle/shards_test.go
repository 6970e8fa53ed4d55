package bundle

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
)

// planOf returns a plan with blobs of these sizes in bytes; -1 is a manifest.
func planOf(sizes ...int64) *Plan {
	p := &Plan{Graph: &Graph{}, Small: len(sizes) / 4}
	for i, size := range sizes {
		d := &v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i)}, Size: max(size, 10)}
		p.Blobs = append(p.Blobs, Blob{Descriptor: d, IsManifest: size < 0})
	}
	return p
}

// layers returns n sizes as layers have them: half of them below 300 kB, one of a hundred above 60 MB.
func layers(rnd *rand.Rand, n int) (sizes []int64) {
	for range n {
		sizes = append(sizes, int64(300_000*math.Exp(2.3*rnd.NormFloat64())))
	}
	return sizes
}

// TestShards: every layer and config is in exactly one shard, in file order. The fullest shard has the largest layer
// alone, or at most a tenth more than the mean.
func TestShards(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(15, 2))
	for _, c := range []struct {
		blobs   int
		largest int64
	}{{0, 1 << 30}, {1, 1 << 30}, {3, 1 << 30}, {300, 1 << 30}, {500, 0}, {2000, 0}, {2000, 1 << 30}} {
		p := planOf(append([]int64{-1, -1, c.largest}, layers(rnd, c.blobs)...)...)
		largest, total := int64(0), p.Size()-20
		for _, b := range p.Blobs {
			largest = max(largest, b.Descriptor.Size)
		}
		for n := 1; n <= 16; n++ {
			dealt, most, small := map[*v1.Descriptor]bool{}, int64(0), 0
			for _, shard := range p.Shards(n) {
				last := ""
				for _, b := range shard.Blobs {
					hex := b.Descriptor.Digest.Hex
					if dealt[b.Descriptor] || b.IsManifest || hex < last {
						t.Fatalf("%v, %d shards: %s is dealt twice, a manifest or not in file order", c, n, hex)
					}
					dealt[b.Descriptor], last = true, hex
				}
				most, small = max(most, shard.Size()), small+shard.Small
			}
			assert.Len(t, dealt, c.blobs+1)
			assert.Equal(t, max(p.Small-2, 0), small)
			assert.LessOrEqual(t, float64(most), max(float64(largest), 1.1*float64(total)/float64(n)), "%v, %d shards", c, n)
		}
	}
}

// TestShardsStay: machines with different versions and systems deal alike, or blobs are uploaded twice.
func TestShardsStay(t *testing.T) {
	t.Parallel()
	h := sha256.New()
	p := planOf(7, 7, -1, 7, 3, 3, 20, 7, 1, 0, 0, 5, 12, 12, 12, 4)
	for n := 1; n <= 20; n++ {
		for i, shard := range p.Shards(n) {
			for _, b := range shard.Blobs {
				fmt.Fprintln(h, n, i, b.Descriptor.Digest.Hex)
			}
		}
	}
	assert.Equal(t, "9fbc28b68ebf25ec", fmt.Sprintf("%x", h.Sum(nil))[:16])
}

func BenchmarkShards(b *testing.B) {
	p := planOf(layers(rand.New(rand.NewPCG(1, 1)), 250_000)...)
	for b.Loop() {
		p.Shards(16)
	}
}
