package diff

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/digest"
	"relocate/inventory"
	"relocate/render"
	"relocate/report"
)

// Part is a part of a Side: what PartOf takes from a plan, or OfInventory from an inventory. It takes about 50
// bytes of memory for each blob and 250 for each manifest.
type Part struct {
	Graph    *bundle.Graph    // the packages, their repositories and what they fetch; nil for an inventory
	Source   bundle.Source    // has the bundles of Graph
	Renderer *render.Renderer // runs the templates of repositories, as for the plan

	// Values returns the schema of the values that a version of a package takes by the files that it
	// fetches, where its Package has no schema; nil: it takes none. A nil Values: these are not known.
	Values func(ctx context.Context, p *carvel.Package) (carvel.Schema, error)

	roots  []report.Root // those of an inventory have no name
	images []Image       // in graph order
	blobs  []blob        // by digest
}

// blob is a manifest, a config or a layer.
type blob struct {
	sum     digest.Sum
	size    int64
	always  bool // every archive carries it: a manifest, a config or a bundle
	assumed bool // the part is a delta, which does not carry it
}

// PartOf returns what is compared of a plan. The plan is not needed afterwards.
func PartOf(plan *bundle.Plan) Part {
	g := plan.Graph
	p := Part{Graph: g.Fetched(), roots: g.NamedRoots()}
	needed := neededBy(g)
	for _, n := range g.Nodes {
		d := n.Descriptor.Digest
		p.images = append(p.images, Image{d, n.Kind, n.Name(), needed[d], n.Size()})
	}
	p.blobs = make([]blob, 0, len(plan.Blobs)+len(plan.Assumed))
	for i, b := range plan.Blobs {
		p.blobs = append(p.blobs, blob{sum(b.Descriptor.Digest), b.Descriptor.Size, i < plan.Small, false})
	}
	for _, a := range plan.Assumed {
		p.blobs = append(p.blobs, blob{sum(a.Digest), a.Size, false, true})
	}
	slices.SortFunc(p.blobs, byDigest)
	return p
}

// OfInventory returns an inventory as a part.
func OfInventory(i *inventory.Inventory) (p Part) {
	for e := range i.All() {
		p.blobs = append(p.blobs, blob{sum(e.Digest), e.Size, e.Kind != inventory.Blob, false})
		if e.Kind == inventory.Root {
			p.roots = append(p.roots, report.Root{Digest: e.Digest})
		}
		if e.Kind != inventory.Blob {
			p.images = append(p.images, Image{Digest: e.Digest, Size: e.Size})
		}
	}
	slices.SortFunc(p.blobs, byDigest)
	return p
}

// sum is a digest, in less memory. Plans and inventories have none of any algorithm but SHA-256.
func sum(d v1.Hash) digest.Sum {
	s, _ := digest.SumOf(d)
	return s
}

// byDigest orders blobs by digest; of two with one, first that which an archive carries in any case.
func byDigest(a, b blob) int {
	return cmp.Or(bytes.Compare(a.sum[:], b.sum[:]), compareBools(b.always, a.always), compareBools(a.assumed, b.assumed))
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// neededBy returns the first version of a package that leads to a manifest.
func neededBy(g *bundle.Graph) map[v1.Hash]string {
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
