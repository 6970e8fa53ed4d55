package diff

import (
	"bytes"
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/report"
)

// Compare says what differs between a and b.
//
// Errors: of reading the repositories of packages, as bundle.Node.Documents; that of ctx.
func Compare(ctx context.Context, a, b Side) (*Report, error) {
	was, is := newHolding(a), newHolding(b)
	r := &Report{Version: Version, A: was.subject(), B: is.subject(), DigestsOnly: was.isInventory || is.isInventory, Packages: []Package{}}
	r.Images = Images{Added: is.without(was), Removed: was.without(is)}
	r.count(was.blobs, is.blobs)
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
	isInventory bool   // a part is: it names no packages
	blobs       []blob // by digest, each once
}

func newHolding(s Side) *holding {
	h := &holding{Side: s}
	for i := range s.Parts {
		h.isInventory = h.isInventory || s.Parts[i].Graph == nil
	}
	if len(s.Parts) == 1 {
		h.blobs = s.Parts[0].blobs
		return h
	}
	for i := range s.Parts {
		h.blobs = append(h.blobs, s.Parts[i].blobs...)
	}
	slices.SortFunc(h.blobs, byDigest)
	h.blobs = slices.CompactFunc(h.blobs, func(a, b blob) bool { return a.sum == b.sum })
	return h
}

// subject describes the side.
func (h *holding) subject() Subject {
	s := Subject{Name: h.Name, Kind: h.Kind, Roots: []report.Root{}}
	for _, b := range h.blobs {
		s.Blobs.add(b.size)
	}
	for i := range h.Parts {
		p := &h.Parts[i]
		s.Roots = append(s.Roots, p.roots...)
		s.Unread = s.Unread || p.Graph != nil && p.Graph.MayHide()
	}
	return s
}

// has reports whether the side has the manifest d.
func (h *holding) has(d v1.Hash) bool {
	key := sum(d)
	_, found := slices.BinarySearchFunc(h.blobs, key[:], func(b blob, key []byte) int { return bytes.Compare(b.sum[:], key) })
	return found
}

// without returns the manifests that other does not have.
func (h *holding) without(other *holding) []Image {
	list := []Image{}
	seen := map[v1.Hash]bool{}
	for i := range h.Parts {
		for _, image := range h.Parts[i].images {
			if !other.has(image.Digest) && !seen[image.Digest] {
				seen[image.Digest] = true
				list = append(list, image)
			}
		}
	}
	return list
}

// hasRoots reports whether all roots of the side are roots of other.
func (h *holding) hasRoots(other *holding) bool {
	roots := map[v1.Hash]bool{}
	for i := range other.Parts {
		for _, root := range other.Parts[i].roots {
			roots[root.Digest] = true
		}
	}
	for i := range h.Parts {
		for _, root := range h.Parts[i].roots {
			if !roots[root.Digest] {
				return false
			}
		}
	}
	return true
}

// count counts the blobs that both sides have, those that one has alone, and what must be carried.
func (r *Report) count(was, is []blob) {
	for len(was)+len(is) > 0 {
		order := 0
		switch {
		case len(was) == 0:
			order = 1
		case len(is) == 0:
			order = -1
		default:
			order = bytes.Compare(was[0].sum[:], is[0].sum[:])
		}
		switch {
		case order < 0:
			r.Blobs.Removed.add(was[0].size)
		case order > 0:
			r.Blobs.Added.add(is[0].size)
		default:
			r.Blobs.Same.add(is[0].size)
		}
		if order >= 0 && (is[0].always || order > 0 && !is[0].assumed) {
			r.Carry.add(is[0].size)
		}
		if order <= 0 {
			was = was[1:]
		}
		if order >= 0 {
			is = is[1:]
		}
	}
}
