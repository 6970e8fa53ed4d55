package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify/leak"
)

// exporting is an archive that is being written, and where its blobs come from.
type exporting struct {
	archive *tarball.Writer
	plan    *bundle.Plan
	source  bundle.Source
	scan    *leak.Report // nil when it was not walked here
	moved   []movedTag
	close   func()
}

// export writes an archive, or goes on with one that was cut off.
func (c *copying) export(ctx context.Context) error {
	start := time.Now()
	if err := tarball.CheckTarget(c.toTar); err != nil { // before a walk of minutes
		return err
	}
	unlock, err := lockArchive(c.toTar)
	if err != nil {
		return err
	}
	defer unlock()
	if c.noResume {
		if err := tarball.Discard(c.toTar); err != nil {
			return err
		}
	}
	e, err := c.resume(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tarball.ErrOtherExport) {
		e, err = c.begin(ctx)
	}
	if err != nil {
		return err
	}
	defer e.close()
	r, err := c.fetch(ctx, e)
	nothing := func() error { return nil }
	if isA[notClosedError](err) { // told late: the archive is there, and its seal is to be known
		return errors.Join(err, c.finish(r, start, nothing, nil))
	}
	return c.finish(r, start, nothing, err)
}

// request is what the archive is to hold, by the command line.
func (c *copying) request() tarball.Request {
	request := tarball.Request{
		Roots: c.requested(), NonDistributable: c.nonDistributable, Attachments: c.attachments, Format: c.tarFormat.Format,
	}
	request.NoOrigins = request.Format == tarball.Imgpkg && c.named.bundleLock
	return request
}

// resume goes on with an archive that was cut off.
//
// Errors: fs.ErrNotExist when there is none.
func (c *copying) resume(ctx context.Context) (*exporting, error) {
	w, plan, err := tarball.Resume(ctx, c.toTar, c.request(), c.jobs)
	if err != nil {
		return nil, err
	}
	if c.tarFormat.Format != tarball.Imgpkg && !plan.Graph.Listed.Equal(c.named.listed()) { // imgpkg's form has no lock
		return nil, errors.Join(fmt.Errorf("resume %s: %w: the lock has other annotations", c.toTar, tarball.ErrOtherExport), w.Suspend())
	}
	e := &exporting{archive: w, plan: plan, close: func() {}}
	var roots []name.Reference
	for _, root := range plan.Graph.Roots {
		roots = append(roots, root.Reference)
	}
	client, err := c.source(roots)
	if err != nil {
		return nil, errors.Join(err, w.Suspend())
	}
	e.source = client
	c.show.note("goes on with %s.part, which has %s of %s", c.toTar, size(w.Written()), size(plan.Size()))
	if e.moved, err = c.movedTags(ctx, e.source, plan.Graph.Pins); err == nil {
		err = c.checkRoots(ctx, e)
	}
	if err == nil {
		err = c.noteRelented(ctx, client, plan.Graph)
	}
	if err != nil {
		return nil, errors.Join(err, w.Suspend())
	}
	noteTags(plan.Graph.Roots, c.show)
	return e, nil
}

