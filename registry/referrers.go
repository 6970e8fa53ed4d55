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

// maxReferrers is how many referrers of one manifest are read.
const maxReferrers = 10_000

// referrersAPI is what is known of a registry's referrers API.
type referrersAPI struct {
	mu           sync.Mutex
	known, there bool
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

// Referrers returns the digests of what refers to subject, by the registry's referrers API (OCI
// distribution 1.1). The first call for a registry finds out whether it has one.
//
// Errors: errors.ErrUnsupported where there is none; fs.ErrPermission.
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

// HasBlob reports whether repo says that it has the blob d.
//
// Errors: fs.ErrPermission.
func (c *Client) HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (bool, error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return false, err
	}
	return r.hasBlob(ctx, d)
}

// Referrers is Client.Referrers, of this repository.
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
	if list, err = r.askReferrers(ctx, subject); errors.Is(err, errNoList) { // of some that have none, so do registries that have the API
		return nil, nil
	}
	return list, err
}

// probeReferrers finds out, once, whether the registry has the API. Who asks meanwhile waits. The answer to
// the request that found out is the subject's.
//
// Errors: errors.ErrUnsupported where there is no API.
func (r *repository) probeReferrers(ctx context.Context, subject v1.Hash) (list []v1.Hash, isAnswer bool, err error) {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()
	if !r.api.known {
		list, err = r.askReferrers(ctx, subject)
		if err != nil && !errors.Is(err, errNoList) {
			return nil, false, err
		}
		r.api.known, r.api.there, isAnswer = true, err == nil, err == nil
	}
	if !r.api.there {
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
	return nil, fmt.Errorf("GET %s/referrers/%s: more than %d referrers, or pages without end", r.base, subject, maxReferrers)
}

// referrersIn reads a page. What is no index comes from a registry, or a proxy, that does not know the API.
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
		return nil, fmt.Errorf("GET %s: the list of referrers: %s", plainURL(res.Request.URL), oneLine(err.Error()))
	}
	var list []v1.Hash
	for _, m := range index.Manifests {
		list = append(list, m.Digest)
	}
	return list, nil
}
