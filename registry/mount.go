package registry

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Mount lets the registry take the blob d over from another of its repositories (distribution-spec 1.1, mounting a
// blob from another repository), and reports whether it did. A registry may always decline: then the blob
// is to be uploaded.
func (r *Repository) Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	query := url.Values{"mount": {d.Digest.String()}, "from": {from.RepositoryStr()}}
	req, err := c.request(once(ctx), http.MethodPost, "/blobs/uploads/?"+query.Encode())
	if err != nil {
		return false, err
	}
	res, err := c.do(req, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return false, err
	}
	drain(res)
	if res.StatusCode == http.StatusCreated {
		return c.hasBlob(ctx, d) // whatever it says that it did
	}
	if at, err := location(res); err == nil { // an upload was begun, which nobody goes on with
		if req, err := http.NewRequestWithContext(once(ctx), http.MethodDelete, at, nil); err == nil {
			if res, err := c.do(req, http.StatusNoContent); err == nil {
				drain(res)
			}
		}
	}
	return false, nil
}

// Mount is Repository.Mount.
func (c *Checked) Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error) {
	if err := c.check(ctx); err != nil {
		return false, err
	}
	return c.Repository.Mount(ctx, d, from)
}
