package relocate

import (
	"context"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/diff"
	"relocate/inventory"
	"relocate/tarball"
)

// Side is one of the two that Diff compares: archives and inventories, which count as one; a plan; or a
// source.
type Side struct {
	Name        string // of the file or the reference
	Archives    []*tarball.Archive
	Inventories []*inventory.Inventory
	Plan        *bundle.Plan  // of a source, as Options.Content is given it
	Content     bundle.Source // of Plan
	Source      Source        // where nothing else is given; a root may be of any kind
	Selection   Selection     // of the roots of Source
}

// Diff says what differs between a and b: packages and versions, the values that they take, images and
// bytes. Of an archive it reads only the head, and of a registry what Plan reads; no layer of an image is
// read.
//
// Of opt, Jobs, TempDir, Progress and Renderer count.
//
// Errors: those of tarball.Archive.HeadPlan; ErrOptions; those of bundle.Walk.
func Diff(ctx context.Context, a, b Side, opt Options) (*diff.Report, error) {
	was, err := a.open(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer was.close()
	is, err := b.open(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer is.close()
	return opt.compare(ctx, was.Side, is.Side)
}

// opened is a side that was read.
type opened struct {
	diff.Side
	close func()
}

// open reads what a side holds. The caller closes it.
func (s *Side) open(ctx context.Context, opt Options) (*opened, error) {
	o := &opened{diff.Side{Name: s.Name, Kind: diff.Archive}, func() {}}
	for _, a := range s.Archives {
		plan, err := a.HeadPlan(ctx, opt.jobs(), opt.Renderer)
		if err != nil {
			return nil, err
		}
		o.Parts = append(o.Parts, opt.part(a.Name(), plan, a))
	}
	if len(o.Parts) == 0 {
		o.Kind = diff.Inventory
	}
	if s.Plan != nil {
		o.Kind, o.Parts = diff.Registry, append(o.Parts, opt.part(s.Name, s.Plan, s.Content))
	}
	for _, i := range s.Inventories {
		o.Parts = append(o.Parts, diff.OfInventory(i))
	}
	if len(o.Parts) > 0 {
		return o, nil
	}
	opt.Selection = s.Selection
	return o, o.walk(ctx, s.Source, opt)
}

// walk reads the registries of a source.
func (o *opened) walk(ctx context.Context, from Source, opt Options) error {
	from.anyKind = true
	w, err := newWalker(from, opt)
	if err != nil {
		return err
	}
	found, err := w.read(ctx, opt.TempDir)
	if err != nil {
		return err
	}
	o.Kind, o.close = diff.Registry, found.scratch.remove // the plan is not kept
	o.Parts = append(o.Parts, opt.part(o.Name, found.plan, found.source))
	return nil
}

// part is what is compared of a plan, with what its packages say. of names it.
func (o Options) part(of string, plan *bundle.Plan, src bundle.Source) diff.Part {
	part := diff.PartOf(plan)
	part.Source, part.Renderer = src, o.Renderer
	part.Values = func(ctx context.Context, p *carvel.Package) (carvel.Schema, error) {
		r := &rendering{opt: RenderOptions{Options: o}, of: of, src: src, graph: part.Graph, whole: true, pkg: p}
		found, err := r.dataValues(ctx)
		if err != nil {
			return nil, err
		}
		return found.Schema, nil
	}
	return part
}

// compare compares two sides. Its phase counts the packages whose files are read for their values.
func (o Options) compare(ctx context.Context, a, b diff.Side) (*diff.Report, error) {
	ph := o.begin("compare", 0, 0)
	defer ph.end()
	for _, parts := range [][]diff.Part{a.Parts, b.Parts} {
		for i := range parts {
			if values := parts[i].Values; values != nil {
				parts[i].Values = func(ctx context.Context, p *carvel.Package) (carvel.Schema, error) {
					ph.read()
					return values(ctx, p)
				}
			}
		}
	}
	return diff.Compare(ctx, a, b)
}
