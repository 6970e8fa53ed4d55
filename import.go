package relocate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/render"
	"relocate/report"
	"relocate/tarball"
)

// Import fills a repository from an archive that is open. It has checked everything but the content
// of layers before it uploads the first byte; what is already present is not uploaded again. So
// another Import resumes one that was interrupted. Of an archive in volumes of which some are missing, it
// uploads what is there, and nothing that refers to it.
//
// With opt.KeepGoing the error may be a *copy.PartialError, beside a result.
//
// Errors: ErrOptions, ErrTags; ErrSeal; ErrHeld; tarball.ErrDamaged; *IncompleteError; *bundle.NoAttachmentsError;
// those of copy.ToRepository and of registry.Client.
func Import(ctx context.Context, from *tarball.Archive, to Destination, opt Options) (*Result, error) {
	unlock, err := to.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return importArchive(ctx, from, to, opt)
}

// checkSeal compares the seal of an archive with the one that it must have, if any. What the seal covers is
// compared with the bytes of the archive when it is checked.
//
// Errors: ErrSeal; ErrOptions of imgpkg's format.
func (o Options) checkSeal(a *tarball.Archive) error {
	switch {
	case o.Seal == v1.Hash{}:
		return nil
	case a.Format() == tarball.Imgpkg:
		return optionsf("%s has imgpkg's format, which has no seal to compare with; its roots prove what it holds", a.Name())
	case a.Seal() != o.Seal:
		return fmt.Errorf("%s %w: its seal is %s, want %s", a.Name(), ErrSeal, a.Seal(), o.Seal)
	}
	return nil
}

// importArchive fills a repository that is locked.
func importArchive(ctx context.Context, from *tarball.Archive, to Destination, opt Options) (*Result, error) {
	p, plan, err := opt.checkedPart(ctx, from)
	if err != nil {
		return nil, err
	}
	defer p.close()
	opt.noteAfter(from)
	r := &Result{Plan: plan, Selected: p.selected, Replaced: p.replaced, Size: from.Size(), Seal: from.Seal(), Format: from.Format(), Signature: opt.Signature}
	if to.SecretRef != "" || len(p.selected) > 0 {
		if r.Scan, err = p.scan(ctx, opt, p.source, plan); err != nil {
			return nil, err
		}
	}
	f := &filling{action: "import", to: to, opt: opt, r: r, src: p.source}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		o.Begun = from.Volumes() != nil // some may have arrived before
		if to.AwaitBlobs > 0 {
			opt.note("", "waits for layers and configs that shards upload, until none has appeared for %v", to.AwaitBlobs)
		}
		var src bundle.Source = p.source
		if to.hashes {
			src = unhashed{p.source, from}
		}
		err := arrived(ctx, from, plan, src, dst, to.Repository, o)
		if err != nil {
			return nil, err
		}
		result, err := copy.ToRepository(ctx, plan, src, dst, to.Repository, o)
		if unchanged := from.Unchanged(); unchanged != nil {
			err = unchanged
		}
		return result, err
	}
	return f.run(ctx)
}

// unhashed is a source whose blobs come from an archive as they are, for a registry that hashes them.
type unhashed struct {
	bundle.Source
	archive *tarball.Archive
}

// Blob implements bundle.Source.
func (u unhashed) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	content, err := u.archive.Content(d.Digest)
	if err != nil || content.Size() != d.Size {
		return u.Source.Blob(ctx, repo, d)
	}
	return content, ctx.Err()
}

// checkedPart returns the part of an archive that is selected, and its plan. The archive is checked as
// a whole. The caller closes the part.
//
// Errors: as Import.
func (o Options) checkedPart(ctx context.Context, a *tarball.Archive) (*part, *bundle.Plan, error) {
	return o.partBy(ctx, a, a.CheckedPlan)
}

// partBy returns the part of an archive that is selected, and its plan. read checks the archive, as far as it
// has to be, and returns the plan of it all.
func (o Options) partBy(
	ctx context.Context, a *tarball.Archive, read func(context.Context, int, *render.Renderer) (*bundle.Plan, error),
) (*part, *bundle.Plan, error) {
	if err := errors.Join(o.checkSeal(a), o.Selection.check()); err != nil {
		return nil, nil, err
	}
	whole, err := read(ctx, o.jobs(), o.Renderer)
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
	p, err := o.choose(ctx, bundle.NewOverlay(a), roots, opt)
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
// With opt.Signed the signature itself is checked before anything is read, where the file of the seal is beside
// it, and compared with the archive's documents before a blob is read and before any request.
//
// Errors: as Import; *custody.UntrustedError; tarball.ErrNotArchive, tarball.ErrTruncated, tarball.ErrPassed.
func ImportStream(ctx context.Context, from io.Reader, to Destination, opt Options) (*Result, error) {
	unlock, err := to.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	in, err := opt.receive(ctx, from)
	if err != nil {
		return nil, err
	}
	defer in.close()
	if in.isImgpkg() {
		a, err := in.spool()
		if err != nil {
			return nil, err
		}
		return importArchive(ctx, a, to, opt)
	}
	return in.importSealed(ctx, to)
}

// importSealed imports while the stream arrives.
func (in *incoming) importSealed(ctx context.Context, to Destination) (*Result, error) {
	if in.opt.Selection.chooses() || len(in.opt.Selection.Platforms) > 0 {
		return nil, optionsf("nothing can be chosen from an archive on a stream; import it from a file")
	}
	s, err := in.open()
	if err != nil {
		return nil, err
	}
	if err := in.opt.checkSeal(s.Archive); err != nil {
		return nil, err
	}
	plan, err := s.Plan(ctx, in.opt.jobs(), in.opt.Renderer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	in.opt.note("", "keeps %s in %s, and at most %s of a layer during its upload", text.Size(s.Kept()), in.scratch.dir, text.Size(largest(plan)))
	r := &Result{Plan: plan, Size: s.Size(), Seal: s.Seal(), Format: s.Format(), Signature: in.opt.Signature}
	f := &filling{action: "import", to: to, opt: in.opt, r: r}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		o.Jobs = in.opt.jobs() // small layers wait in memory
		result, err := copy.FromStream(ctx, plan, s, dst, to.Repository, in.scratch, s.Kept(), o)
		if err == nil {
			in.opt.noteAfter(s.Archive)
		}
		return result, err
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
