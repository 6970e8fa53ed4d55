package relocate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"relocate/bundle"
	"relocate/copy"
	"relocate/custody"
	"relocate/internal/text"
	"relocate/report"
	"relocate/tarball"
	"relocate/verify/leak"
	"relocate/volume"
)

// Target is an archive to write: a file, or a stream.
type Target struct {
	Path   string    // of the file
	Writer io.Writer // of the stream; nil: the file
	Format tarball.Format

	VolumeSize int64 // bytes of each volume of a file; 0: it is not cut
	Parity     int   // volumes from which as many others can be rebuilt; needs VolumeSize

	// Bases are what the destination has: the archive leaves out their layers, and says so. It has
	// relocate's own format then.
	Bases []bundle.Base
	// NoResume discards what an earlier export to the file kept. Otherwise an export for the same
	// request resumes.
	NoResume bool

	// Key signs the archive, whose seal and signature are written beside it, or into the file Signature
	// when it goes to a stream; nil: nobody signs.
	Key       *custody.Key
	Signature string
}

// Export writes an archive of what a source names, and of everything that its packages need. A file
// appears under its name when it is complete. Until then it is NAME.part in the same folder, and
// the next Export for the same request resumes with that after an interruption. A stream cannot be
// resumed.
//
// With opt.KeepGoing the error may be a *copy.PartialError: blobs that could not be read. Then the
// result is a .part and not an archive.
//
// Errors: ErrOptions, *KindError; ErrHeld; *NotClosedError; *UnfinishedError where a later call
// continues; those of tarball.New, tarball.Draft.Create and tarball.Resume; bundle.MissingError,
// *bundle.NoAttachmentsError and the other errors of bundle.Walk; those of registry.Client.
func Export(ctx context.Context, from Source, to Target, opt Options) (*Result, error) {
	w, err := newWalker(from, opt)
	if err == nil {
		err = w.leaveOut(to)
	}
	if err != nil {
		return nil, err
	}
	e := &exporting{walker: w, to: to}
	if to.Writer != nil {
		return e.writeStream(ctx)
	}
	if err := tarball.CheckTarget(to.Path, e.request()); err != nil { // before a walk of minutes
		return nil, err
	}
	if err := checkCompanions(to.Path); err != nil {
		return nil, err
	}
	unlock, err := lockArchive(to.Path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return e.writeFile(ctx)
}

// exporting is one Export.
type exporting struct {
	*walker
	to Target
}

// unfinished is an archive that is being written, and where its blobs come from.
type unfinished struct {
	archive  *tarball.Writer
	plan     *bundle.Plan
	source   bundle.Source
	scan     func() (*leak.Report, error) // waits for the scan; nil when it was not walked here
	selected []report.Selected
	replaced []report.Replaced
	moved    []MovedTag
	close    func()
}

// request is what the archive is to hold.
func (e *exporting) request() tarball.Request {
	attachments := string(e.Attachments)
	if attachments == "" {
		attachments = "auto"
	}
	var bases []string
	for _, b := range e.bases {
		bases = append(bases, b.Digest.String())
	}
	return tarball.Request{
		Roots: e.Source.request(e.roots, e.opt.Selection), NonDistributable: e.NonDistributable, Attachments: attachments, Format: e.to.Format, Bases: bases,
		NoOrigins: e.to.Format == tarball.Imgpkg && e.isBundleLock, VolumeSize: e.to.VolumeSize, Parity: e.to.Parity,
	}
}

// writeFile writes an archive to a file, or continues with one that was cut off.
func (e *exporting) writeFile(ctx context.Context) (*Result, error) {
	if e.to.NoResume {
		if err := tarball.Discard(e.to.Path); err != nil {
			return nil, err
		}
	}
	u, err := e.resume(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tarball.ErrCannotResume) {
		u, err = e.start(ctx)
	}
	if err != nil {
		return nil, err
	}
	defer u.close()
	return e.fetch(ctx, u)
}

// start walks the source and begins its archive.
func (e *exporting) start(ctx context.Context) (*unfinished, error) {
	dir := e.opt.TempDir
	if dir == "" {
		dir = filepath.Dir(e.to.Path)
	}
	found, err := e.walkNamed(ctx, dir)
	if err != nil {
		return nil, err
	}
	draft, err := tarball.New(ctx, found.plan, found.source, e.request())
	if err != nil {
		found.close()
		return nil, err
	}
	archive, err := draft.Create(e.to.Path, e.opt.jobs())
	if err != nil {
		found.close()
		return nil, err
	}
	return &unfinished{archive: archive, plan: draft.Plan(), source: found.source, scan: found.scan, selected: found.part.selected, replaced: found.part.replaced, close: found.close}, nil
}

// walkNamed walks the source, and refuses package repositories that one import would give the same
// name.
func (e *exporting) walkNamed(ctx context.Context, dir string) (*walked, error) {
	found, err := e.walk(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := e.opt.checkNames(found.plan.Graph); err != nil {
		found.close()
		return nil, err
	}
	e.opt.noteTags(found.plan.Graph.Roots)
	e.opt.noteSparse(found.plan.Graph)
	return found, nil
}

// UnfinishedError is the end of an export that a later one can continue.
type UnfinishedError struct {
	Path       string // of the unfinished archive
	Have, Want int64  // bytes of blobs
	Err        error
}

func (e *UnfinishedError) Error() string { return e.Err.Error() }

func (e *UnfinishedError) Unwrap() error { return e.Err }

// fetch writes the blobs, and gives the archive its name.
func (e *exporting) fetch(ctx context.Context, u *unfinished) (*Result, error) {
	r := exported(u.plan)
	r.Moved, r.Selected, r.Replaced = u.moved, u.selected, u.replaced
	ph := e.opt.begin("export", len(u.plan.Blobs), u.plan.Size())
	err := copy.ToArchive(ctx, u.plan, u.source, u.archive, copy.ArchiveOptions{Jobs: e.opt.requests(), KeepGoing: e.opt.KeepGoing, Progress: ph.step})
	r.Reread = ph.end().Reread
	r.AtOnce = e.client.MostAtOnce()
	if u.scan != nil && (err == nil || isPartial(err)) {
		var scanErr error
		r.Scan, scanErr = u.scan()
		err = errors.Join(err, scanErr)
	}
	kept := &UnfinishedError{Path: e.to.Path + ".part", Have: u.archive.Written(), Want: u.plan.Size()}
	if err != nil {
		kept.Err = errors.Join(fmt.Errorf("export to %s: %w", e.to.Path, err), u.archive.Suspend())
		err = kept.Err
		if u.archive.Resumable() {
			err = kept
		}
		return r.without(kept), err
	}
	r.KeptBlobs, r.KeptBytes = u.archive.Kept()
	r.Size, r.Seal, r.Format = u.archive.Size(), u.archive.Seal(), u.archive.Format()
	if e.to.VolumeSize > 0 {
		r.Cut = volume.Layout{Size: r.Size, Volume: e.to.VolumeSize, Parity: e.to.Parity}
	}
	u.archive.Replacing = func() error { return removeCompanions(e.to.Path) }
	if err := e.commit(ctx, u); err != nil {
		kept.Have, kept.Err = kept.Want, err
		return nil, kept
	}
	if err := e.seals(r); err != nil {
		return r, err
	}
	return e.lookBack(ctx, u, r)
}

// commit protects an archive in volumes, and gives it its name.
func (e *exporting) commit(ctx context.Context, u *unfinished) error {
	if e.to.VolumeSize > 0 {
		ph := e.opt.begin("volumes", 0, u.archive.Size())
		err := u.archive.Protect(ctx, func(n int64) { ph.add(0, n) })
		ph.end()
		if err != nil {
			return errors.Join(err, u.archive.Suspend())
		}
	}
	return u.archive.Commit()
}

// exported is the result of an export, unless something fails.
func exported(plan *bundle.Plan) *Result {
	manifests := len(plan.Graph.Nodes)
	return &Result{Plan: plan, Copied: &copy.Result{Manifests: manifests, Blobs: len(plan.Blobs) - manifests, Bytes: plan.Size()}}
}

// without takes out of the result what failed; nil when the export did not keep going.
func (r *Result) without(kept *UnfinishedError) *Result {
	var partial *copy.PartialError
	if !errors.As(kept.Err, &partial) {
		return nil
	}
	r.Copied.Bytes = kept.Have
	for _, f := range partial.Failures {
		if r.Plan.Graph.Node(f.Digest) != nil {
			r.Copied.Manifests--
		} else {
			r.Copied.Blobs--
		}
	}
	return r
}

// lookBack completes the result of an archive that is written, from what is in the archive. If an
// earlier run walked, it searches the archive for what points outside: where the source is Strict
// that is reported only now, and the archive is complete.
func (e *exporting) lookBack(ctx context.Context, u *unfinished, r *Result) (*Result, error) {
	if u.scan != nil && e.opt.Content == nil {
		return r, nil
	}
	a, err := tarball.Open(e.to.Path)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	var notClosed error
	if u.scan == nil {
		if r.Scan, err = e.opt.scan(ctx, a, u.plan); err != nil {
			return nil, err
		}
		notClosed = e.checkClosed(r.Scan)
	}
	if err := e.opt.content(ctx, a, u.plan); err != nil {
		return nil, err
	}
	return r, notClosed
}

// writeStream writes an archive to a stream.
func (e *exporting) writeStream(ctx context.Context) (*Result, error) {
	found, err := e.walkNamed(ctx, e.opt.TempDir)
	if err != nil {
		return nil, err
	}
	defer found.close()
	w, plan, err := e.startStream(ctx, found)
	if err != nil {
		return nil, err
	}
	r := exported(plan)
	ph := e.opt.begin("export", len(plan.Blobs), plan.Size())
	err = copy.ToArchive(ctx, plan, found.source, w, copy.ArchiveOptions{Jobs: e.opt.jobs(), Progress: ph.step})
	r.Reread = ph.end().Reread
	r.AtOnce = e.client.MostAtOnce()
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", nameOf(e.to.Writer), err)
	}
	if r.Scan, err = found.scan(); err != nil {
		return nil, err
	}
	r.Selected, r.Replaced = found.part.selected, found.part.replaced
	r.Size, r.Seal, r.Format = w.Size(), w.Seal(), w.Format()
	if err := e.signStream(r); err != nil {
		return r, err
	}
	return r, e.opt.content(ctx, found.source, plan)
}

// noteSize says how large an archive on a stream will be, before its first byte.
func (o Options) noteSize(size int64) {
	if o.Progress != nil {
		o.Progress(Event{Code: "size", Bytes: size, Note: fmt.Sprintf("writes %d bytes (%s)", size, text.Size(size))})
	}
}

// startStream begins an archive on a stream, and returns the plan in its order.
func (e *exporting) startStream(ctx context.Context, found *walked) (*tarball.StreamWriter, *bundle.Plan, error) {
	draft, err := tarball.New(ctx, found.plan, found.source, e.request())
	if err != nil {
		return nil, nil, err
	}
	e.opt.noteSize(draft.Size())
	w, err := draft.Stream(e.to.Writer)
	return w, draft.StreamPlan(), err
}
