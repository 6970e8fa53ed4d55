// Package generated pushes package repositories of a given shape to a registry, for benchmarks. The
// same shape at the same address has the same bytes on every machine. Layers are random bytes, which
// do not compress, as those of real images; all else is real: locks, packages, templates.
//
//	HOST/bench/repository:1.0.0          package repository
//	└── pP.bench.test V.0.0
//	    └── HOST/bench/packages/pP@…         bundle
//	        └── HOST/bench/images/pP-I@…         image, or index of two platforms
//
// As in most public repositories, only the root has a tag.
package generated

import (
	"math"
	"math/rand/v2"
)

// Shape says what a repository holds.
type Shape struct {
	Packages int
	Versions int   // of each package; each has a bundle
	Images   []int // in the lock of each bundle: the first package takes the first number, and so on in turn
	Nested   int   // bundles around the one with the images, each in the next
	Indexes  int   // every so many-th image is an index of two platforms; 0: none is
	Layers   int   // of each image and platform
	Shared   int   // of these, how many come from one of the bases
	Bases    int   // that all images share
	Min, Max int64 // bytes of a layer; as many have from 1 to 2 MiB as from 2 to 4
}

// The shapes that the figures of docs/performance.md are of. What is like Tanzu Community Edition has
// its numbers of images, manifests and blobs, and about a seventh of its bytes.
var (
	TCE = Shape{
		Packages: 38, Versions: 4, Images: []int{2, 3}, Indexes: 6, Layers: 5, Shared: 2, Bases: 20,
		Min: 4 << 10, Max: 16 << 20,
	}
	Small = Shape{
		Packages: 25, Versions: 4, Images: []int{5}, Layers: 8, Shared: 2, Bases: 50,
		Min: 32 << 10, Max: 40 << 10,
	}
	Big = Shape{Packages: 1, Versions: 1, Images: []int{3}, Layers: 2, Min: 512 << 20, Max: 512 << 20}
	// Delay is for round trips: all the requests of TCE, and few bytes.
	Delay = Shape{
		Packages: 38, Versions: 4, Images: []int{2, 3}, Indexes: 6, Layers: 5, Shared: 2, Bases: 20,
		Min: 512, Max: 1 << 20,
	}
)

// Scale returns s with less or more in it: packages and bases by the factor, and layers of Big.
func (s Shape) Scale(factor float64) Shape {
	if s.Packages == 1 {
		s.Min, s.Max = scale(s.Min, factor), scale(s.Max, factor)
		return s
	}
	s.Packages, s.Bases = scale(s.Packages, factor), scale(s.Bases, factor)
	return s
}

func scale[N int | int64](n N, factor float64) N { return max(1, N(math.Round(float64(n)*factor))) }

// size returns the size of the layer of a number.
func (s Shape) size(number uint64) int64 {
	if s.Min == s.Max {
		return s.Min
	}
	share := rand.New(rand.NewPCG(number, 1)).Float64()
	return int64(float64(s.Min) * math.Pow(float64(s.Max)/float64(s.Min), share))
}
