package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/manifests"
	"relocate/oci"
	"relocate/tarball"
)

// resume continues with an archive that was cut off.
//
// Errors: fs.ErrNotExist when none exists.
func (e *exporting) resume(ctx context.Context) (*unfinished, error) {
	w, plan, err := tarball.Resume(ctx, e.to.Path, e.request(), e.opt.jobs(), e.opt.Renderer)
	if err != nil {
		return nil, err
	}
	u := &unfinished{archive: w, plan: plan, source: e.client, close: func() {}}
	if err := e.recheck(ctx, u); err != nil {
		return nil, errors.Join(err, w.Suspend())
	}
	if err := e.opt.checkNames(plan.Graph); err != nil {
		return nil, errors.Join(err, w.Suspend())
	}
	e.opt.noteTags(plan.Graph.Roots)
	return u, nil
}

// recheck compares an archive that was cut off with what the source says now.
func (e *exporting) recheck(ctx context.Context, u *unfinished) (err error) {
	g := u.plan.Graph
	if e.to.Format != tarball.Imgpkg && !e.sourceLock(g).Equal(e.listed()) { // imgpkg's format has no lock
		return e.other("the lock has other annotations")
	}
	e.opt.note("resumed", "continues with %s.part, which has %s of %s", e.to.Path, text.Size(u.archive.Written()), text.Size(u.plan.Size()))
	src, err := e.over(ctx, e.client) // what it has besides is small, and written already
	if err != nil {
		return err
	}
	if u.moved, err = e.movedTags(ctx, src, e.atSource(g)); err != nil {
		return err
	}
	if err := e.checkRoots(ctx, g); err != nil {
		return err
	}
	return e.noteNotRefused(ctx, g)
}

// other says that an archive that was cut off is not what is requested.
func (e *exporting) other(format string, args ...any) error {
	return fmt.Errorf("resume %s: %w: %s", e.to.Path, tarball.ErrCannotResume, fmt.Sprintf(format, args...))
}

