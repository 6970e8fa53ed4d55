package bundle

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// keepCircular removes from each node's Circular the children that cannot lead back to it. Before, it
// holds all children that only Packages name: a lock and an index name digests, so only a fetch by tag
// can close a cycle. Nodes outside of cycles are removed one by one: those whose parents or children are
// all removed. An edge between two cycles counts as circular too.
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

// peel returns the nodes that are neither in a cycle nor between two cycles.
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
	above, below map[v1.Hash]int // how many parents and children remain
	next         []v1.Hash       // peeled; their parents and children are tried next
}

// try peels d when it has no remaining parent or no remaining child.
func (p *peeling) try(d v1.Hash) {
	if !p.peeled[d] && (p.above[d] == 0 || p.below[d] == 0) {
		p.peeled[d] = true
		p.next = append(p.next, d)
	}
}
