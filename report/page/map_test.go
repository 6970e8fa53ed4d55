package page

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSquarify: areas are in proportion to weights, in the canvas, apart from each other, and no slivers.
func TestSquarify(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		weights := make([]int64, 1+random.IntN(60))
		var sum float64
		for i := range weights {
			weights[i] = 1 + random.Int64N(1<<random.IntN(42))
			sum += float64(weights[i])
		}
		slices.SortFunc(weights, func(a, b int64) int { return int(b>>1 - a>>1) })
		canvas := mapArea{10, 20, mapWidth, mapHeight}
		areas := squarify(weights, canvas)
		require.Len(t, areas, len(weights))
		const tiny = 1e-6
		for i, a := range areas {
			want := float64(weights[i]) / sum * mapWidth * mapHeight
			require.InDelta(t, want, float64(a.W*a.H), math.Max(want, 1)*tiny)
			require.True(t, a.X >= 10-tiny && a.Y >= 20-tiny && a.X+a.W <= 10+mapWidth+tiny && a.Y+a.H <= 20+mapHeight+tiny, "%v", a)
			for _, b := range areas[:i] {
				apart := a.X >= b.X+b.W-tiny || b.X >= a.X+a.W-tiny || a.Y >= b.Y+b.H-tiny || b.Y >= a.Y+a.H-tiny
				require.True(t, apart, "%v and %v", a, b)
			}
		}
	}
	paper := squarify([]int64{6, 6, 4, 3, 2, 2, 1}, mapArea{0, 0, 6, 4}) // its example, figure 4
	assert.Equal(t, round([]mapArea{{0, 0, 3, 2}, {0, 2, 3, 2}, {3, 0, 12. / 7, 7. / 3}, {3 + 12./7, 0, 9. / 7, 7. / 3}}), round(paper)[:4])
	assert.Empty(t, squarify(nil, mapArea{0, 0, 1, 1}))
	assert.Len(t, squarify([]int64{1, 1}, mapArea{}), 2)
}

// round gets rid of what floating point leaves.
func round(areas []mapArea) []mapArea {
	r := func(c coordinate) coordinate { return coordinate(math.Round(float64(c)*1e9) / 1e9) }
	for i, a := range areas {
		areas[i] = mapArea{r(a.X), r(a.Y), r(a.W), r(a.H)}
	}
	return areas
}

// TestHugeSizes: a registry may claim what it likes; sums stay sums.
func TestHugeSizes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for i := range s.plan.Blobs {
		s.plan.Blobs[i].Descriptor.Size = math.MaxInt64
	}
	p := s.page(t, s.report())
	for _, row := range p.Packages.List {
		assert.Positive(t, row.Size)
	}
	var sum int64
	for _, g := range p.Map {
		assert.Positive(t, g.Bytes)
		sum += g.Bytes
	}
	assert.EqualValues(t, len(s.plan.Blobs)*mostBlob, sum)
}
