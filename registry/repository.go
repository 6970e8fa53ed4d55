package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"relocate/internal/digest"
)

// Repository reads and writes one repository. Whatever repository a reference names, it asks this
// one, and it follows no redirect to another host. It is a bundle.Source and a copy.Repository, and
// safe for concurrent use.
type Repository struct {
	client *Client
	name   name.Repository
	action string
	patch  atomic.Bool // uploads go by PATCH: the registry refused a PUT with a body
}

// Reader returns repo for reading only: it asks for no permission to push.
func (c *Client) Reader(repo name.Repository) *Repository {
	return &Repository{client: c, name: repo, action: transport.PullScope}
}

// Writer returns repo for reading and writing.
func (c *Client) Writer(repo name.Repository) *Repository {
	return &Repository{client: c, name: repo, action: transport.PushScope}
}

func (r *Repository) open(ctx context.Context) (*repository, error) {
	return r.client.repository(ctx, r.name, r.action, true)
}

// Manifest implements bundle.Source.
func (r *Repository) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	c, err := r.open(ctx)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return c.manifest(ctx, ref.Identifier())
}

// Resolve returns the digest of the manifest that id, a tag or a digest, stands for.
//
// Errors: fs.ErrNotExist when there is none.
func (r *Repository) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	c, err := r.open(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	return c.resolve(ctx, id)
}

func (r *repository) resolve(ctx context.Context, id string) (v1.Hash, error) {
	req, err := r.request(ctx, http.MethodHead, "/manifests/"+id)
	if err != nil {
		return v1.Hash{}, err
	}
	req.Header.Set("Accept", acceptManifests)
	res, err := r.do(req, http.StatusOK)
	if err != nil {
		return v1.Hash{}, err
	}
	drain(res)
	if d, err := v1.NewHash(res.Header.Get("Docker-Content-Digest")); err == nil {
		return d, nil
	}
	desc, _, err := r.manifest(ctx, id) // a registry that does not say
	return desc.Digest, err
}

// HasBlob reports whether the repository says that it has the blob d, with d's size where it gives
// one. A redirect to another host, which is not followed, says yes.
func (r *Repository) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	return c.hasBlob(ctx, d)
}

func (r *repository) hasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	req, err := r.request(ctx, http.MethodHead, "/blobs/"+d.Digest.String())
	if err != nil {
		return false, err
	}
	res, err := r.do(req, http.StatusOK, http.StatusNotFound, http.StatusTemporaryRedirect, http.StatusFound, http.StatusSeeOther)
	if err != nil {
		return false, err
	}
	drain(res)
	switch res.StatusCode {
	case http.StatusNotFound:
		return false, nil
	case http.StatusOK:
		return res.ContentLength < 0 || res.ContentLength == d.Size, nil
	}
	return true, nil
}

// PutManifest puts the manifest raw, which d describes, under tag, or by its digest when tag is
// empty. A registry that refuses it for want of blobs makes an error with a method MissingBlobs. One
// that does not say what it stored, here or in PutBlob, is asked for it.
func (r *Repository) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	if tag == "" {
		tag = d.Digest.String()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/manifests/"+tag, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(d.MediaType))
	res, err := c.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	drain(res)
	return checkStored(res, d.Digest, func() (bool, error) {
		got, err := c.resolve(ctx, tag)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return got == d.Digest, err
	})
}

// PutBlob uploads the blob d: a POST, and one PUT with what open returns. What open returns must
// fail in place of its last bytes when the content is not d's; its errors are returned as they are.
// A failed upload is begun again, up to five times in all; what open returned before is closed by
// then, and when PutBlob returns.
func (r *Repository) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		patch := r.patch.Load()
		body := &source{ctx: ctx, open: open}
		err := c.upload(ctx, d, body, patch)
		if readErr := body.end(); err == nil || readErr != nil {
			return readErr
		}
		var answer *Error
		if !patch && errors.As(err, &answer) && slices.Contains(wantsPatch, answer.Status) {
			r.patch.Store(true)
			continue
		}
		if err := c.rules.again(ctx, try, err); err != nil {
			return fmt.Errorf("upload blob %s: %w", d.Digest, err)
		}
	}
}

// wantsPatch are the answers of registries that know no upload in one PUT.
var wantsPatch = []int{http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusUnsupportedMediaType,
	http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented}

