package bundle

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/oci"
	"relocate/report"
)

// Child is a child of an index that is left out.
type Child struct {
	v1.Descriptor
	Platform string // such as linux/arm64, where the index says one
}

// leaveOut takes the children of x, an index with the manifest m, that are left out from what it wants:
// those in opt.Without and, where some of the others are for the chosen platforms, those that are for
// other platforms, with their attestations. Children without a platform stay.
func (w *walk) leaveOut(x *want, m *oci.Manifest) error {
	if len(w.opt.Without) == 0 && len(w.opt.Platforms) == 0 {
		return nil
	}
	without := map[v1.Hash]bool{}
	for _, child := range m.Children {
		if d := child.Digest; w.opt.Without[d] && !w.kept[d] {
			without[d] = true
		}
	}
	w.leaveOutPlatforms(x, m, without)
	if len(without) == 0 {
		return nil
	}
	next, noted := x.next[:0], map[v1.Hash]bool{}
	for _, child := range x.next {
		switch d := child.desc.Digest; {
		case !without[d]:
			next = append(next, child)
		case !noted[d]:
			noted[d] = true
			x.found.Without = append(x.found.Without, Child{*child.desc, child.platform})
		}
	}
	if x.next = next; len(next) == 0 {
		return fmt.Errorf("%w: no child of the index is present", oci.ErrMalformed)
	}
	return nil
}

// leaveOutPlatforms adds to without the children of m that are for other platforms than the chosen ones.
func (w *walk) leaveOutPlatforms(x *want, m *oci.Manifest, without map[v1.Hash]bool) {
	if len(w.opt.Platforms) == 0 {
		return
	}
	chosen, others := map[v1.Hash]bool{}, map[v1.Hash]bool{}
	for i, child := range m.Children {
		is := func(p v1.Platform) bool { return oci.IsPlatform(p, m.Platforms[i]) }
		switch {
		case without[child.Digest] || m.Platforms[i] == "":
		case slices.ContainsFunc(w.opt.Platforms, is):
			chosen[child.Digest] = true
			x.platforms = append(x.platforms, m.Platforms[i])
		default:
			others[child.Digest] = true
		}
	}
	if len(chosen) == 0 {
		x.found.AllPlatforms = len(others) > 0
		return
	}
	leave := func(d v1.Hash) {
		if !chosen[d] && !w.kept[d] {
			without[d] = true
		}
	}
	for d := range others {
		leave(d)
	}
	for i, about := range m.Attested {
		if others[about] && !chosen[about] {
			leave(m.Children[i].Digest)
		}
	}
}

// keepMore adds to w.kept the children that an index would have left out although something else needs
// them, and reports whether there are any. The walk then starts again: a walk of the archive, which
// knows the left-out children in advance, must give the same graph.
func (w *walk) keepMore() bool {
	n := len(w.kept)
	for _, node := range w.graph.Nodes {
		for _, child := range node.Without {
			if w.graph.byDigest[child.Digest] != nil {
				w.kept[child.Digest] = true
			}
		}
	}
	return len(w.kept) > n
}

// countPlatforms sets how many indexes have each chosen platform.
func (w *walk) countPlatforms() {
	for _, p := range w.opt.Platforms {
		n := 0
		for _, node := range w.graph.Nodes {
			is := func(s string) bool { return oci.IsPlatform(p, s) }
			if slices.ContainsFunc(w.seen[node.Descriptor.Digest.String()].platforms, is) {
				n++
			}
		}
		w.graph.Chosen = append(w.graph.Chosen, n)
	}
}

// Unchosen returns the names of the indexes that have none of the chosen platforms. Nothing of them is
// left out.
func (g *Graph) Unchosen() []string {
	var names []string
	for _, n := range g.Nodes {
		if n.AllPlatforms {
			names = append(names, n.Name())
		}
	}
	return names
}

// LeftOut returns those of a list that are children of indexes, for WalkOptions.Without.
func LeftOut(omitted []report.Omitted) map[v1.Hash]bool {
	set := map[v1.Hash]bool{}
	for _, o := range omitted {
		if o.Reason == report.OtherPlatform {
			set[o.Digest] = true
		}
	}
	return set
}

// omitChildren records the children of indexes that are left out.
func (o *ordering) omitChildren() {
	noted := map[v1.Hash]bool{}
	for _, n := range o.plan.Graph.Nodes {
		for _, child := range n.Without {
			if !noted[child.Digest] {
				noted[child.Digest] = true
				o.plan.Omitted = append(o.plan.Omitted, report.Omitted{
					Digest: child.Digest, Size: child.Size, MediaType: string(child.MediaType), Image: n.Name(), Reason: report.OtherPlatform, Platform: child.Platform,
				})
			}
		}
	}
}
