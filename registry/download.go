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

// Blob opens the blob d of repo, and implements bundle.Source. A body that breaks off continues
// with another request. Its digest is checked: the reader returns digest.ErrMismatch in place of
// io.EOF.
//
// Errors: fs.ErrNotExist; fs.ErrPermission.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.blob(ctx, d)
}

// BlobFrom opens the blob d at the byte from, for a caller that has the bytes before it. A body
// that breaks off continues with another request. The caller checks the digest. The size is
// checked: more or fewer bytes than d.Size-from are a digest.ErrMismatch.
func (c *Client) BlobFrom(ctx context.Context, repo name.Repository, d v1.Descriptor, from int64) (io.ReadCloser, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.blobFrom(ctx, d, from)
}

// Blob is Client.Blob, from this repository.
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
	case from == d.Size && from > 0: // no registry answers to an empty range
		return http.NoBody, nil
	}
	dl := &download{ctx: ctx, repo: r, desc: d, at: from, tries: r.attempt(http.MethodGet)}
	if err := dl.open(); err != nil {
		return nil, err
	}
	return dl, nil
}

// progress is the number of bytes of a download or an upload after which its tries are counted
// again: a large blob may need many connections. A registry that sends one byte on each connection
// is given up.
const progress = 64 << 10

// download is the content of a blob from a byte on. It continues where it broke off. It ends with
// digest.ErrMismatch if the registry has more or fewer bytes than the descriptor says. It gives its
// slot (limiter) back with its last byte.
type download struct {
	ctx   context.Context
	repo  *repository
	desc  v1.Descriptor
	body  io.ReadCloser
	at    int64 // offset of the next byte
	came  int64 // bytes read since tries were counted again from zero
	skip  int64 // bytes of the body to skip before it
	tries *attempt
}

// open requests the blob from d.at on, or all of it if the registry does not support that range.
func (d *download) open() error {
	res, err := d.get(d.at)
	var answer *Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusRequestedRangeNotSatisfiable:
		res, err = d.get(0)
	case err == nil && res.StatusCode == http.StatusPartialContent && !d.continues(res):
		_ = res.Body.Close() // another range than the one that was requested
		res, err = d.get(0)
	}
	if err != nil {
		return err
	}
	if sendsHTML(res) && res.StatusCode == http.StatusOK && res.ContentLength >= 0 && res.ContentLength != d.desc.Size {
		_ = res.Body.Close()
		return fmt.Errorf("GET %s/blobs/%s: %w: it sent an HTML page instead of a blob", d.repo.base, d.desc.Digest, ErrNotRegistry)
	}
	d.body, d.skip = res.Body, d.at
	if res.StatusCode == http.StatusPartialContent {
		d.skip = 0
	}
	return nil
}

// get requests the blob from a byte on. The answer is a 206 only if a range was requested.
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

// continues reports whether a partial answer has the bytes from d.at to the end (RFC 9110, 14.4).
func (d *download) continues(res *http.Response) bool {
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
		case d.at == d.desc.Size:
			_ = d.body.Close()
			return 0, io.EOF
		case err == io.EOF: // a broken connection is another error
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

// count counts n bytes that were read. After the last one it reads the body to its end and closes
// it.
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
	if more, _ := io.ReadFull(d.body, extra[:]); more > 0 { // an error after the last byte does not matter
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

// read reads the next bytes of the body, after those that were returned before.
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