// checkRoots asks the source again for the roots of an archive that was cut off. A file of an
// earlier run does not decide what a reference means.
//
// Errors: tarball.ErrCannotResume when the source does not have them, or they are not what is asked
// for.
func (e *exporting) checkRoots(ctx context.Context, graph *bundle.Graph) error {
	for _, ref := range e.roots {
		is := func(root bundle.Root) bool { return e.sourceOf(graph, root).String() == ref.Identifier() }
		if _, ok := ref.(name.Digest); ok && !slices.ContainsFunc(graph.Roots, is) {
			return e.other("%s is not one of its roots", ref)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.opt.jobs())
	for _, root := range graph.Roots {
		if root.Reference.Context() == manifests.Repository { // made of files, which the request knows
			continue
		}
		ref := root.Reference.Context().Digest(e.sourceOf(graph, root).String())
		g.Go(func() error {
			_, _, err := e.client.Manifest(ctx, ref)
			if errors.Is(err, fs.ErrNotExist) {
				return e.other("the registry does not have its root %s", ref)
			}
			if err != nil {
				return fmt.Errorf("ask for root %s again: %w", ref, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// named returns the root that was named, where a root was derived from it by a selection; nil for all
// others.
func (e *exporting) named(g *bundle.Graph, root bundle.Root) name.Reference {
	from := v1.Hash{}
	if n := g.Node(root.Digest); n != nil && n.Derived != nil {
		from = n.Derived.From
	}
	for _, ref := range e.roots {
		made := e.opt.Selection.Root(ref)
		if made != ref && made.Name() == root.Reference.Name() {
			return ref
		}
		d, isDigest := made.(name.Digest)
		switch {
		case !e.opt.Selection.trims():
		case isDigest && d.Context() == root.Reference.Context() && d.DigestStr() == from.String():
			return ref
		case !isDigest && e.opt.Selection.trimmed(ref, v1.Hash{}).Name() == root.Reference.Name():
			return ref
		}
	}
	return nil
}

// sourceLock returns the lock whose images the roots are, as the source has it.
func (e *exporting) sourceLock(g *bundle.Graph) *carvel.ImagesLock {
	if g.Listed == nil || !e.opt.Selection.trims() {
		return g.Listed
	}
	lock := &carvel.ImagesLock{}
	for _, entry := range g.Listed.Images {
		if n := g.Node(oci.HashOf(entry.Image)); n != nil && n.Derived != nil {
			entry.Image = entry.Image.Context().Digest(n.Derived.From.String())
		}
		lock.Images = append(lock.Images, entry)
	}
	return lock
}

// sourceOf returns the digest that the source has of a root: of a derived one, that of what it was
// derived from.
func (e *exporting) sourceOf(g *bundle.Graph, root bundle.Root) v1.Hash {
	if n := g.Node(root.Digest); n != nil && n.Derived != nil && e.named(g, root) != nil {
		return n.Derived.From
	}
	return root.Digest
}

// atSource returns the pins of a graph as the source has them: without the tags of derived roots, and
// with those of what they were derived from.
func (e *exporting) atSource(g *bundle.Graph) []bundle.Pin {
	pins := slices.Clone(g.Pins)
	for _, root := range g.Roots {
		ref := e.named(g, root)
		if ref == nil {
			continue
		}
		pins = slices.DeleteFunc(pins, func(p bundle.Pin) bool { return p.Reference == root.Reference.Name() })
		if _, isTag := ref.(name.Tag); isTag {
			pins = append(pins, bundle.Pin{Reference: ref.Name(), Digest: e.sourceOf(g, root)})
		}
	}
	return pins
}

// movedTags asks for tags again, and notes which mean something else. The error is ctx's.
func (e *exporting) movedTags(ctx context.Context, src bundle.Source, pins []bundle.Pin) (moved []MovedTag, err error) {
	found := make([]*MovedTag, len(pins))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(e.opt.jobs())
	for i, pin := range pins {
		g.Go(func() error { found[i] = askAgain(running, src, pin); return running.Err() })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, m := range found {
		if m != nil {
			moved = append(moved, *m)
			e.opt.noteMoved(*m)
		}
	}
	return moved, nil
}

// askAgain returns how a tag differs from what it meant when the export began; nil when it does
// not.
func askAgain(ctx context.Context, src bundle.Source, pin bundle.Pin) *MovedTag {
	moved := &MovedTag{Reference: pin.Reference, Was: pin.Digest}
	ref, err := name.ParseReference(pin.Reference)
	var desc v1.Descriptor
	if err == nil {
		desc, _, err = src.Manifest(ctx, ref)
	}
	switch {
	case err != nil:
		moved.Reason = err.Error()
	case desc.Digest == pin.Digest:
		return nil
	}
	moved.Is = desc.Digest
	return moved
}

func (o Options) noteMoved(m MovedTag) {
	if m.Reason != "" {
		o.note("", "cannot check %s again (%s); the export continues with %s", m.Reference, m.Reason, m.Was)
		return
	}
	o.note("moved", "%s has moved to %s since the export began; the export continues with %s", m.Reference, m.Is, m.Was)
}

// noteNotRefused asks again for attachments that were refused when the export began, and notes
// which are refused no longer: the archive is laid out without them. The error is ctx's.
func (e *exporting) noteNotRefused(ctx context.Context, g *bundle.Graph) error {
	if !g.WasRefused() {
		return nil
	}
	ph := e.opt.begin("read", 0, 0)
	opt := bundle.WalkOptions{Jobs: e.opt.requests(), Read: ph.read}
	e.discover(&opt)
	list, err := g.NoLongerRefused(ctx, e.client, opt)
	ph.end()
	if err != nil {
		e.opt.note("", "cannot ask again for what was refused when the export began: %v", err)
	}
	for _, u := range list {
		e.opt.note("no-longer-refused", "%s can be read now, but could not when the export began; the export continues without what may be attached", u.Place())
	}
	return ctx.Err()
}
