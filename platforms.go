package relocate

import (
	"slices"

	"relocate/bundle"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/registry"
)

// platforms returns the chosen platforms for an export that resumes.
func (s Selection) platforms() []string {
	var list []string
	for _, p := range s.Platforms {
		list = append(list, "platform "+p.String())
	}
	slices.Sort(list)
	if list = slices.Compact(list); s.Derive {
		list = append(list, "derived")
	}
	return list
}

// checkPlatforms fails where there are indexes and none of them has a chosen platform, and notes what an
// operator may not expect.
func (o Options) checkPlatforms(g *bundle.Graph) error {
	unchosen := g.Unchosen()
	if len(unchosen) == 0 {
		return nil
	}
	if !slices.ContainsFunc(g.Chosen, func(n int) bool { return n > 0 }) {
		return optionsf("no index has an image for a chosen platform; the first is %s", unchosen[0])
	}
	o.note("platforms", "%s without an image for a chosen platform, carried whole; the first is %s", text.Count(len(unchosen), "index"), unchosen[0])
	for i, n := range g.Chosen {
		if n == 0 {
			o.note("platforms", "no index has an image for %s", o.Selection.Platforms[i])
		}
	}
	return nil
}

// sparseIndexes returns the kinds of indexes of which children are left out, with their platforms.
func sparseIndexes(g *bundle.Graph) []registry.SparseIndex {
	var list []registry.SparseIndex
	for _, n := range g.Nodes[:g.Core()] {
		if len(n.Without) == 0 {
			continue
		}
		at := slices.IndexFunc(list, func(i registry.SparseIndex) bool { return i.MediaType == n.Descriptor.MediaType })
		if at < 0 {
			at = len(list)
			list = append(list, registry.SparseIndex{MediaType: n.Descriptor.MediaType})
		}
		for _, child := range n.Without {
			p, _ := oci.ParsePlatform(child.Platform) // the zero value for an attestation
			if !slices.ContainsFunc(list[at].Platforms, p.Equals) {
				list[at].Platforms = append(list[at].Platforms, p)
			}
		}
	}
	return list
}
