package relocate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/report"
	"relocate/tarball"
)

// Import fills a repository from an archive that is open. It has checked everything but the content
// of layers before it uploads the first byte; what is already present is not uploaded again. So
// another Import resumes one that was interrupted.
//
// With opt.KeepGoing the error may be a *copy.PartialError, beside a result.
//
// Errors: ErrOptions, ErrTags; ErrHeld; tarball.ErrDamaged; *bundle.NoAttachmentsError; those of
// copy.ToRepository and of registry.Client.
func Import(ctx context.Context, from *tarball.Archive, to Destination, opt Options) (*Result, error) {
	unlock, err := to.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return importArchive(ctx, from, to, opt)
}

// importArchive fills a repository that is locked.
func importArchive(ctx context.Context, from *tarball.Archive, to Destination, opt Options) (*Result, error) {
	p, plan, err := opt.checkedPart(ctx, from)
	if err != nil {
		return nil, err
	}
	defer p.close()
	r := &Result{Plan: plan, Selected: p.selected, Replaced: p.replaced, Size: from.Size(), Seal: from.Seal(), Format: from.Format()}
	if to.SecretRef != "" || len(p.selected) > 0 {
		if r.Scan, err = p.scan(ctx, opt, p.source, plan); err != nil {
			return nil, err
		}
	}
	f := &filling{action: "import", to: to, opt: opt, r: r, src: p.source}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		result, err := copy.ToRepository(ctx, plan, p.source, dst, to.Repository, o)
		if unchanged := from.Unchanged(); unchanged != nil {
			err = unchanged
		}
		return result, err
	}
	return f.run(ctx)
}

// checkedPart returns the part of an archive that is selected, and its plan. The archive is checked as
// a whole. The caller closes the part.
//
// Errors: as Import.
func (o Options) checkedPart(ctx context.Context, a *tarball.Archive) (*part, *bundle.Plan, error) {
	if err := o.Selection.check(); err != nil {
		return nil, nil, err
	}
	whole, err := a.CheckedPlan(ctx, o.jobs(), o.Renderer)
	if err != nil {
		return nil, nil, err
	}
	if err := o.Selection.checkOmitted(whole.Omitted); err != nil {
		return nil, nil, err
	}
	g := whole.Graph
	opt := bundle.WalkOptions{Jobs: o.jobs(), Closed: true, Pins: g.Pins, Without: bundle.LeftOut(whole.Omitted), Renderer: o.Renderer}
	var roots []name.Reference
	for _, root := range g.Roots {
		roots = append(roots, root.Reference)
	}
	p, err := o.choose(ctx, a, roots, opt)
	if err == nil {
		err = p.trim(ctx, o, roots, opt, o.TempDir)
	}
	if err != nil {
		p.close()
		return nil, nil, err
	}
	if len(p.selected) == 0 && len(o.Selection.Platforms) == 0 {
		return p, whole, nil
	}
	opt.Pins, opt.Attachments, opt.Replaced, opt.Platforms = p.pins, g.Attachments, p.originals, o.Selection.sparse()
	of, err := bundle.Walk(ctx, p.source, p.roots, opt)
	if err == nil {
		err = o.checkPlatforms(of)
	}
	if err != nil {
		p.close()
		return nil, nil, err
	}
	for _, n := range of.Nodes {
		if was := g.Node(n.Descriptor.Digest); was != nil {
			n.From = was.From
		}
	}
	of.Unseen, of.Listed = g.Unseen, p.relock(g.Listed)
	p.inapplicable(of)
	plan, err := bundle.NewPlan(of, bundle.PlanOptions{NonDistributable: len(report.OmittedLayers(whole.Omitted)) == 0, Bases: whole.Bases})
	return p, plan, err
}

// Part is what a selection makes of an archive.
type Part struct {
	Plan     *bundle.Plan
	Source   bundle.Source // has the content of the plan, while the archive is open
	Selected []report.Selected
	Replaced []report.Replaced
}

// PartOf returns what an Import of an archive with opt.Selection carries.
//
// Errors: as Import, where it reads the archive.
func PartOf(ctx context.Context, a *tarball.Archive, opt Options) (*Part, error) {
	p, plan, err := opt.checkedPart(ctx, a)
	if err != nil {
		return nil, err
	}
	return &Part{plan, p.source, p.selected, p.replaced}, nil
}

