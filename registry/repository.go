package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
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

// Blob implements bundle.Source.
func (r *Repository) Blob(ctx context.Context, _ name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	return c.blob(ctx, d)
}

// Resolve returns the digest of the manifest that id, a tag or a digest, stands for.
//
// Errors: fs.ErrNotExist when there is none.
func (r *Repository) Resolve(ctx context.Context, id string) (v1.Hash, error) {
	c, err := r.open(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	req, err := c.request(ctx, http.MethodHead, "/manifests/"+id)
	if err != nil {
		return v1.Hash{}, err
	}
	req.Header.Set("Accept", acceptManifests)
	res, err := c.do(req, http.StatusOK)
	if err != nil {
		return v1.Hash{}, err
	}
	drain(res)
	if d, err := v1.NewHash(res.Header.Get("Docker-Content-Digest")); err == nil {
		return d, nil
	}
	desc, _, err := c.manifest(ctx, id) // a registry that does not say
	return desc.Digest, err
}

// HasBlob reports whether the repository says that it has the blob d, with d's size.
func (r *Repository) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	req, err := c.request(ctx, http.MethodHead, "/blobs/"+d.Digest.String())
	if err != nil {
		return false, err
	}
	res, err := c.do(req, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	drain(res)
	return res.StatusCode == http.StatusOK && (res.ContentLength < 0 || res.ContentLength == d.Size), nil
}

// PutManifest puts the manifest raw, which d describes, under tag, or by its digest when tag is
// empty. A registry that refuses it for want of blobs makes an error with a method MissingBlobs.
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
	return checkStored(res, d.Digest)
}

// PutBlob uploads the blob d: a POST, and one PUT with what open returns. What open returns must
// fail in place of its last bytes when the content is not d's; its errors are returned as they are.
// A failed upload is begun again, up to five times.
func (r *Repository) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		body := &source{ctx: ctx, open: open}
		err := r.upload(ctx, c, d, body)
		if readErr := body.failed(nil); err == nil || readErr != nil {
			return readErr
		}
		var status *Error
		if errors.As(err, &status) && slices.Contains(wantsPatch, status.Status) && r.patch.CompareAndSwap(false, true) {
			continue
		}
		wait, again := retry(try, nil, err)
		if status != nil {
			wait, again = retry(try, &http.Response{StatusCode: status.Status}, nil)
		}
		if !again || try == maxTries {
			return fmt.Errorf("upload blob %s: %w (%d tries)", d.Digest, err, try)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// wantsPatch are the answers of registries that know no upload in one PUT.
var wantsPatch = []int{http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusUnsupportedMediaType,
	http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented}

// upload sends a blob once.
func (r *Repository) upload(ctx context.Context, c *repository, d v1.Descriptor, body *source) error {
	req, err := c.request(ctx, http.MethodPost, "/blobs/uploads/")
	if err != nil {
		return err
	}
	res, err := c.do(req, http.StatusAccepted)
	if err != nil {
		return err
	}
	drain(res)
	patch := r.patch.Load()
	if patch {
		if res, err = c.send(ctx, http.MethodPatch, res, nil, d, body, http.StatusAccepted, http.StatusNoContent, http.StatusCreated); err != nil {
			return err
		}
		body = nil
	}
	res, err = c.send(ctx, http.MethodPut, res, url.Values{"digest": {d.Digest.String()}}, d, body, http.StatusCreated, http.StatusNoContent, http.StatusOK)
	if err != nil {
		return err
	}
	return checkStored(res, d.Digest)
}

// send goes on with the upload that prev's Location names; body may be nil.
func (c *repository) send(ctx context.Context, method string, prev *http.Response, query url.Values, d v1.Descriptor, body *source, want ...int) (*http.Response, error) {
	at, err := location(prev, query)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(once(ctx), method, at, nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.ContentLength = d.Size
		if d.Size > 0 {
			req.GetBody = body.reader
			req.Body = http.NoBody // replaced by GetBody's
		}
	}
	res, err := c.do(req, want...)
	if err != nil {
		return nil, err
	}
	drain(res)
	return res, nil
}

// location returns where an upload goes on: on the same host, with the query added.
func location(res *http.Response, query url.Values) (string, error) {
	u, err := res.Request.URL.Parse(res.Header.Get("Location"))
	if err != nil || res.Header.Get("Location") == "" {
		return "", fmt.Errorf("%s %s: the answer has no Location to go on with", res.Request.Method, plainURL(res.Request.URL))
	}
	if u.Host != res.Request.URL.Host {
		return "", fmt.Errorf("%s %s: the upload is to go on at another host, %s", res.Request.Method, plainURL(res.Request.URL), u.Host)
	}
	u.Scheme = res.Request.URL.Scheme // a registry behind a proxy may not know its own
	values := u.Query()
	for key := range query {
		values.Set(key, query.Get(key))
	}
	u.RawQuery = values.Encode()
	return u.String(), nil
}

// checkStored compares the digest that the registry says it stored.
func checkStored(res *http.Response, want v1.Hash) error {
	if said := res.Header.Get("Docker-Content-Digest"); said != "" && said != want.String() {
		return fmt.Errorf("%s %s: %w: the registry stored %s", res.Request.Method, plainURL(res.Request.URL), digest.ErrMismatch, shorten(said))
	}
	return nil
}

// source opens a body for each time it is sent, and keeps the error of reading it apart from the
// errors of sending. The connection may still read when the answer is there, hence the lock.
type source struct {
	ctx  context.Context
	open func(context.Context) (io.ReadCloser, error)

	mu  sync.Mutex
	err error
}

func (s *source) reader() (io.ReadCloser, error) {
	r, err := s.open(s.ctx)
	if err != nil {
		return nil, s.failed(err)
	}
	return &sourceReader{r, s}, nil
}

// failed keeps err, unless it is nil, and returns what was kept first.
func (s *source) failed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return s.err
}

type sourceReader struct {
	io.ReadCloser
	s *source
}

func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.s.failed(err)
	}
	return n, err
}
