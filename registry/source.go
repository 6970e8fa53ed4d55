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
	for try := 1; ; try++ {
		req, err := r.request(ctx, http.MethodGet, "/manifests/"+id) // a new one: the last has credentials in its header
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		req.Header.Set("Accept", acceptManifests)
		res, err := r.do(req, http.StatusOK)
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
		_ = res.Body.Close()
		if err == nil {
			return describe(res, id, raw)
		}
		if err := r.rules.again(ctx, try, err); err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("GET %s: %w", plainURL(req.URL), err)
		}
	}
}

// describe checks a manifest against what it was asked by, and against what the registry says of it.
func describe(res *http.Response, id string, raw []byte) (v1.Descriptor, []byte, error) {
	fail := func(format string, args ...any) (v1.Descriptor, []byte, error) {
		return v1.Descriptor{}, nil, fmt.Errorf("GET %s: %w", plainURL(res.Request.URL), fmt.Errorf(format, args...))
	}
	if len(raw) > maxManifest {
		return fail("a manifest of more than %d bytes", maxManifest)
	}
	header := res.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(header)
	if err != nil {
		return fail("the media type %q: %w", shorten(header), err)
	}
	if types.MediaType(mediaType).IsSchema1() { // its digest is not of its bytes
		return fail("the media type %q: Docker schema 1 cannot be copied; push the image again in a newer format", mediaType)
	}
	desc := v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(raw)), Digest: digest.Of(raw)}
	if want, err := v1.NewHash(id); err == nil {
		if err := digest.Check(raw, want); err != nil {
			return fail("%w", err)
		}
	} else if said := res.Header.Get("Docker-Content-Digest"); said != "" && said != desc.Digest.String() {
		return fail("%w: the registry says %s, the content is %s", digest.ErrMismatch, shorten(said), desc.Digest)
	}
	return desc, raw, nil
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
	at   int64 // bytes handed out
	skip int64 // bytes of body that were handed out before
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
	d.skip = d.at // a registry without ranges starts over
	if res.StatusCode == http.StatusPartialContent {
		d.skip = 0
		if got := res.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", d.at)) {
			_ = res.Body.Close()
			return fmt.Errorf("GET %s: asked for bytes from %d on, got the range %q", plainURL(req.URL), d.at, shorten(got))
		}
	}
	d.body = res.Body
	return nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.read(p)
		switch {
		case n > 0:
			d.at, d.try = d.at+int64(n), 0
			return n, nil
		case err == nil || errors.Is(err, io.EOF): // the end of what the registry has; a break is another error
			return 0, err
		case d.at >= d.desc.Size: // all is here, and nothing followed it
			return 0, io.EOF
		}
		d.try++
		if err := d.repo.rules.again(d.ctx, d.try, err); err != nil {
			return 0, fmt.Errorf("GET %s/blobs/%s: broke off after %d of %d bytes: %w", d.repo.base, d.desc.Digest, d.at, d.desc.Size, err)
		}
		_ = d.body.Close()
		if err := d.open(); err != nil {
			return 0, err
		}
	}
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

func (r *repository) request(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, r.base+path, nil)
}