// ImportStream fills a repository from an archive that arrives once, from front to back. Layers are
// uploaded as they arrive, and manifests once the seal matches, which proves everything else. What
// precedes the layers is kept in a scratch file; a stream in imgpkg's format is kept as a whole.
//
// Errors: as Import; tarball.ErrNotArchive, tarball.ErrTruncated, tarball.ErrPassed.
func ImportStream(ctx context.Context, from io.Reader, to Destination, opt Options) (*Result, error) {
	unlock, err := to.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	scratch, err := newScratch(opt.TempDir)
	if err != nil {
		return nil, err
	}
	defer scratch.remove()
	in, out := io.Pipe()
	context.AfterFunc(ctx, func() { _ = out.CloseWithError(ctx.Err()) }) // nothing else ends a read of a silent pipe
	go func() {
		_, err := io.Copy(out, from)
		_ = out.CloseWithError(err)
	}()
	defer func() { _ = in.Close() }() // which ends the copy to it
	s := &incoming{Reader: bufio.NewReader(in), name: nameOf(from), scratch: scratch, to: to, opt: opt}
	if first, _ := s.Peek(len("manifest.json") + 1); tarball.IsImgpkg(first) {
		return s.importSpooled(ctx)
	}
	return s.importSealed(ctx)
}

// nameOf names a stream in errors: by its own Name where it has one.
func nameOf(stream any) string {
	if named, ok := stream.(interface{ Name() string }); ok {
		return named.Name()
	}
	return "the stream"
}

// incoming is one ImportStream.
type incoming struct {
	*bufio.Reader
	name    string
	scratch *scratch
	to      Destination
	opt     Options
}

// importSealed imports while the stream arrives.
func (in *incoming) importSealed(ctx context.Context) (*Result, error) {
	if in.opt.Selection.chooses() || len(in.opt.Selection.Platforms) > 0 {
		return nil, optionsf("nothing can be chosen from an archive on a stream; import it from a file")
	}
	s, err := tarball.OpenStream(in, in.scratch)
	if err != nil {
		return nil, fmt.Errorf("%s %w", in.name, err)
	}
	plan, err := s.Plan(ctx, in.opt.jobs(), in.opt.Renderer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	in.opt.note("", "keeps %s in %s, and at most %s of a layer during its upload", text.Size(s.Kept()), in.scratch.dir, text.Size(largest(plan)))
	r := &Result{Plan: plan, Size: s.Size(), Seal: s.Seal(), Format: s.Format()}
	f := &filling{action: "import", to: in.to, opt: in.opt, r: r}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		return copy.FromStream(ctx, plan, s, dst, in.to.Repository, in.scratch, s.Kept(), o)
	}
	return f.run(ctx)
}

// largest returns the size of the largest layer.
func largest(plan *bundle.Plan) int64 {
	var n int64
	for _, b := range plan.Blobs[plan.Small:] {
		n = max(n, b.Descriptor.Size)
	}
	return n
}

// importSpooled imports a stream in imgpkg's format, where what describes the rest can be anywhere:
// all of it is kept first.
func (in *incoming) importSpooled(ctx context.Context) (*Result, error) {
	in.opt.note("", "the archive has imgpkg's format: all of it is stored in %s before the import", in.scratch.dir)
	n, err := io.Copy(in.scratch, in)
	if err != nil {
		return nil, fmt.Errorf("keep %s in %s: %w", in.name, in.scratch.dir, err)
	}
	a, err := tarball.NewArchive(in.scratch, n)
	if err != nil {
		return nil, fmt.Errorf("%s %w", in.name, err)
	}
	return importArchive(ctx, a, in.to, in.opt)
}

// Copy copies from registry to registry what an Export and an Import would, with the checks of
// both.
//
// Errors: as Export, where it walks, and as Import.
func Copy(ctx context.Context, from Source, to Destination, opt Options) (*Result, error) {
	unlock, err := to.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	w, err := newWalker(from, opt)
	if err != nil {
		return nil, err
	}
	found, err := w.walk(ctx, opt.TempDir)
	if err != nil {
		return nil, err
	}
	defer found.close()
	to.listed = found.part.relock(from.lock)
	r := &Result{Plan: found.plan, Selected: found.part.selected, Replaced: found.part.replaced}
	f := &filling{action: "copy", to: to, opt: opt, r: r, src: found.source}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		return copy.ToRepository(ctx, found.plan, found.source, dst, to.Repository, o)
	}
	if r, err = f.run(ctx); r == nil {
		return nil, err
	}
	var scanErr error
	if r.Scan, scanErr = found.scan(); scanErr != nil {
		return nil, errors.Join(err, scanErr)
	}
	return r, err
}

// isPartial reports whether an error leaves a result.
func isPartial(err error) bool {
	var partial *copy.PartialError
	return errors.As(err, &partial)
}
