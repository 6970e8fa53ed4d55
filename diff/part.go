package diff

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/inventory"
	"relocate/render"
	"relocate/report"
)

// Part is a part of a Side: a plan or an inventory.
type Part struct {
	Plan     *bundle.Plan
	Source   bundle.Source    // has the bundles of Plan
	Renderer *render.Renderer // runs the templates of repositories, as for Plan

	// Values returns the schema of the values that a version of a package takes by the files that it
	// fetches, where its Package has no schema; nil: it takes none. A nil Values: these are not known.
	Values func(ctx context.Context, p *carvel.Package) (carvel.Schema, error)

	Inventory *inventory.Inventory // in place of a plan: digests and sizes
}

// sum is a digest, in less memory. Plans and inventories have none of another algorithm than SHA-256.
func sum(d v1.Hash) digest.Sum {
	s, _ := digest.SumOf(d)
	return s
}

// roots returns the roots; those of an inventory have no name.
func (p *Part) roots() (list []report.Root) {
	if p.Inventory == nil {
		return p.Plan.Graph.NamedRoots()
	}
	for e := range p.Inventory.All() {
		if e.Kind == inventory.Root {
			list = append(list, report.Root{Digest: e.Digest})
		}
	}
	return list
}

// images yields the manifests in order; those of an inventory have no kind and no name.
func (p *Part) images(yield func(Image) bool) {
	if p.Inventory == nil {
		neededBy := p.neededBy()
		for _, n := range p.Plan.Graph.Nodes {
			if !yield(Image{n.Descriptor.Digest, n.Kind, n.Name(), neededBy[n.Descriptor.Digest], n.Size()}) {
				return
			}
		}
		return
	}
	for e := range p.Inventory.All() {
		if e.Kind != inventory.Blob && !yield(Image{Digest: e.Digest, Size: e.Size}) {
			return
		}
	}
}

// neededBy returns the first version of a package that leads to a manifest.
func (p *Part) neededBy() map[v1.Hash]string {
	g := p.Plan.Graph
	needed := map[v1.Hash]string{}
	var visit func(d v1.Hash, by string)
	visit = func(d v1.Hash, by string) { // as deep as the graph, which has a limit
		n := g.Node(d)
		if n == nil || needed[d] != "" {
			return
		}
		needed[d] = by
		for _, child := range n.Children {
			visit(child, by)
		}
		for _, a := range g.Attached(d) {
			visit(a.Digest, by)
		}
	}
	for i := range g.Packages {
		for _, f := range g.Packages[i].Fetches {
			visit(f.Digest, g.Packages[i].Name+" "+g.Packages[i].Version)
		}
	}
	return needed
}

// blob is a manifest, a config or a layer.
type blob struct {
	sum     digest.Sum
	size    int64
	always  bool // every archive carries it: a manifest, a config or a bundle
	assumed bool // the part is a delta, which does not carry it
}

// blobs yields all blobs of the part, each once.
func (p *Part) blobs(yield func(blob) bool) {
	if p.Inventory != nil {
		for e := range p.Inventory.All() {
			if !yield(blob{sum(e.Digest), e.Size, e.Kind != inventory.Blob, false}) {
				return
			}
		}
		return
	}
	for i, b := range p.Plan.Blobs {
		if !yield(blob{sum(b.Descriptor.Digest), b.Descriptor.Size, i < p.Plan.Small, false}) {
			return
		}
	}
	for _, a := range p.Plan.Assumed {
		if !yield(blob{sum(a.Digest), a.Size, false, true}) {
			return
		}
	}
}
