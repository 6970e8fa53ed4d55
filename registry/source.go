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

// manifest reads the manifest with a tag or digest. A manifest that is not what it should be is asked for
// once more: it may have been changed on its way, or the tag moved between header and body.
func (r *repository) manifest(ctx context.Context, id string) (v1.Descriptor, []byte, error) {
	d, raw, err := r.manifestOnce(ctx, id)
	if errors.Is(err, digest.ErrMismatch) {
		d, raw, err = r.manifestOnce(ctx, id)
	}
	return d, raw, err
}

func (r *repository) manifestOnce(ctx context.Context, id string) (v1.Descriptor, []byte, error) {
	for try := 1; ; try++ {
		req, err := r.request(ctx, http.MethodGet, "/manifests/"+id)
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
	if looksLikeHTML(raw) {
		return fail("%w: it sent a page of HTML in place of a manifest", ErrNotRegistry)
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

func (r *repository) request(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, r.base+path, nil)
}
