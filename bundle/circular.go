package bundle

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// keepCircular drops from each node's Circular, which holds all children that only Packages name, those
// that cannot lead back to it. A lock and an index name digests, so only fetches by tag can make a
// circle. What is left in no circle is peeled off: a node without parents or without children that are
// left. Edges between two circles count as circular, too.
func (g *Graph) keepCircular() {
	if !slices.ContainsFunc(g.Nodes, func(n *Node) bool { return len(n.Circular) > 0 }) {
		return
	}
	parents, above, below := map[v1.Hash][]v1.Hash{}, map[v1.Hash]int{}, map[v1.Hash]int{}
	for _, n := range g.Nodes {
		for _, d := range n.Children {
			parents[d] = append(parents[d], n.Descriptor.Digest)
			above[d]++
			below[n.Descriptor.Digest]++
		}
	}
	peeled := map[v1.Hash]bool{}
	var next []v1.Hash
	peel := func(d v1.Hash) {
		if !peeled[d] && (above[d] == 0 || below[d] == 0) {
			peeled[d] = true
			next = append(next, d)
		}
	}
	for _, n := range g.Nodes {
		peel(n.Descriptor.Digest)
	}
	for len(next) > 0 {
		d := next[len(next)-1]
		next = next[:len(next)-1]
		for _, child := range g.Node(d).Children {
			above[child]--
			peel(child)
		}
		for _, parent := range parents[d] {
			below[parent]--
			peel(parent)
		}
	}
	for _, n := range g.Nodes {
		n.Circular = slices.DeleteFunc(n.Circular, func(d v1.Hash) bool {
			return peeled[d] || peeled[n.Descriptor.Digest]
		})
	}
}
