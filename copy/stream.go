package copy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Incoming is an archive that is read once, from front to back. It is a Source of the small
// section. A *tarball.Stream is one.
type Incoming interface {
	bundle.Source

	// Next returns the next blob after the small section, in file order, and its unchecked content,
	// of which the caller reads every byte. At the end, which it checks, it returns io.EOF.
	Next() (v1.Hash, io.Reader, error)
}

// maxHeld is the size in bytes of the largest layer that is kept in memory while it is uploaded.
// Larger layers are kept in the scratch file.
const maxHeld = 4 << 20

// FromStream copies the plan into dst, as ToRepository does, while src comes in. It uploads layers
// as they come. It keeps a large layer in the scratch file, from byte at on, until it is uploaded,
// because another try may need it. Manifests follow when src was read and checked to its end.
//
// Errors: as ToRepository; those of src.Next.
func FromStream(ctx context.Context, plan *bundle.Plan, src Incoming, dst Repository, to name.Repository, scratch interface {
	io.ReaderAt
	io.WriterAt
}, at int64, opt Options) (*Result, error) {
	c := newFilling(plan, src, dst, to, opt)
	if err := c.ask(ctx); err != nil {
		return nil, err
	}
	in := &incoming{filling: c, missing: map[v1.Hash]bool{}, scratch: scratch, at: at}
	if err := in.findMissing(ctx); err != nil {
		return nil, err
	}
	if err := in.layers(ctx, src); err != nil {
		return nil, err
	}
	return c.fill(ctx)
}

// incoming is the state of the layers of one FromStream.
type incoming struct {
	*filling
	missing map[v1.Hash]bool // layers that are not present
	scratch scratchSpace
	at      int64
	mu      sync.Mutex // of the filling's result, sent and lost
}

// findMissing asks the destination which layers are missing.
func (in *incoming) findMissing(ctx context.Context) error {
	users := in.users()
	for i, b := range in.plan.Blobs[in.plan.Small:] {
		d := b.Descriptor.Digest
		switch {
		case users[in.plan.Small+i] == nil: // a present manifest proves that it is present
		case in.opt.Trust == TrustNothing:
			in.missing[d] = true
		default:
			present := false
			in.add(job{
				do: func(ctx context.Context) (err error) {
					present, err = in.dst.HasBlob(ctx, *b.Descriptor)
					if err != nil && !in.tolerates(d, err) {
						return fmt.Errorf("ask for blob %s of %s: %w", d, b.Node.Name(), err)
					}
					return nil
				},
				done: func() {
					in.missing[d] = !present
					if present {
						in.fresh.Store(false)
					}
				},
			})
		}
	}
	return in.run(ctx)
}

// layers reads every layer from the stream. It uploads small ones in parallel, a large one alone.
func (in *incoming) layers(ctx context.Context, src Incoming) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(in.opt.Jobs, 1))
	err := in.each(running, src, g.Go)
	isStopped := running.Err() != nil
	failure := g.Wait()
	if isStopped && failure != nil { // err is only its consequence
		return failure
	}
	return errors.Join(failure, err)
}

func (in *incoming) each(ctx context.Context, src Incoming, spawn func(func() error)) error {
	for _, b := range in.plan.Blobs[in.plan.Small:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, r, err := src.Next()
		if err != nil {
			return err
		}
		if d != b.Descriptor.Digest {
			return fmt.Errorf("the stream has blob %s in the place of %s", d, b.Descriptor.Digest)
		}
		if err := in.layer(ctx, b, r, spawn); err != nil {
			return err
		}
	}
	if _, _, err := src.Next(); err != io.EOF {
		return err
	}
	return nil
}

// layer uploads a layer, unless it is present, and reads all of it from r in any case.
func (in *incoming) layer(ctx context.Context, b bundle.Blob, r io.Reader, spawn func(func() error)) error {
	checked := digest.Reader(r, b.Descriptor.Digest, b.Descriptor.Size)
	switch {
	case !in.missing[b.Descriptor.Digest]:
		if _, err := io.Copy(io.Discard, checked); err != nil {
			return in.explain(b, err)
		}
		if !in.skips(b.Descriptor.Digest) {
			in.done(b, true)
		}
		return nil
	case b.Descriptor.Size <= maxHeld:
		content, err := io.ReadAll(checked) // at most maxHeld
		if err != nil {
			return in.explain(b, err)
		}
		spawn(func() error {
			return in.put(ctx, b, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		})
		return nil
	}
	kept := &replay{r: r, file: io.NewOffsetWriter(in.scratch, in.at), content: io.NewSectionReader(in.scratch, in.at, b.Descriptor.Size)}
	if err := in.put(ctx, b, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(digest.Reader(kept.again(), b.Descriptor.Digest, b.Descriptor.Size)), nil
	}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r) // what a tolerated failure left unread
	return err
}

// put uploads a layer, and once more if it was damaged on the way to the destination. A failure
// that does not end the copy is noted, and reported when the layer's manifest needs it.
func (in *incoming) put(ctx context.Context, b bundle.Blob, open func(context.Context) (io.ReadCloser, error)) error {
	t := newTransfer(in.src, b, in.opt.Progress)
	send := func() error {
		return in.dst.PutBlob(ctx, *b.Descriptor, func(ctx context.Context) (io.ReadCloser, error) {
			r, err := open(ctx)
			return &counted{ReadCloser: r, t: t}, err
		})
	}
	err := send()
	if errors.Is(err, digest.ErrMismatch) && !t.failed { // what came in was right: it was damaged on the way to dst
		if err = send(); err == nil {
			t.progress(Step{Reread: 1})
		}
	}
	switch {
	case err == nil:
		t.finish()
		in.done(b, false)
		return nil
	case (in.opt.KeepGoing || in.tolerates(b.Descriptor.Digest, err)) && ctx.Err() == nil && !errors.Is(err, digest.ErrMismatch):
		in.mu.Lock()
		defer in.mu.Unlock()
		in.lost[b.Descriptor.Digest] = err
		return nil
	}
	return in.explain(b, err)
}

func (in *incoming) explain(b bundle.Blob, err error) error {
	return fmt.Errorf("copy blob %s of %s: %w", b.Descriptor.Digest, b.Node.Name(), err)
}

// done notes that a layer is present.
func (in *incoming) done(b bundle.Blob, present bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sent[b.Descriptor.Digest] = true
	in.countBlob(b, present)
}

// replay makes a stream readable again from its beginning: it keeps in a file what was read.
type replay struct {
	r       io.Reader
	file    io.Writer
	content io.ReaderAt
	have    int64 // bytes in the file
	full    error // why nothing can be kept any longer
}

// again returns a reader from the first byte on. The reader that it returned before is no longer
// used.
func (p *replay) again() io.Reader { return &replayed{p: p} }

type replayed struct {
	p  *replay
	at int64
}

func (r *replayed) Read(b []byte) (int, error) {
	p := r.p
	if r.at < p.have {
		n, err := p.content.ReadAt(b[:min(int64(len(b)), p.have-r.at)], r.at)
		r.at += int64(n)
		return n, err
	}
	if p.full != nil && r.at == 0 {
		return 0, fmt.Errorf("another try is not possible: keep its beginning: %w", p.full)
	}
	n, err := p.r.Read(b)
	r.at += int64(n)
	if p.full == nil {
		if _, p.full = p.file.Write(b[:n]); p.full == nil {
			p.have += int64(n)
		}
	}
	if p.full != nil {
		p.have = 0 // the file has only a part of what was read
	}
	return n, err
}
