package bundle

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/oci"
	"relocate/report"
)

// Plan is a graph in archive order, with every distinct blob once. It is what a copy transfers and an
// archive holds.
type Plan struct {
	Graph   *Graph
	Blobs   []Blob           // the small section (manifests, configs, bundle layers), then layers; each in graph order
	Small   int              // number of Blobs in the small section
	Omitted []report.Omitted // layers, then children of indexes; in graph order
	Bases   []Base           // of which something is assumed, in the order in which they were given
	Assumed []Assumed        // layers that are not carried because a base has them; in graph order
}

// PlanOptions say what of a graph a plan carries. The zero value carries everything but layers that
// have a non-distributable media type in every image.
type PlanOptions struct {
	NonDistributable bool   // carries these, too
	Bases            []Base // what the destination has: a plan carries no layer of it
}

// Base is something whose content a destination has.
type Base struct {
	Kind   string  `json:"kind"`            // BaseArchive or BaseInventory
	Digest v1.Hash `json:"digest"`          // the seal of an archive; the SHA-256 of an inventory
	Roots  []Pin   `json:"roots,omitempty"` // of an archive

	Has func(v1.Descriptor) bool `json:"-"` // reports whether it has a layer
}

// String names the base: "archive sha256:… of registry/path:tag".
func (b Base) String() string {
	s := b.Kind + " " + b.Digest.String()
	for i, root := range b.Roots {
		s += []string{" of ", ", "}[min(i, 1)] + root.Reference
	}
	return s
}

// The kinds of a base.
const (
	BaseArchive   = "archive"
	BaseInventory = "inventory"
)

// Assumed is a layer that a plan does not carry because the destination has it.
type Assumed struct {
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"` // bytes
	Base   int     `json:"base"` // index in Plan.Bases of the first that has it
}

// Blob is a manifest, a config or a layer. It points into its node to save memory: a plan may have
// hundreds of thousands.
type Blob struct {
	Descriptor *v1.Descriptor
	Node       *Node // the first that names it; for a manifest, its own. The blob was found in Node.From.
	IsManifest bool
}

// NewPlan puts g in archive order. Manifests, configs and the layers of bundles are always carried, so
// that what is carried can be walked by itself.
//
// Errors: oci.ErrMalformed when two descriptors give one digest different sizes, or when a digest is
// both a manifest and a blob.
func NewPlan(g *Graph, opt PlanOptions) (*Plan, error) {
	left, err := blobsOf(g)
	if err != nil {
		return nil, err
	}
	p := &Plan{Graph: g, Blobs: make([]Blob, 0, len(g.Nodes)+len(left))}
	o := &ordering{plan: p, left: left, opt: opt, used: make([]bool, len(opt.Bases))}
	o.addSmall()
	p.Small = len(p.Blobs)
	if len(opt.Bases) > 0 {
		o.addConfigs()
	}
	o.addLayers()
	o.omitRest()
	o.keepBases()
	o.omitChildren()
	return p, nil
}

// ordering is a run of NewPlan.
type ordering struct {
	plan *Plan
	left map[v1.Hash]int64 // configs and layers that are not in the plan yet
	opt  PlanOptions
	used []bool // the bases of which something is assumed
}

// take reports whether the blob d is not in the plan yet; from now on it is.
func (o *ordering) take(d v1.Hash) bool {
	_, ok := o.left[d]
	delete(o.left, d)
	return ok
}

func (o *ordering) add(n *Node, i int) {
	if d := &n.Blobs[i]; o.take(d.Digest) {
		o.plan.Blobs = append(o.plan.Blobs, Blob{Descriptor: d, Node: n})
	}
}

// addSmall adds manifests, configs and the layers of bundles.
func (o *ordering) addSmall() {
	for _, n := range o.plan.Graph.Nodes {
		o.plan.Blobs = append(o.plan.Blobs, Blob{Descriptor: &n.Descriptor, Node: n, IsManifest: true})
		switch n.Kind {
		case Bundle:
			for i := range n.Blobs {
				o.add(n, i)
			}
		case Plain, Attached:
			if n.Blobs[0].Size <= oci.MaxSize {
				o.add(n, 0)
			}
		}
	}
}