// upload sends a blob once: its content with a PATCH, or with the PUT.
func (r *repository) upload(ctx context.Context, d v1.Descriptor, body *source, patch bool) error {
	req, err := r.request(once(ctx), http.MethodPost, "/blobs/uploads/")
	if err != nil {
		return err
	}
	res, err := r.do(req, http.StatusAccepted)
	if err != nil {
		return err
	}
	drain(res)
	left := d.Size
	if patch {
		at, err := location(res, "")
		if err != nil {
			return err
		}
		if res, err = r.put(ctx, http.MethodPatch, at, d.Size, body, http.StatusAccepted, http.StatusNoContent, http.StatusCreated); err != nil {
			return err
		}
		left = 0
	}
	at, err := location(res, "digest="+url.QueryEscape(d.Digest.String()))
	if err != nil {
		return err
	}
	if res, err = r.put(ctx, http.MethodPut, at, left, body, http.StatusCreated, http.StatusNoContent, http.StatusOK); err != nil {
		return err
	}
	return checkStored(res, d.Digest, func() (bool, error) { return r.hasBlob(ctx, d) })
}

// put goes on with an upload by size bytes of body.
func (r *repository) put(ctx context.Context, method, at string, size int64, body *source, want ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(once(ctx), method, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if size > 0 {
		req.ContentLength = size
		req.GetBody = body.begin
		req.Body = http.NoBody // replaced by GetBody's
	}
	res, err := r.do(req, want...)
	if err != nil {
		return nil, err
	}
	drain(res)
	return res, nil
}

// location returns where an upload goes on: on the same host, with the query added to what the
// registry put there.
func location(res *http.Response, query string) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", refusal{fmt.Errorf("%s %s: %w", res.Request.Method, plainURL(res.Request.URL), fmt.Errorf(format, args...))}
	}
	header := res.Header.Get("Location")
	u, err := res.Request.URL.Parse(header)
	switch {
	case header == "":
		return fail("the answer has no Location to go on with")
	case err != nil:
		header, _, _ = strings.Cut(header, "?") // the query may hold a secret
		return fail("the answer's Location %q is no URL", shorten(header))
	}
	u.Scheme = res.Request.URL.Scheme // a registry behind a proxy may not know its own
	if !sameAuthority(u, res.Request.URL) {
		return fail("the upload is to go on at another host, %s", u.Host)
	}
	if u.RawQuery != "" && query != "" {
		query = "&" + query
	}
	u.RawQuery += query
	return u.String(), nil
}

// checkStored compares the digest that the registry says it stored. When it says none, there tells
// whether it has what was sent.
func checkStored(res *http.Response, want v1.Hash, there func() (bool, error)) error {
	fail := func(err error) error {
		return refusal{fmt.Errorf("%s %s: %w", res.Request.Method, plainURL(res.Request.URL), err)}
	}
	said := res.Header.Get("Docker-Content-Digest")
	switch said {
	case want.String():
		return nil
	case "":
		has, err := there()
		if err == nil && !has {
			err = fail(errors.New("the registry took it, and does not have it"))
		}
		return err
	}
	return fail(fmt.Errorf("%w: the registry stored %s", digest.ErrMismatch, shorten(said)))
}

// source opens a body for each time it is sent, one after the other: a connection may still read
// when the registry's answer is there. It keeps the error of reading apart from those of sending.
type source struct {
	ctx  context.Context
	open func(context.Context) (io.ReadCloser, error)
	last *body // nil before the first
}

// begin returns a new body, whose predecessor is closed.
func (s *source) begin() (io.ReadCloser, error) {
	if err := s.end(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	r, err := s.open(ctx)
	s.last = &body{ReadCloser: r, cancel: cancel, closed: make(chan struct{}), err: err}
	if err != nil {
		close(s.last.closed)
		return nil, err
	}
	return s.last, nil
}

// end waits until the last body is closed, and returns the error of reading it.
func (s *source) end() error {
	if s.last == nil {
		return nil
	}
	s.last.ended.Store(true) // by us: what reading says from now on is no error of the source's
	s.last.cancel()
	<-s.last.closed
	return s.last.err
}

// body is what one request sends.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
	ended  atomic.Bool
	once   sync.Once
	closed chan struct{}
	err    error // of open or Read; to be read when closed
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !b.ended.Load() {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer; net/http may call it twice.
func (b *body) Close() (err error) {
	b.once.Do(func() {
		err = b.ReadCloser.Close()
		b.cancel()
		close(b.closed)
	})
	return err
}