// checkRoots asks the source again for the roots of an archive that was cut off. A file of an earlier run
// does not decide what a reference stands for.
//
// Errors: tarball.ErrOtherExport when the source does not have them, or they are not what is asked for.
func (c *copying) checkRoots(ctx context.Context, e *exporting) error {
	roots := e.plan.Graph.Roots
	other := func(format string, args ...any) error {
		return fmt.Errorf("resume %s: %w: %s", c.toTar, tarball.ErrOtherExport, fmt.Sprintf(format, args...))
	}
	for _, ref := range c.named.refs {
		is := func(root bundle.Root) bool { return root.Digest.String() == ref.Identifier() }
		if _, ok := ref.(name.Digest); ok && !slices.ContainsFunc(roots, is) {
			return other("%s is not one of its roots", ref)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.jobs)
	for _, root := range roots {
		ref := root.Reference.Context().Digest(root.Digest.String())
		g.Go(func() error {
			_, _, err := e.source.Manifest(ctx, ref)
			if errors.Is(err, fs.ErrNotExist) {
				return other("the registry does not have its root %s", ref)
			}
			if err != nil {
				return fmt.Errorf("ask for root %s again: %w", ref, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// movedTags asks for tags again, and tells which stand for something else. The error is ctx's.
func (c *copying) movedTags(ctx context.Context, src bundle.Source, pins []bundle.Pin) (moved []movedTag, err error) {
	found := make([]*movedTag, len(pins))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(c.jobs)
	for i, pin := range pins {
		g.Go(func() error { found[i] = askAgain(running, src, pin); return running.Err() })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, m := range found {
		if m != nil {
			moved = append(moved, *m)
			c.show.note("%s", m)
		}
	}
	return moved, nil
}

// askAgain returns how a tag differs from what it stood for when the export began; nil when it does not.
func askAgain(ctx context.Context, src bundle.Source, pin bundle.Pin) *movedTag {
	moved := &movedTag{Reference: pin.Reference, Was: pin.Digest}
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

func (m movedTag) String() string {
	if m.Reason != "" {
		return fmt.Sprintf("%s could not be asked for again (%s); the export goes on with %s", m.Reference, m.Reason, m.Was)
	}
	return fmt.Sprintf("%s has moved to %s since the export began; it goes on with %s (--no-resume takes the new one)", m.Reference, m.Is, m.Was)
}

// noteRelented looks again for attachments that were refused when the export began, and says which are refused no
// longer: the archive is laid out without them. The error is ctx's.
func (c *copying) noteRelented(ctx context.Context, client *registry.Client, g *bundle.Graph) error {
	if !slices.ContainsFunc(g.Unseen, func(u bundle.Unseen) bool { return u.Reason == bundle.Refused }) {
		return nil
	}
	ph := c.show.begin("read", 0, 0)
	opt := bundle.WalkOptions{Jobs: c.jobs, Read: func() { ph.add(1, 0) }}
	err := c.discover(&opt, client)
	var relented []bundle.Unseen
	if err == nil {
		relented, err = g.Relented(ctx, client, opt)
	}
	ph.end()
	if err != nil {
		c.show.note("what was refused when the export began could not be looked for again: %v", err)
	}
	for _, u := range relented {
		c.show.note("%s", relentedText(u))
	}
	return ctx.Err()
}

// begin walks the repository and begins its archive.
func (c *copying) begin(ctx context.Context) (_ *exporting, err error) {
	dir := c.tmpDir
	if dir == "" {
		dir = filepath.Dir(c.toTar)
	}
	source, err := c.walkNamed(ctx, dir)
	if err != nil {
		return nil, err
	}
	request := c.request()
	e := &exporting{plan: source.plan, source: source.source, scan: source.scan, close: source.close}
	if request.Format == tarball.Imgpkg {
		var t *tarball.ImgpkgTar
		if t, err = tarball.NewImgpkgTar(ctx, source.plan, source.source, request.NoOrigins); err == nil {
			e.plan = t.Plan()
			e.archive, err = t.Create(c.toTar, request, c.jobs)
		}
	} else {
		e.archive, err = tarball.Create(c.toTar, source.plan, request, c.jobs)
	}
	if err != nil {
		source.close()
		return nil, err
	}
	return e, nil
}

// walkNamed walks the repository, and refuses package repositories that one import could not name apart.
func (c *copying) walkNamed(ctx context.Context, dir string) (*walked, error) {
	source, err := c.walk(ctx, c.named, dir, &c.sourceFlags, c.show)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkNames(source.plan.Graph), c.checkClosed(source.scan)); err != nil {
		source.close()
		return nil, err
	}
	noteTags(source.plan.Graph.Roots, c.show)
	return source, nil
}

// noteTags says which tags of the roots an import will refuse, while the archive can still be made otherwise.
func noteTags(roots []bundle.Root, show *progress) {
	if _, err := tagsOf(roots, ""); err != nil {
		show.note("the import will refuse the tags of the roots: %v", err)
	}
}

// checkClosed fails under --strict when something leads outside that is not accepted. It tells what.
func (c *copying) checkClosed(found *leak.Report) error {
	if !c.strict {
		return nil
	}
	var l leaks
	if err := l.take(found, &c.known); err != nil || leading(l.Findings) == 0 {
		return err
	}
	writeFindings(c.stderr, l.Findings, mostProblems, "; relocate plan -o json has them all")
	return notClosedError{fmt.Errorf("--strict: not closed: %s", findingsCount(l.Findings))}
}

// checkNames refuses package repositories that one import could not name apart.
func checkNames(g *bundle.Graph) error {
	_, err := rewrite.PackageRepositories(g, g.Roots[0].Reference.Context(), "", "", "")
	if err != nil {
		return usagef("%w; export them to archives of their own", err)
	}
	return nil
}

// fetch writes the blobs, and gives the archive its name.
func (c *copying) fetch(ctx context.Context, e *exporting) (*copyReport, error) {
	r := c.exportReport(e.plan, archiveOf(c.toTar, e.archive))
	r.Moved = e.moved
	ph := c.show.begin("export", len(e.plan.Blobs), e.plan.Size())
	err := copy.ToArchive(ctx, e.plan, e.source, e.archive, copy.ArchiveOptions{Jobs: c.jobs, KeepGoing: c.keepGoing, Progress: ph.step})
	r.Reread = ph.end().Again
	if err != nil {
		have := e.archive.Written()
		r.without(e.plan, err, have)
		err = errors.Join(fmt.Errorf("export to %s: %w", c.toTar, err), e.archive.Suspend())
		if e.archive.Resumable() {
			err = keptError{err, c.toTar + ".part", have, e.plan.Size()}
		}
		return r, err
	}
	if blobs, bytes := e.archive.Kept(); blobs > 0 {
		r.Kept = &keptReport{blobs, bytes}
	}
	if err := e.archive.Commit(); err != nil {
		return r, keptError{err, c.toTar + ".part", e.plan.Size(), e.plan.Size()}
	}
	return r, c.look(ctx, e, r)
}

// look completes the report of an archive that is written, by what is in it. What leads outside is looked for
// there when an earlier run walked: under --strict it is told late then, and the archive is there.
func (c *copying) look(ctx context.Context, e *exporting, r *copyReport) error {
	if e.scan != nil && !isPage(c.report) {
		return r.take(e.scan, &c.known)
	}
	a, err := tarball.Open(c.toTar)
	if err != nil {
		return err
	}
	defer a.Close()
	var late error
	if e.scan == nil {
		if e.scan, err = scan(ctx, a, e.plan, c.jobs, c.show); err != nil {
			return err
		}
		late = c.checkClosed(e.scan)
	}
	return errors.Join(late, r.take(e.scan, &c.known), c.platforms(ctx, r, a))
}

// without takes out of the report of an export what there is not: the archive, and what failed.
func (r *copyReport) without(plan *bundle.Plan, err error, have int64) {
	var partial *copy.PartialError
	if !errors.As(err, &partial) {
		return // there will be no report
	}
	r.Archive, r.Result.Bytes = nil, have
	for _, f := range partial.Failures {
		if plan.Graph.Node(f.Digest) != nil {
			r.Result.Manifests--
		} else {
			r.Result.Blobs--
		}
	}
}

func (c *copying) exportReport(plan *bundle.Plan, archive *archiveReport) *copyReport {
	r := c.newReport("export", plan)
	r.Archive = archive
	manifests := len(plan.Graph.Nodes)
	r.Result = &copy.Result{Manifests: manifests, Blobs: len(plan.Blobs) - manifests, Bytes: plan.Size()}
	return r
}

// openStream opens what the archive goes to, if that is not standard output.
func (c *copying) openStream(ctx context.Context) (stop func() error, err error) {
	if c.toTar == stream || standard(c.toTar) == os.Stdout {
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(c.toTar, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", c.toTar, err)
	}
	c.stdout = &resultWriter{w: f, dog: watchdogIn(ctx)}
	return f.Close, nil
}

// exportStream writes an archive to standard output, a pipe or a device.
func (c *copying) exportStream(ctx context.Context) (err error) {
	start := time.Now()
	stop, err := c.openStream(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if out, ok := c.stdout.(*resultWriter); ok && isTerminal(out.w) {
		return usagef("--to-tar -: standard output is a terminal; send it to a pipe or a file")
	}
	source, err := c.walkNamed(ctx, c.tmpDir)
	if err != nil {
		return err
	}
	defer source.close()
	w, plan, err := c.stream(ctx, source)
	if err != nil {
		return err
	}
	ph := c.show.begin("export", len(plan.Blobs), plan.Size())
	err = copy.ToArchive(ctx, plan, source.source, w, copy.ArchiveOptions{Jobs: c.jobs, Progress: ph.step})
	reread := ph.end().Again
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		return fmt.Errorf("export to standard output: %w", err)
	}
	r := c.exportReport(plan, archiveOf(c.toTar, w))
	r.Reread = reread
	if err := errors.Join(r.take(source.scan, &c.known), c.platforms(ctx, r, source.source)); err != nil {
		return err
	}
	return c.finish(r, start, func() error { return nil }, nil)
}

// stream begins an archive on standard output, and returns the plan in its order.
func (c *copying) stream(ctx context.Context, source *walked) (*tarball.StreamWriter, *bundle.Plan, error) {
	if c.tarFormat.Format != tarball.Imgpkg {
		w, err := tarball.NewStreamWriter(c.stdout, source.plan)
		return w, source.plan, err
	}
	t, err := tarball.NewImgpkgTar(ctx, source.plan, source.source, c.request().NoOrigins)
	if err != nil {
		return nil, nil, err
	}
	w, err := t.Stream(c.stdout)
	return w, t.StreamPlan(), err
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// requested returns what is asked for, which must be the same when an export goes on.
func (c *copying) requested() []string {
	list := c.named.names()
	if c.signaturesFrom != "" {
		list = append(list, "signatures from "+c.signaturesFrom)
	}
	return list
}
