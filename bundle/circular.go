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
	peeled := g.peel()
	for _, n := range g.Nodes {
		n.Circular = slices.DeleteFunc(n.Circular, func(d v1.Hash) bool {
			return peeled[d] || peeled[n.Descriptor.Digest]
		})
	}
}

// peel returns the nodes that are in no circle and between none.
func (g *Graph) peel() map[v1.Hash]bool {
	p := peeling{peeled: map[v1.Hash]bool{}, above: map[v1.Hash]int{}, below: map[v1.Hash]int{}}
	parents := map[v1.Hash][]v1.Hash{}
	for _, n := range g.Nodes {
		p.below[n.Descriptor.Digest] = len(n.Children)
		for _, d := range n.Children {
			parents[d] = append(parents[d], n.Descriptor.Digest)
			p.above[d]++
		}
	}
	for _, n := range g.Nodes {
		p.try(n.Descriptor.Digest)
	}
	for len(p.next) > 0 {
		d := p.next[len(p.next)-1]
		p.next = p.next[:len(p.next)-1]
		for _, child := range g.Node(d).Children {
			p.above[child]--
			p.try(child)
		}
		for _, parent := range parents[d] {
			p.below[parent]--
			p.try(parent)
		}
	}
	return p.peeled
}

// peeling is a run of peel.
type peeling struct {
	peeled       map[v1.Hash]bool
	above, below map[v1.Hash]int // parents and children that are left
	next         []v1.Hash       // whose parents and children are to be tried
}

// try peels d when no parent or no child of it is left.
func (p *peeling) try(d v1.Hash) {
	if !p.peeled[d] && (p.above[d] == 0 || p.below[d] == 0) {
		p.peeled[d] = true
		p.next = append(p.next, d)
	}
}
