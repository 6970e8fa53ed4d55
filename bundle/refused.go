package bundle

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
)

// NoLongerRefused searches again for attachments in the repositories that denied access during the
// walk of g. It returns the entries of g.Unseen that are now accessible. opt has the options of that
// walk. The graph does not change.
//
// Errors: as Walk.
func (g *Graph) NoLongerRefused(ctx context.Context, src Source, opt WalkOptions) ([]Unseen, error) {
	places := map[string]bool{}
	for _, u := range g.Unseen {
		if u.Reason == refused {
			places[u.repository()] = true
		}
	}
	everywhere := opt.Signatures != nil && places[opt.Signatures.Name()] // may have signatures of any image
	w := newWalk(src, opt)
	for _, n := range g.Nodes[:g.Core()] {
		if everywhere || places[n.From.Name()] {
			again := *n
			w.graph.Nodes, w.graph.byDigest[n.Descriptor.Digest] = append(w.graph.Nodes, &again), &again
		}
	}
	if err := w.attach(ctx); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(g.Unseen), func(u Unseen) bool {
		return u.Reason != refused || slices.Contains(w.graph.Unseen, u)
	}), nil
}

// repository returns the name of the repository, or of the manifest's repository.
func (u Unseen) repository() string {
	if u.What != unseenManifest {
		return u.Reference
	}
	ref, err := name.ParseReference(u.Reference)
	if err != nil {
		return ""
	}
	return ref.Context().Name()
}
