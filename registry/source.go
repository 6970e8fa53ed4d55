package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
)

// maxManifest is the largest manifest that is read, in bytes.
const maxManifest = 4 << 20

var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1), string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// Manifest implements bundle.Source.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	r, err := c.repository(ctx, ref.Context(), transport.PullScope, false)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return r.manifest(ctx, ref.Identifier())
}

// Blob implements bundle.Source. A body that breaks off is asked for again from where it broke.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.blob(ctx, d)
}

// manifest reads the manifest with a tag or digest.
func (r *repository) manifest(ctx context.Context, id string) (v1.Descriptor, []byte, error) {
	var none v1.Descriptor
	req, err := r.request(ctx, http.MethodGet, "/manifests/"+id)
	if err != nil {
		return none, nil, err
	}
	req.Header.Set("Accept", acceptManifests)
	for try := 1; ; try++ {
		res, err := r.do(req, http.StatusOK)
		if err != nil {
			return none, nil, err
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
		res.Body.Close()
		if err == nil {
			return describe(res, id, raw)
		}
		wait, again := retry(try, nil, err)
		if !again || try == maxTries {
			return none, nil, fmt.Errorf("GET %s: %w (%d tries)", plainURL(req.URL), err, try)
		}
		if err := sleep(ctx, wait); err != nil {
			return none, nil, err
		}
	}
}

// describe checks a manifest against what it was asked by, and against what the registry says of it.
func describe(res *http.Response, id string, raw []byte) (v1.Descriptor, []byte, error) {
	var none v1.Descriptor
	url := plainURL(res.Request.URL)
	if len(raw) > maxManifest {
		return none, nil, fmt.Errorf("GET %s: a manifest of more than %d bytes", url, maxManifest)
	}
	if want, err := v1.NewHash(id); err == nil {
		if err := digest.Check(raw, want); err != nil {
			return none, nil, fmt.Errorf("GET %s: %w", url, err)
		}
	} else if said := res.Header.Get("Docker-Content-Digest"); said != "" && said != digest.Of(raw).String() {
		return none, nil, fmt.Errorf("GET %s: %w: the registry says %s, the content is %s", url, digest.ErrMismatch, shorten(said), digest.Of(raw))
	}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return none, nil, fmt.Errorf("GET %s: has no media type", url)
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(raw)), Digest: digest.Of(raw)}, raw, nil
}

// blob opens a blob.
func (r *repository) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	dl := &download{ctx: ctx, repo: r, desc: d}
	if err := dl.open(); err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.Reader(dl, d.Digest, d.Size), dl}, nil
}

// download is the body of a blob that goes on where it broke off.
type download struct {
	ctx  context.Context
	repo *repository
	desc v1.Descriptor
	body io.ReadCloser
	at   int64 // bytes read
	try  int   // since bytes came last
}

// open asks for the blob from d.at on.
func (d *download) open() error {
	req, err := d.repo.request(d.ctx, http.MethodGet, "/blobs/"+d.desc.Digest.String())
	if err != nil {
		return err
	}
	if d.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
	}
	res, err := d.repo.do(req, http.StatusOK, http.StatusPartialContent)
	if err != nil {
		return err
	}
	d.body = res.Body
	if res.StatusCode == http.StatusPartialContent {
		if !strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.at)) {
			d.body.Close()
			return fmt.Errorf("GET %s: asked for bytes from %d, got the range %q", plainURL(req.URL), d.at, shorten(res.Header.Get("Content-Range")))
		}
		return nil
	}
	if _, err := io.CopyN(io.Discard, d.body, d.at); err != nil { // from the start again
		d.body.Close()
		return err
	}
	return nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.body.Read(p)
		if n > 0 {
			d.at, d.try = d.at+int64(n), 0
			return n, nil
		}
		if err == nil || (errors.Is(err, io.EOF) && d.at >= d.desc.Size) {
			return 0, err
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err := d.again(err); err != nil {
			return 0, err
		}
	}
}

// again opens the blob once more after cause, or returns why not.
func (d *download) again(cause error) error {
	d.body.Close()
	for {
		d.try++
		wait, ok := retry(d.try, nil, cause)
		if !ok || d.try == maxTries {
			return fmt.Errorf("GET %s/blobs/%s: broke off after %d of %d bytes: %w (%d tries)", d.repo.base, d.desc.Digest, d.at, d.desc.Size, cause, d.try)
		}
		if err := sleep(d.ctx, wait); err != nil {
			return err
		}
		err := d.open()
		if err == nil {
			return nil
		}
		var status *Error
		if errors.As(err, &status) {
			return err
		}
		cause = err
	}
}

// Close closes the body.
func (d *download) Close() error { return d.body.Close() }

func (r *repository) request(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, r.base+path, nil)
}
