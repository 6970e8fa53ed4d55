package relocate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// content is what a repository holds, as far as its tags and the dropped roots lead to it.
type content struct {
	tags     map[string]v1.Hash
	dangling map[string]bool // tags without a manifest

	graph    *bundle.Graph
	attached map[v1.Hash][]v1.Hash // what is attached to a manifest, with the locations image of a bundle
	kinds    map[v1.Hash]string    // of what is attached
	subject  map[v1.Hash]v1.Hash   // of manifests that refer to one
	absent   map[v1.Hash]bool      // foreign layers that the registry does not have
}

// attach finds what is attached to the manifests of the graph, by tags that are made of their digests
// and by subjects.
func (c *content) attach() {
	c.attached, c.kinds = map[v1.Hash][]v1.Hash{}, map[v1.Hash]string{}
	attach := func(d, subject v1.Hash, kind string) {
		if d != subject {
			c.attached[subject], c.kinds[d] = append(c.attached[subject], d), kind
		}
	}
	for _, n := range c.graph.Nodes {
		if subject, ok := c.subject[n.Descriptor.Digest]; ok {
			attach(n.Descriptor.Digest, subject, kindAttached)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(c.tags)) {
		if d, isLocations, ok := imgpkg.ParseTag(tag); ok && isLocations {
			attach(c.tags[tag], d, kindLocations)
		} else if d, made := c.madeOf(tag); made && !ok {
			attach(c.tags[tag], d, kindAttached)
		}
	}
}

// madeOf returns the digest of which imgpkg, cosign or the referrers tag schema made a tag. A tag without
// a suffix is of that schema only where it stands for an index; others are somebody's.
func (c *content) madeOf(tag string) (v1.Hash, bool) {
	if d, _, ok := imgpkg.ParseTag(tag); ok {
		return d, true
	}
	d, ok := oci.SubjectOf(tag)
	if ok && !strings.Contains(tag, ".") {
		n := c.graph.Node(c.tags[tag])
		ok = n != nil && n.Kind == bundle.Index && c.tags[tag] != d
	}
	return d, ok
}

// Kinds of what is attached to a manifest.
const (
	kindAttached  = string(bundle.Attached)
	kindLocations = "locations"
)

// next returns what a manifest leads to, as far as it is present.
func (c *content) next(d v1.Hash) []v1.Hash {
	return slices.DeleteFunc(slices.Concat(c.graph.Node(d).Children, c.attached[d]), func(d v1.Hash) bool { return c.graph.Node(d) == nil })
}

// levels returns everything that starts lead to, level by level, without what is in except.
func (c *content) levels(starts []v1.Hash, except map[v1.Hash]bool) [][]v1.Hash {
	seen := map[v1.Hash]bool{}
	var levels [][]v1.Hash
	for len(starts) > 0 {
		var level, next []v1.Hash
		for _, d := range starts {
			if c.graph.Node(d) != nil && !seen[d] && !except[d] {
				seen[d] = true
				level, next = append(level, d), append(next, c.next(d)...)
			}
		}
		if len(level) > 0 {
			levels = append(levels, level)
		}
		starts = next
	}
	return levels
}

// reach returns everything that starts lead to.
func (c *content) reach(starts []v1.Hash) map[v1.Hash]bool {
	reached := map[v1.Hash]bool{}
	for _, d := range slices.Concat(c.levels(starts, nil)...) {
		reached[d] = true
	}
	return reached
}

// sides are what stays, and what goes.
type sides struct {
	kept   map[v1.Hash]bool
	gone   []v1.Hash   // each once
	groups [][]v1.Hash // of gone, in the order to delete them; those of one group in any order
}

// isGone returns what goes.
func (s *sides) isGone() map[v1.Hash]bool {
	gone := map[v1.Hash]bool{}
	for _, d := range s.gone {
		gone[d] = true
	}
	return gone
}

// divide decides what stays: everything that a tag leads to which is not dropped. A tag that is made
// of the digest of a manifest below a dropped root keeps nothing: it goes with that manifest.
func (c *content) divide(dropped *droppedRoots) *sides {
	below := c.reach(slices.Concat(dropped.roots, dropped.parts))
	var keep []v1.Hash
	for tag, d := range c.tags {
		if !dropped.tags[tag] && !c.follows(tag, below) {
			keep = append(keep, d)
		}
	}
	s := &sides{kept: c.reach(keep)}
	first := c.levels(dropped.roots, s.kept)
	seen := maps.Clone(s.kept)
	for _, d := range slices.Concat(first...) {
		seen[d] = true
	}
	rest := slices.Concat(c.levels(dropped.parts, seen)...) // of archives whose roots do not lead there any longer
	s.gone = slices.Concat(slices.Concat(first...), rest)
	s.groups = c.order(append(first, rest))
	return s
}

// follows reports whether a tag goes with a manifest of below, of whose digest it is made. A tag that
// protects a manifest, but has another one, is somebody's.
func (c *content) follows(tag string, below map[v1.Hash]bool) bool {
	d, ok := c.madeOf(tag)
	if _, isLocations, isImgpkg := imgpkg.ParseTag(tag); isImgpkg && !isLocations && c.tags[tag] != d {
		return false
	}
	return ok && below[d]
}

// order returns the levels in the order to delete them. Locations images go first, because imgpkg
// trusts them; then what is deepest, so that the roots lead to what is left after an interruption.
func (c *content) order(levels [][]v1.Hash) [][]v1.Hash {
	groups := [][]v1.Hash{nil}
	for _, level := range slices.Backward(levels) {
		var group []v1.Hash
		for _, d := range level {
			if c.kinds[d] == kindLocations {
				groups[0] = append(groups[0], d)
			} else {
				group = append(group, d)
			}
		}
		groups = append(groups, group)
	}
	return groups
}

// tagsOf returns the tags of each manifest, sorted.
func (c *content) tagsOf() map[v1.Hash][]string {
	list := map[v1.Hash][]string{}
	for _, tag := range slices.Sorted(maps.Keys(c.tags)) {
		list[c.tags[tag]] = append(list[c.tags[tag]], tag)
	}
	return list
}

// describe returns the plan.
func (p *pruner) describe(dropped *droppedRoots, s *sides) *Pruning {
	r := &Pruning{Repository: p.repo.Name(), Drop: dropped.list, Manifests: []PrunedManifest{}, Packages: p.packagesGone(s)}
	tags, isGone := p.tagsOf(), s.isGone()
	for _, d := range slices.Concat(s.groups...) {
		r.Manifests = append(r.Manifests, PrunedManifest{
			Digest: d, Kind: cmp.Or(p.kinds[d], string(p.graph.Node(d).Kind)), Size: p.graph.Node(d).Descriptor.Size, Names: p.namesElsewhere(d), Tags: tags[d],
		})
		if err := p.unread[d]; err != nil {
			r.Unread = append(r.Unread, Unread{d, err.Error()})
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(p.tags)) {
		d := p.tags[tag]
		_, made := p.madeOf(tag)
		switch {
		case isGone[d]:
		case dropped.tags[tag], p.follows(tag, isGone):
			r.Untag = append(r.Untag, PrunedTag{tag, d})
		default:
			r.Keep.Tags++
			if !made {
				r.Keep.Roots = append(r.Keep.Roots, tag)
			}
		}
	}
	for i := range r.Drop {
		if d := r.Drop[i].Digest; d != nil && !isGone[*d] {
			r.Drop[i].KeptBy = p.keptBy(*d, dropped)
		}
	}
	p.measure(r, s)
	return r
}

// measure counts blobs and bytes.
func (p *pruner) measure(r *Pruning, s *sides) {
	kept, gone, isGone := map[v1.Hash]int64{}, map[v1.Hash]int64{}, s.isGone()
	for _, n := range p.graph.Nodes {
		all := gone
		if !isGone[n.Descriptor.Digest] {
			all = kept
			r.Keep.Manifests++
		}
		all[n.Descriptor.Digest] = n.Descriptor.Size
		for _, b := range n.Blobs {
			all[b.Digest] = b.Size
		}
	}
	for _, size := range kept {
		r.Keep.Bytes += size
	}
	r.Keep.Blobs = len(kept)
	for d, size := range gone {
		if _, ok := kept[d]; !ok && !p.absent[d] {
			r.Blobs, r.Bytes = r.Blobs+1, r.Bytes+size
		}
	}
}

// keptBy says what needs a dropped root besides.
func (p *pruner) keptBy(d v1.Hash, dropped *droppedRoots) []string {
	var tags, roots []string
	for _, tag := range slices.Sorted(maps.Keys(p.tags)) {
		if _, made := p.madeOf(tag); made || dropped.tags[tag] {
			continue
		}
		if p.tags[tag] == d {
			tags = append(tags, tag)
		} else if p.reach([]v1.Hash{p.tags[tag]})[d] {
			roots = append(roots, tag)
		}
	}
	return slices.Concat(tags, roots)
}

// packagesGone returns the package versions that only repositories which go have.
func (p *pruner) packagesGone(s *sides) []string {
	gone, kept := map[string]bool{}, map[string]bool{}
	for _, pkg := range p.graph.Packages {
		if version := pkg.Name + " " + pkg.Version; s.kept[pkg.Repository] {
			kept[version] = true
		} else {
			gone[version] = true
		}
	}
	maps.DeleteFunc(gone, func(version string, _ bool) bool { return kept[version] })
	return slices.Sorted(maps.Keys(gone))
}

// namesElsewhere returns the references to a manifest that do not name the repository.
func (p *pruner) namesElsewhere(d v1.Hash) []string {
	own := p.repo.Digest(d.String()).Name()
	return slices.DeleteFunc(slices.Clone(p.graph.Node(d).References), func(s string) bool { return s == own })
}
