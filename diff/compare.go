package diff

import (
	"context"

	"relocate/internal/digest"
	"relocate/report"
)

// Compare says what differs between a and b.
//
// Errors: of reading the repositories of packages, as bundle.Node.Documents; that of ctx.
func Compare(ctx context.Context, a, b Side) (*Report, error) {
	was, is := newHolding(a), newHolding(b)
	r := &Report{Version: Version, A: was.subject(), B: is.subject(), DigestsOnly: was.isInventory || is.isInventory, Packages: []Package{}}
	r.Images = Images{Added: is.without(was), Removed: was.without(is)}
	r.count(was, is)
	r.Equal = len(r.Images.Added)+len(r.Images.Removed)+r.Blobs.Added.Blobs+r.Blobs.Removed.Blobs == 0
	if r.DigestsOnly {
		return r, ctx.Err()
	}
	r.Equal = r.Equal && was.hasRoots(is) && is.hasRoots(was)
	var err error
	r.Packages, err = comparePackages(ctx, was, is)
	return r, err
}

// holding is what a side holds.
type holding struct {
	Side
	isInventory bool                 // a part is: it names no packages
	manifests   map[digest.Sum]bool  // and whether it is a root
	blobs       map[digest.Sum]int64 // manifests too; sizes in bytes
}

func newHolding(s Side) *holding {
	h := &holding{Side: s, manifests: map[digest.Sum]bool{}, blobs: map[digest.Sum]int64{}}
	for i := range s.Parts {
		p := &s.Parts[i]
		h.isInventory = h.isInventory || p.Inventory != nil
		for image := range p.images {
			h.manifests[sum(image.Digest)] = false
		}
		for b := range p.blobs {
			h.blobs[b.sum] = b.size
		}
	}
	for _, p := range s.Parts {
		for _, root := range p.roots() {
			h.manifests[sum(root.Digest)] = true
		}
	}
	return h
}

// subject describes the side.
func (h *holding) subject() Subject {
	s := Subject{Name: h.Name, Kind: h.Kind, Roots: []report.Root{}}
	for _, size := range h.blobs {
		s.Blobs.add(size)
	}
	for _, p := range h.Parts {
		s.Roots = append(s.Roots, p.roots()...)
		s.Unread = s.Unread || p.Plan != nil && p.Plan.Graph.MayHide()
	}
	return s
}

// without returns the manifests that other does not have.
func (h *holding) without(other *holding) []Image {
	list := []Image{}
	seen := map[digest.Sum]bool{}
	for i := range h.Parts {
		for image := range h.Parts[i].images {
			key := sum(image.Digest)
			if _, isThere := other.manifests[key]; !isThere && !seen[key] {
				seen[key] = true
				list = append(list, image)
			}
		}
	}
	return list
}

// hasRoots reports whether all roots of the side are roots of other.
func (h *holding) hasRoots(other *holding) bool {
	for key, isRoot := range h.manifests {
		if isRoot && !other.manifests[key] {
			return false
		}
	}
	return true
}

// count counts the blobs that both sides have, those that one has alone, and what must be carried.
func (r *Report) count(was, is *holding) {
	for key, size := range was.blobs {
		if _, isThere := is.blobs[key]; !isThere {
			r.Blobs.Removed.add(size)
		}
	}
	for key, size := range is.blobs {
		if _, isThere := was.blobs[key]; isThere {
			r.Blobs.Same.add(size)
		} else {
			r.Blobs.Added.add(size)
		}
	}
	carried := map[digest.Sum]bool{}
	for i := range is.Parts {
		for b := range is.Parts[i].blobs {
			_, isThere := was.blobs[b.sum]
			if !carried[b.sum] && (b.always || !isThere && !b.assumed) {
				carried[b.sum] = true
				r.Carry.add(b.size)
			}
		}
	}
}
