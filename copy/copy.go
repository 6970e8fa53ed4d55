// Package copy moves the content of a bundle.Plan from a bundle.Source to an archive or a
// repository.
//
// Start with ToRepository, which fills a repository from the leaves up, so that nothing visible is
// ever incomplete. ToArchive writes every blob into an archive in file order. FromStream fills a
// repository while an archive comes in. Each distinct blob is transferred once, and what the
// destination has already is not transferred. Content that does not match its digest is never
// stored.
//
// A Spool keeps what a walk has read, so that the copy does not download it again.
//
// The order of an archive is that of bundle.Plan. The order in which a repository is filled is in
// schedule.go: which manifest waits for what, and which blob is sent when. queue.go runs the jobs.
package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Sink is an archive to write. It is safe for concurrent use. A *tarball.Writer and a
// *tarball.StreamWriter are Sinks.
type Sink interface {
	// PutBlob stores the blob d. It calls open for the bytes from offset from on: 0, unless the
	// sink has the first bytes from an earlier run. What open returns for 0 gives an error in place
	// of its last bytes when they do not match d. For a later offset the sink must hash what it has
	// and what it gets. When the content does not match d, the error wraps digest.ErrMismatch, and
	// PutBlob may be called again.
	PutBlob(ctx context.Context, d v1.Descriptor, open func(ctx context.Context, from int64) (io.ReadCloser, error)) error
}

// Step is progress since the last step.
type Step struct {
	Blobs   int   // manifests, configs and layers that are complete
	Moved   int64 // bytes that were read and written
	Present int64 // bytes that were already present
	Reread  int   // blobs that did not match their digests when they were first read, and did on the second read
}

// ArchiveOptions change what ToArchive does. The zero value copies one blob at a time.
type ArchiveOptions struct {
	Jobs      int        // blobs at once; 0 means 1
	KeepGoing bool       // try all blobs, even after one failed
	Progress  func(Step) // must be safe for concurrent use; may be nil
}

// ToArchive puts every blob of the plan into dst, in file order. Manifests are blobs. Content that
// does not match its digest is fetched once more.
//
// Errors: *PartialError with opt.KeepGoing, when blobs could not be read; those of src and dst.
func ToArchive(ctx context.Context, plan *bundle.Plan, src bundle.Source, dst Sink, opt ArchiveOptions) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(opt.Jobs, 1))
	failed := make([]*Failure, len(plan.Blobs))
	for i, b := range plan.Blobs {
		g.Go(func() error {
			if err := running.Err(); err != nil {
				return err
			}
			t := newTransfer(src, b, opt.Progress)
			err := t.twice(func() error { return dst.PutBlob(running, *b.Descriptor, t.openFrom) })
			switch {
			case err == nil:
				t.finish()
			case opt.KeepGoing && t.failed && running.Err() == nil:
				failed[i] = &Failure{b.Node.Name(), b.Descriptor.Digest, err}
			default:
				return fmt.Errorf("copy %s of %s: %w", t.what(), b.Node.Name(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return partial(failed)
}

// transfer reads one blob, perhaps several times, and reports its bytes once.
type transfer struct {
	src      bundle.Source
	blob     bundle.Blob
	progress func(Step)
	reported int64 // bytes; read by one reader at a time
	failed   bool  // the source could not be read
}

func newTransfer(src bundle.Source, b bundle.Blob, progress func(Step)) *transfer {
	if progress == nil {
		progress = func(Step) {}
	}
	return &transfer{src: src, blob: b, progress: progress}
}

// twice calls do once more when content did not match its digest. It may have been damaged in
// transit.
func (t *transfer) twice(do func() error) error {
	return twice(do, func() { t.progress(Step{Reread: 1}) })
}

// twice calls do once more when its error wraps digest.ErrMismatch, and then helped, if that
// succeeds.
func twice(do func() error, helped func()) error {
	err := do()
	if !errors.Is(err, digest.ErrMismatch) {
		return err
	}
	switch err = do(); {
	case err == nil:
		helped()
	case errors.Is(err, digest.ErrMismatch):
		err = fmt.Errorf("%w (read twice)", err)
	}
	return err
}

func (t *transfer) what() string {
	if t.blob.IsManifest {
		return "manifest " + t.blob.Descriptor.Digest.String()
	}
	return "blob " + t.blob.Descriptor.Digest.String()
}

// open opens the blob at its source.
func (t *transfer) open(ctx context.Context) (io.ReadCloser, error) { return t.openFrom(ctx, 0) }

// openFrom opens the blob at byte from. Only from byte 0 is the content checked.
func (t *transfer) openFrom(ctx context.Context, from int64) (io.ReadCloser, error) {
	r, err := t.read(ctx, from)
	if err != nil {
		t.failed = true
		return nil, sourceError{fmt.Errorf("read: %w", err)}
	}
	return &counted{ReadCloser: r, t: t, at: from}, nil
}

// ranges is a Source that opens a blob at any byte. What it returns is not checked.
type ranges interface {
	BlobFrom(ctx context.Context, repo name.Repository, d v1.Descriptor, from int64) (io.ReadCloser, error)
}

func (t *transfer) read(ctx context.Context, from int64) (io.ReadCloser, error) {
	if t.blob.IsManifest {
		raw, err := manifest(ctx, t.src, t.blob)
		return io.NopCloser(bytes.NewReader(raw[min(from, int64(len(raw))):])), err
	}
	if src, ok := t.src.(ranges); ok && from > 0 {
		return src.BlobFrom(ctx, t.blob.Node.From, *t.blob.Descriptor, from)
	}
	r, err := t.src.Blob(ctx, t.blob.Node.From, *t.blob.Descriptor)
	if err == nil && from > 0 {
		if _, err = io.CopyN(io.Discard, r, from); err != nil {
			err = errors.Join(err, r.Close())
		}
	}
	return r, err
}

// manifest reads the manifest b.
func manifest(ctx context.Context, src bundle.Source, b bundle.Blob) ([]byte, error) {
	_, raw, err := src.Manifest(ctx, b.Node.From.Digest(b.Descriptor.Digest.String()))
	if err != nil {
		return nil, sourceError{err}
	}
	return raw, nil
}

// sourceError is an error of reading the source.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// finish reports the blob as complete. Bytes that were not read were already present.
func (t *transfer) finish() {
	t.progress(Step{Blobs: 1, Present: t.blob.Descriptor.Size - t.reported})
	t.reported = t.blob.Descriptor.Size
}

// counted reports the bytes that it reads, each once however often the blob is read.
type counted struct {
	io.ReadCloser
	t  *transfer
	at int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		c.t.failed = true
	}
	c.at += int64(n)
	if more := min(c.at-c.t.reported, int64(n)); more > 0 {
		c.t.reported += more
		c.t.progress(Step{Moved: more})
	}
	return n, err
}
