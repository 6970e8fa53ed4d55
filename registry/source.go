package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
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

// Manifest reads the manifest that ref points to, and implements bundle.Source. Its digest is
// checked.
//
// Errors: fs.ErrNotExist; fs.ErrPermission; digest.ErrMismatch.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	r, err := c.repository(ctx, ref.Context(), transport.PullScope, false)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return r.manifest(ctx, ref.Identifier())
}

// manifest reads the manifest with a tag or digest. After digest.ErrMismatch it reads once more:
// the content may have been damaged on its way, or the tag moved between header and body.
func (r *repository) manifest(ctx context.Context, id string) (v1.Descriptor, []byte, error) {
	d, raw, err := r.manifestOnce(ctx, id)
	if errors.Is(err, digest.ErrMismatch) {
		d, raw, err = r.manifestOnce(ctx, id)
	}
	return d, raw, err
}

func (r *repository) manifestOnce(ctx context.Context, id string) (v1.Descriptor, []byte, error) {
	a := r.attempt(http.MethodGet)
	for {
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
		if err := r.rules.again(ctx, a, err); err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("GET %s: %w", plainURL(req.URL), err)
		}
	}
}

// describe returns the descriptor of a manifest. It checks the digest against id, or against the
// header of the answer.
func describe(res *http.Response, id string, raw []byte) (v1.Descriptor, []byte, error) {
	fail := func(format string, args ...any) (v1.Descriptor, []byte, error) {
		return v1.Descriptor{}, nil, fmt.Errorf("GET %s: %w", plainURL(res.Request.URL), fmt.Errorf(format, args...))
	}
	if len(raw) > maxManifest {
		return fail("the manifest has more than %d bytes", maxManifest)
	}
	if looksLikeHTML(raw) {
		return fail("%w: it sent an HTML page instead of a manifest", ErrNotRegistry)
	}
	mediaType, err := mediaTypeOf(res.Header.Get("Content-Type"), raw)
	if err != nil {
		return fail("%w", notManifest{err})
	}
	if mediaType.IsSchema1() { // its digest is not that of its bytes
		return fail("%w", notManifest{fmt.Errorf("media type %q: Docker schema 1 cannot be copied; push the image again in a newer format", mediaType)})
	}
	desc := v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest.Of(raw)}
	if want, err := v1.NewHash(id); err == nil {
		if err := digest.Check(raw, want); err != nil {
			return fail("%w", err)
		}
	} else if said := res.Header.Get("Docker-Content-Digest"); said != "" && !strings.HasPrefix(said, "sha512:") && said != desc.Digest.String() {
		return fail("%w: the registry says %s, the content has %s", digest.ErrMismatch, oneLine(said), desc.Digest)
	}
	return desc, raw, nil
}

// ErrNotManifest says that a registry has something else than a manifest that can be copied.
var ErrNotManifest = errors.New("not a manifest that can be copied")

// notManifest is an ErrNotManifest with its own message.
type notManifest struct{ error }

func (notManifest) Is(target error) bool { return target == ErrNotManifest }

// generalTypes are the media types of servers that do not know manifests.
var generalTypes = []string{"", "application/json", "text/json", "text/plain", "application/octet-stream", "binary/octet-stream"}

// mediaTypeOf returns the media type of a manifest: that of the Content-Type; if that is a general
// one, the document's mediaType; without one, the OCI type that has the document's fields. It does
// not check that they agree.
func mediaTypeOf(header string, raw []byte) (types.MediaType, error) {
	general := ""
	if header != "" {
		var err error
		if general, _, err = mime.ParseMediaType(header); err != nil {
			return "", fmt.Errorf("media type %q: %w", oneLine(header), err)
		}
	}
	if !slices.Contains(generalTypes, general) {
		return types.MediaType(general), nil
	}
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        json.RawMessage `json:"config"`
		Manifests     json.RawMessage `json:"manifests"`
	}
	switch err := json.Unmarshal(raw, &doc); {
	case err != nil:
		return "", fmt.Errorf("media type %q: the content is not a manifest", general)
	case doc.MediaType != "":
		return doc.MediaType, nil
	case doc.SchemaVersion == 1:
		return types.DockerManifestSchema1, nil
	case doc.Config != nil && doc.Manifests == nil:
		return types.OCIManifestSchema1, nil
	case doc.Manifests != nil && doc.Config == nil:
		return types.OCIImageIndex, nil
	}
	return "", fmt.Errorf("media type %q: the content does not name its own", general)
}

func (r *repository) request(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, r.base+path, nil)
}