// addConfigs adds the configs that are too large for the small section, so that none is assumed.
func (o *ordering) addConfigs() {
	for _, n := range o.plan.Graph.Nodes {
		if len(n.Blobs) > 0 {
			o.add(n, 0)
		}
	}
}

// addLayers adds the other configs, and the layers that no base has. Layers of foreign types are added
// only as the options say. A config is not a layer, whatever its type.
func (o *ordering) addLayers() {
	for _, n := range o.plan.Graph.Nodes {
		for i, d := range n.Blobs {
			if (i == 0 || o.opt.NonDistributable || !oci.IsForeign(d)) && !o.assume(d) {
				o.add(n, i)
			}
		}
	}
}

// assume notes d as assumed when a base has it. It reports whether d is assumed.
func (o *ordering) assume(d v1.Descriptor) bool {
	for i, base := range o.opt.Bases {
		if _, left := o.left[d.Digest]; left && base.Has(d) {
			o.take(d.Digest)
			o.plan.Assumed = append(o.plan.Assumed, Assumed{d.Digest, d.Size, i})
			o.used[i] = true
			return true
		}
	}
	return false
}

// keepBases gives the plan the bases of which something is assumed.
func (o *ordering) keepBases() {
	at := make([]int, len(o.used))
	for i, used := range o.used {
		if used {
			at[i] = len(o.plan.Bases)
			o.plan.Bases = append(o.plan.Bases, o.opt.Bases[i])
		}
	}
	for i := range o.plan.Assumed {
		a := &o.plan.Assumed[i]
		a.Base = at[a.Base]
	}
}

// omitRest records the layers that have a foreign type in every image.
func (o *ordering) omitRest() {
	for _, n := range o.plan.Graph.Nodes {
		for _, d := range n.Blobs {
			if o.take(d.Digest) {
				o.plan.Omitted = append(o.plan.Omitted, report.Omitted{
					Digest: d.Digest, Size: d.Size, MediaType: string(d.MediaType), Image: n.Name(), Reason: report.NonDistributable,
				})
			}
		}
	}
}

// blobsOf returns the distinct configs and layers with their sizes in bytes. It refuses a digest with two
// sizes, or one that is both a manifest and a blob.
func blobsOf(g *Graph) (map[v1.Hash]int64, error) {
	sizes := map[v1.Hash]int64{}
	for _, n := range g.Nodes {
		for _, d := range n.Blobs {
			if g.Node(d.Digest) != nil {
				return nil, fmt.Errorf("read %s: %w: %s is both a manifest and a blob", n.Name(), oci.ErrMalformed, d.Digest)
			}
			if size, known := sizes[d.Digest]; known && size != d.Size {
				return nil, fmt.Errorf("read %s: %w: blob %s has %d bytes here, and %d in another manifest", n.Name(), oci.ErrMalformed, d.Digest, d.Size, size)
			}
			sizes[d.Digest] = d.Size
		}
	}
	return sizes, nil
}

// Whole returns the plan with the layers that it assumes behind its other blobs: what a destination has
// after an import.
func (p *Plan) Whole() *Plan {
	whole := &Plan{Graph: p.Graph, Blobs: slices.Clip(p.Blobs), Small: p.Small, Omitted: p.Omitted}
	assumed := make(map[v1.Hash]bool, len(p.Assumed))
	for _, a := range p.Assumed {
		assumed[a.Digest] = true
	}
	for _, n := range p.Graph.Nodes {
		for i := range n.Blobs {
			if d := &n.Blobs[i]; assumed[d.Digest] {
				delete(assumed, d.Digest)
				whole.Blobs = append(whole.Blobs, Blob{Descriptor: d, Node: n})
			}
		}
	}
	return whole
}

// Size returns the size of all blobs in bytes.
func (p *Plan) Size() int64 {
	var sum int64
	for _, b := range p.Blobs {
		sum += b.Descriptor.Size
	}
	return sum
}
