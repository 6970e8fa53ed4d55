package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"relocate/internal/digest"
)

// Blob implements bundle.Source. A body that breaks off is asked for again from where it broke.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.blob(ctx, d)
}

// BlobFrom opens the blob d at byte from, for who has what is before it. What it reads goes on after
// breaks as Blob's does; its digest is not checked, which is the caller's affair, but its size is:
// more or fewer bytes than d.Size-from are a digest.ErrMismatch.
func (c *Client) BlobFrom(ctx context.Context, repo name.Repository, d v1.Descriptor, from int64) (io.ReadCloser, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.blobFrom(ctx, d, from)
}

// Blob implements bundle.Source.
func (r *Repository) Blob(ctx context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	return c.blob(ctx, d)
}

// BlobFrom is Client.BlobFrom, from this repository.
func (r *Repository) BlobFrom(ctx context.Context, _ name.Repository, d v1.Descriptor, from int64) (io.ReadCloser, error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	return c.blobFrom(ctx, d, from)
}

func (r *repository) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	dl, err := r.blobFrom(ctx, d, 0)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.Reader(dl, d.Digest, d.Size), dl}, nil
}

func (r *repository) blobFrom(ctx context.Context, d v1.Descriptor, from int64) (io.ReadCloser, error) {
	switch {
	case from < 0 || from > d.Size:
		return nil, fmt.Errorf("read blob %s from byte %d: it has %d bytes", d.Digest, from, d.Size)
	case from == d.Size && from > 0: // a range that no registry has
		return http.NoBody, nil
	}
	dl := &download{ctx: ctx, repo: r, desc: d, at: from, tries: r.attempt(http.MethodGet)}
	if err := dl.open(); err != nil {
		return nil, err
	}
	return dl, nil
}

// progress is so many bytes, of a download or an upload, that tries are counted anew after them: a large
// blob may need many connections. A registry that sends a byte in each gets no further.
const progress = 64 << 10

// download is the content of a blob from some byte on. It goes on where it broke off, and ends with
// digest.ErrMismatch where the registry has more or fewer bytes than the descriptor says. With its last
// byte it gives back its slot (limiter).
type download struct {
	ctx   context.Context
	repo  *repository
	desc  v1.Descriptor
	body  io.ReadCloser
	at    int64 // the next byte
	came  int64 // bytes since tries were counted anew
	skip  int64 // bytes of body before that one
	tries *attempt
}

// open asks for the blob from d.at on, or for all of it where the registry has no such range.
func (d *download) open() error {
	res, err := d.get(d.at)
	var answer *Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusRequestedRangeNotSatisfiable:
		res, err = d.get(0)
	case err == nil && res.StatusCode == http.StatusPartialContent && !d.goesOn(res):
		_ = res.Body.Close() // another range: what is in it is not to be trusted
		res, err = d.get(0)
	}
	if err != nil {
		return err
	}
	if sendsHTML(res) && res.StatusCode == http.StatusOK && res.ContentLength >= 0 && res.ContentLength != d.desc.Size {
		_ = res.Body.Close()
		return fmt.Errorf("GET %s/blobs/%s: %w: it sent a page of HTML in place of a blob", d.repo.base, d.desc.Digest, ErrNotRegistry)
	}
	d.body, d.skip = res.Body, d.at
	if res.StatusCode == http.StatusPartialContent {
		d.skip = 0
	}
	return nil
}

// get asks for the blob from a byte on. The answer is a 206 only where a range was asked for.
func (d *download) get(from int64) (*http.Response, error) {
	req, err := d.repo.request(d.ctx, http.MethodGet, "/blobs/"+d.desc.Digest.String())
	if err != nil {
		return nil, err
	}
	if from == 0 {
		return d.repo.do(req, http.StatusOK)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	return d.repo.do(req, http.StatusOK, http.StatusPartialContent)
}

// goesOn reports whether a partial answer has the bytes from d.at to the end (RFC 9110, 14.4).
func (d *download) goesOn(res *http.Response) bool {
	var first, last int64
	var total string
	n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%s", &first, &last, &total)
	return n == 3 && first == d.at && last == d.desc.Size-1 && (total == "*" || total == fmt.Sprint(d.desc.Size))
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.read(p)
		if n > 0 {
			return d.count(n)
		}
		switch {
		case err == nil:
			return 0, nil
		case d.at == d.desc.Size: // all is here, and nothing followed it
			_ = d.body.Close()
			return 0, io.EOF
		case err == io.EOF: // the end of what the registry has; a break is another error
			return 0, fmt.Errorf("%w: %s ends after %d of %d bytes", digest.ErrMismatch, d.desc.Digest, d.at, d.desc.Size)
		}
		_ = d.body.Close()
		if d.came >= progress {
			d.repo.rules.progress(d.tries)
			d.came = 0
		}
		if err := d.repo.rules.again(d.ctx, d.tries, err); err != nil {
			return 0, fmt.Errorf("GET %s/blobs/%s: broke off after %d of %d bytes: %w", d.repo.base, d.desc.Digest, d.at, d.desc.Size, err)
		}
		if err := d.open(); err != nil {
			return 0, err
		}
	}
}

// count accounts for n bytes that were read. After the last one the body is read to its end and closed.
func (d *download) count(n int) (int, error) {
	left := d.desc.Size - d.at
	if int64(n) > left {
		return int(left), d.tooLong()
	}
	d.at += int64(n)
	d.came += int64(n)
	if d.at < d.desc.Size {
		return n, nil
	}
	var extra [1]byte
	if more, _ := io.ReadFull(d.body, extra[:]); more > 0 { // a break after the last byte changes nothing
		return n, d.tooLong()
	}
	_ = d.body.Close()
	d.body = http.NoBody
	return n, nil
}

func (d *download) tooLong() error {
	d.at = d.desc.Size
	return fmt.Errorf("%w: %s has more than %d bytes", digest.ErrMismatch, d.desc.Digest, d.desc.Size)
}

// read reads on in the body, behind what was handed out before.
func (d *download) read(p []byte) (int, error) {
	if d.skip > 0 {
		n, err := io.CopyN(io.Discard, d.body, d.skip)
		d.skip -= n
		if err != nil {
			return 0, err
		}
	}
	return d.body.Read(p)
}

// Close closes the body.
func (d *download) Close() error { return d.body.Close() }
