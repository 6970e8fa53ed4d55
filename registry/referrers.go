package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxReferrers is the most referrers of one manifest.
const maxReferrers = 10_000

// referrersAPI is whether a registry has the referrers API, once that is known.
type referrersAPI struct {
	mu             sync.Mutex
	known, present bool
}

// referrersAPI returns what is known of a registry's API.
func (c *Client) referrersAPI(reg name.Registry) *referrersAPI {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apis[reg.RegistryStr()] == nil {
		c.apis[reg.RegistryStr()] = &referrersAPI{}
	}
	return c.apis[reg.RegistryStr()]
}

// Referrers returns the digests of the manifests whose subject is subject, from the registry's
// referrers API (distribution-spec 1.1, listing referrers). The first call for a registry finds out
// whether it has the API.
//
// Errors: errors.ErrUnsupported without the API; fs.ErrPermission.
func (c *Client) Referrers(ctx context.Context, subject name.Digest) ([]v1.Hash, error) {
	d, err := v1.NewHash(subject.DigestStr())
	if err != nil {
		return nil, err
	}
	r, err := c.repository(ctx, subject.Context(), transport.PullScope, false)
	if err != nil {
		return nil, err
	}
	return r.referrers(ctx, d)
}

// HasBlob reports whether repo has the blob d, by the registry's answer to HEAD.
//
// Errors: fs.ErrPermission.
func (c *Client) HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (bool, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return false, err
	}
	return r.hasBlob(ctx, d)
}

// Referrers is Client.Referrers, for this repository.
func (r *Repository) Referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	return c.referrers(ctx, subject)
}

func (r *repository) referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error) {
	list, isAnswer, err := r.probeReferrers(ctx, subject)
	if isAnswer || err != nil {
		return list, err
	}
	if list, err = r.askReferrers(ctx, subject); errors.Is(err, errNoList) { // some registries with the API answer so for a subject without referrers
		return nil, nil
	}
	return list, err
}

// probeReferrers finds out, once, whether the registry has the API. Other callers wait for that.
// isAnswer reports whether list is the answer for subject, from the request that found out.
//
// Errors: errors.ErrUnsupported without the API.
func (r *repository) probeReferrers(ctx context.Context, subject v1.Hash) (list []v1.Hash, isAnswer bool, err error) {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()
	if !r.api.known {
		list, err = r.askReferrers(ctx, subject)
		if err != nil && !errors.Is(err, errNoList) {
			return nil, false, err
		}
		r.api.known, r.api.present, isAnswer = true, err == nil, err == nil
	}
	if !r.api.present {
		return nil, false, errors.ErrUnsupported
	}
	return list, isAnswer, nil
}

func (r *repository) askReferrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error) {
	var list []v1.Hash
	at := r.base + "/referrers/" + subject.String()
	for range maxPages {
		res, raw, err := r.list(ctx, at, string(types.OCIImageIndex))
		if err != nil {
			return nil, err
		}
		page, err := referrersIn(res, raw)
		if err != nil {
			return nil, err
		}
		if list = append(list, page...); len(list) > maxReferrers {
			break
		}
		if at, err = nextPage(res); err != nil || at == "" {
			return list, err
		}
	}
	return nil, fmt.Errorf("GET %s/referrers/%s: more than %d referrers, or endless pages", r.base, subject, maxReferrers)
}

// referrersIn reads a page. Anything but an index comes from a registry, or a proxy, that does not
// know the API.
func referrersIn(res *http.Response, raw []byte) ([]v1.Hash, error) {
	if mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || types.MediaType(mediaType) != types.OCIImageIndex {
		return nil, errNoList
	}
	var index struct {
		Manifests []struct {
			Digest v1.Hash `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("GET %s: malformed list of referrers: %s", plainURL(res.Request.URL), oneLine(err.Error()))
	}
	var list []v1.Hash
	for _, m := range index.Manifests {
		list = append(list, m.Digest)
	}
	return list, nil
}
