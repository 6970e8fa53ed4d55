// Package copy moves a plan from a Source to a Sink. ToArchive writes every blob in file order;
// ToRepository fills a repository from the leaves up, so that nothing visible is ever incomplete.
// Each distinct blob is transferred once.
package copy

import (
	"bytes"
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
)

// Sink is where blobs are written to. It is safe for concurrent use.
type Sink interface {
	// PutBlob stores the blob d, which open gives. It may call open again to try again, when what it
	// returned before is closed. What open returns gives an error in place of its last bytes when
	// they are not d's; PutBlob returns such an error and does not store the blob.
	PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error
}

// Progress is told what became done since the last call: blobs, and bytes. What is there already is
// done, too. It must be safe for concurrent use.
type Progress func(blobs int, bytes int64)

// ToArchive puts every blob of the plan, in file order, at most jobs at a time. Manifests are blobs.
func ToArchive(ctx context.Context, plan *bundle.Plan, src bundle.Source, dst Sink, jobs int, progress Progress) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for _, b := range plan.Blobs {
		g.Go(func() error {
			if err := running.Err(); err != nil {
				return err
			}
			t := newTransfer(src, b, progress)
			if err := dst.PutBlob(running, b.Descriptor, t.open); err != nil {
				return fmt.Errorf("copy %s of %s: %w", t.what(), b.Node.Name(), err)
			}
			t.finish()
			return nil
		})
	}
	return g.Wait()
}

// transfer reads one blob, perhaps several times, and reports its bytes once.
type transfer struct {
	src      bundle.Source
	blob     bundle.Blob
	progress Progress
	reported int64 // bytes; read by one reader at a time
}

func newTransfer(src bundle.Source, b bundle.Blob, progress Progress) *transfer {
	if progress == nil {
		progress = func(int, int64) {}
	}
	return &transfer{src: src, blob: b, progress: progress}
}

func (t *transfer) what() string {
	if t.blob.IsManifest {
		return "manifest " + t.blob.Descriptor.Digest.String()
	}
	return "blob " + t.blob.Descriptor.Digest.String()
}

// open opens the blob at its source.
func (t *transfer) open(ctx context.Context) (io.ReadCloser, error) {
	r, err := t.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return &counted{ReadCloser: r, t: t}, nil
}

func (t *transfer) read(ctx context.Context) (io.ReadCloser, error) {
	if !t.blob.IsManifest {
		return t.src.Blob(ctx, t.blob.From, t.blob.Descriptor)
	}
	raw, err := manifest(ctx, t.src, t.blob)
	return io.NopCloser(bytes.NewReader(raw)), err
}

// manifest reads the manifest b.
func manifest(ctx context.Context, src bundle.Source, b bundle.Blob) ([]byte, error) {
	_, raw, err := src.Manifest(ctx, b.From.Digest(b.Descriptor.Digest.String()))
	return raw, err
}

// finish reports the blob as done.
func (t *transfer) finish() {
	t.progress(1, t.blob.Descriptor.Size-t.reported)
	t.reported = t.blob.Descriptor.Size
}

// counted reports bytes that were not read before.
type counted struct {
	io.ReadCloser
	t  *transfer
	at int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.at += int64(n)
	if more := c.at - c.t.reported; more > 0 {
		c.t.reported = c.at
		c.t.progress(0, more)
	}
	return n, err
}
