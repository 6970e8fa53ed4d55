package diff

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/report"
)

// Compare says what differs between a and b.
//
// Errors: of reading the repositories of packages, as bundle.Node.Documents; that of ctx.
func Compare(ctx context.Context, a, b Side) (*Report, error) {
	was, is := newHolding(a), newHolding(b)
	r := &Report{Version: Version, A: was.subject(), B: is.subject()}
	r.Images = Images{Added: is.without(was), Removed: was.without(is)}
	r.count(was, is)
	var err error
	if r.Packages, err = comparePackages(ctx, was, is); err != nil {
		return nil, err
	}
	r.Equal = len(r.Images.Added)+len(r.Images.Removed)+r.Blobs.Added.Blobs+r.Blobs.Removed.Blobs == 0 && was.hasRoots(is) && is.hasRoots(was)
	return r, nil
}

// holding is what a side holds.
type holding struct {
	Side
	nodes []*bundle.Node       // each digest once, in graph order
	blobs map[digest.Sum]int64 // sizes in bytes
}

func newHolding(s Side) *holding {
	h := &holding{Side: s, blobs: map[digest.Sum]int64{}}
	seen := map[v1.Hash]bool{}
	for _, p := range s.Parts {
		for _, n := range p.Plan.Graph.Nodes {
			if d := n.Descriptor.Digest; !seen[d] {
				seen[d] = true
				h.nodes = append(h.nodes, n)
			}
		}
		for _, b := range p.Plan.Blobs {
			h.blobs[key(b)] = b.Descriptor.Size
		}
	}
	return h
}

// key is the digest of a blob. A plan has none of another algorithm.
func key(b bundle.Blob) digest.Sum {
	sum, _ := digest.SumOf(b.Descriptor.Digest)
	return sum
}

// subject describes the side.
func (h *holding) subject() Subject {
	s := Subject{Name: h.Name, Kind: h.Kind, Roots: []report.Root{}, Blobs: Amount{Blobs: len(h.blobs)}}
	for _, size := range h.blobs {
		s.Blobs.Bytes += size
	}
	for _, p := range h.Parts {
		s.Roots = append(s.Roots, p.Plan.Graph.NamedRoots()...)
		s.Unread = s.Unread || p.Plan.Graph.MayHide()
	}
	return s
}

// has reports whether the side has the manifest d.
func (h *holding) has(d v1.Hash) bool {
	for _, p := range h.Parts {
		if p.Plan.Graph.Node(d) != nil {
			return true
		}
	}
	return false
}

// without returns the manifests that other does not have.
func (h *holding) without(other *holding) []Image {
	list := []Image{}
	for _, n := range h.nodes {
		if d := n.Descriptor.Digest; !other.has(d) {
			list = append(list, Image{d, n.Kind, n.Name(), n.Size()})
		}
	}
	return list
}

// hasRoots reports whether all roots of the side are roots of other.
func (h *holding) hasRoots(other *holding) bool {
	roots := map[v1.Hash]bool{}
	for _, p := range other.Parts {
		for _, root := range p.Plan.Graph.Roots {
			roots[root.Digest] = true
		}
	}
	for _, p := range h.Parts {
		for _, root := range p.Plan.Graph.Roots {
			if !roots[root.Digest] {
				return false
			}
		}
	}
	return true
}

// count counts the blobs that both sides have, those that one has alone, and what must be carried.
func (r *Report) count(was, is *holding) {
	for sum, size := range was.blobs {
		if _, ok := is.blobs[sum]; ok {
			r.Blobs.Same.add(size)
		} else {
			r.Blobs.Removed.add(size)
		}
	}
	carried := map[digest.Sum]bool{}
	for _, p := range is.Parts {
		for i, b := range p.Plan.Blobs {
			if carried[key(b)] {
				continue
			}
			_, isThere := was.blobs[key(b)]
			if !isThere {
				r.Blobs.Added.add(b.Descriptor.Size)
			}
			if !isThere || i < p.Plan.Small {
				r.Carry.add(b.Descriptor.Size)
			}
			carried[key(b)] = true
		}
	}
}
