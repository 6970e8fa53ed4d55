package tarball

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"relocate/bundle"
	"relocate/internal/ownfile"
	"relocate/render"
)

// ErrCannotResume says that the unfinished archive is of another request, or no longer matches its
// journal.
var ErrCannotResume = errors.New("the unfinished archive cannot be continued")

// Resume continues an archive that an earlier run for the same request left unfinished at path, and
// returns its plan, which it reads from the file. It trusts nothing that was kept: it compares the
// plan with the seal and hashes the small section, and Writer.PutBlob hashes each other blob again. r is
// as for Archive.Plan.
//
// Errors: fs.ErrNotExist, without ErrCannotResume, when nothing was kept; ErrCannotResume;
// ErrNoSpace; as CheckTarget.
func Resume(ctx context.Context, path string, request Request, jobs int, r *render.Renderer) (_ *Writer, _ *bundle.Plan, err error) {
	if err := CheckTarget(path, request); err != nil {
		return nil, nil, err
	}
	p, err := openJournal(path)
	if err != nil {
		return nil, nil, err
	}
	if err := p.check(path, request); err != nil {
		return nil, nil, err
	}
	f, err := continuePart(path, p.header)
	if err != nil {
		return nil, nil, err
	}
	w, plan, err := p.resume(ctx, path, f, jobs, r)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return w, plan, nil
}

// resume continues in f, the .part, as the journal says.
func (p *promised) resume(ctx context.Context, path string, f part, jobs int, r *render.Renderer) (*Writer, *bundle.Plan, error) {
	a, err := openPart(f, p.header)
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	plan, err := a.Plan(ctx, jobs, r)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("resume %s: %w: %w", path, ErrCannotResume, err)
		}
		return nil, nil, err
	}
	if p.header.Request.Format == Imgpkg {
		plan.Graph.Unseen = slices.DeleteFunc(p.header.Unseen, func(u bundle.Unseen) bool { return !u.Valid() })
	}
	if err := checkSpace(path, a.l, p.header.Request, taken(f)); err != nil {
		return nil, nil, fmt.Errorf("resume %s: %w", path, err)
	}
	w := newWriter(path, a.l, a.seal, plan, jobs)
	if err := w.continueIn(f, p); err != nil {
		return nil, nil, fmt.Errorf("resume %s: %w", path, noSpace(err))
	}
	return w, plan, nil
}

// openJournal reads the journal of the archive at path.
func openJournal(path string) (*promised, error) {
	file, err := ownfile.Open(journalName(path), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was read only
	p, err := readJournal(file)
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", file.Name(), err)
	}
	return p, nil
}

// check compares a journal with a request. A journal that promises nothing is fs.ErrNotExist.
func (p *promised) check(path string, request Request) error {
	kept, err := unfinished(path)
	switch {
	case err != nil:
		return err
	case len(kept) == 0:
		return fs.ErrNotExist
	case p.header.Journal != journalVersion && p.header.Journal != 0:
		return fmt.Errorf("resume %s: %w: its journal has version %d, this program writes %d", path, ErrCannotResume, p.header.Journal, journalVersion)
	case !p.ready:
		return fs.ErrNotExist
	}
	if reason := p.header.differs(request); reason != "" {
		return fmt.Errorf("resume %s: %w: %s", path, ErrCannotResume, reason)
	}
	return nil
}

// openPart reads the plan in an unfinished archive, which must be the one that the journal was
// written for. The file has at least the part before the blobs.
func openPart(f part, header journalHeader) (*Archive, error) {
	var size int64
	err := f.each(0, func(f *os.File, _ int64) error {
		info, err := f.Stat()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var a *Archive
	if header.Request.Format == Imgpkg {
		a, err = openImgpkgPart(f, size, header)
	} else {
		a, err = openOwnPart(f, size)
	}
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w: %w", f.Name(), ErrCannotResume, err)
	}
	if a.seal != header.Seal || header.Request.VolumeSize > 0 && a.l.size != header.Size {
		return nil, fmt.Errorf("resume %s: %w: its plan is not the one that its journal was written for", f.Name(), ErrCannotResume)
	}
	return a, nil
}

func openOwnPart(f part, size int64) (*Archive, error) {
	inv, err := readInventory(f, size)
	if err != nil {
		return nil, err
	}
	return newArchive(f, inv)
}

// continueIn opens the journal again, which says what of f, the .part, is durable.
func (w *Writer) continueIn(f part, p *promised) (err error) {
	for i, small := range w.isSmall {
		if small {
			w.done[i].Store(w.l.blobs[i].Size)
		}
	}
	for i, n := range p.durable {
		if i < len(w.done) && n <= w.l.blobs[i].Size {
			w.done[i].Store(n)
		}
	}
	w.small.Store(0) // it is durable: the journal says so
	if err := w.begin(f); err != nil {
		return err
	}
	if w.journal.file, err = ownfile.Open(journalName(w.path), os.O_WRONLY); err != nil {
		return err
	}
	if err := w.journal.continueAt(p.end); err != nil {
		return errors.Join(err, w.journal.file.Close())
	}
	return nil
}

// continueAt begins to journal after the last valid line, which ends at byte end.
func (j *journal) continueAt(end int64) error {
	if err := j.file.Truncate(end); err != nil {
		return err
	}
	if _, err := j.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	j.begin()
	return nil
}
