package relocate

import (
	"context"
	"slices"

	"relocate/bundle"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/tarball"
)

// Plan says what Export would move from a source, and the exact size of the archive. It fetches
// manifests, configs and bundles, and no layer of an image. It uses only the Format and the Bases of to.
//
// Errors: as Export, where it walks.
func Plan(ctx context.Context, from Source, to Target, opt Options) (*Result, error) {
	w, err := newWalker(from, opt)
	if err == nil {
		err = w.leaveOut(to)
	}
	if err != nil {
		return nil, err
	}
	found, err := w.walk(ctx, opt.TempDir)
	if err != nil {
		return nil, err
	}
	defer found.close()
	if err := opt.checkNames(found.plan.Graph); err != nil {
		return nil, err
	}
	opt.noteTags(found.plan.Graph.Roots)
	opt.noteForeign(found.plan.Graph)
	opt.noteSparse(found.plan.Graph)
	scan, err := found.scan()
	if err != nil {
		return nil, err
	}
	r := &Result{Plan: found.plan, Scan: scan, Selected: found.part.selected, Replaced: found.part.replaced, Format: to.Format}
	draft, err := tarball.New(ctx, found.plan, found.source, tarball.Request{Format: to.Format, NoOrigins: from.isBundleLock})
	if err != nil {
		return nil, err
	}
	r.Size = draft.Size()
	return r, opt.content(ctx, found.source, found.plan)
}

// noteForeign warns of images that some registries refuse as they are configured by default.
func (o Options) noteForeign(g *bundle.Graph) {
	images := 0
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Blobs, oci.IsForeign) {
			images++
		}
	}
	if images > 0 {
		o.note("", "%s with foreign layers, as Windows images have: docker-registry refuses them unless validation.manifests.urls.allow in its configuration allows their URLs", text.Count(images, "image"))
	}
}
