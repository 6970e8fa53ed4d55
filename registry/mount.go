package registry

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Mount asks the registry to take the blob d from another of its repositories (distribution-spec
// 1.1, mounting a blob from another repository), and reports whether it did. A registry may always
// decline; then the blob must be uploaded. The token for the request allows reading the other
// repository, too.
func (r *Repository) Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error) {
	c, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	query := url.Values{"mount": {d.Digest.String()}, "from": {from.RepositoryStr()}}
	ask := probing(alsoScope(noRetry(ctx), from.Scope(transport.PullScope)))
	req, err := c.request(ask, http.MethodPost, "/blobs/uploads/?"+query.Encode())
	if err != nil {
		return false, err
	}
	res, err := c.do(req, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return false, err
	}
	drain(res)
	if res.StatusCode == http.StatusCreated {
		return c.hasBlob(ctx, d) // a 201 alone is no proof
	}
	if at, err := location(res, c.rules.redirects); err == nil {
		c.begun.add(d.Digest, begunUpload{at, leastChunk(res)}) // PutBlob continues it
	}
	return false, nil
}

// Mount is Repository.Mount, after the checks.
func (c *Checked) Mount(ctx context.Context, d v1.Descriptor, from name.Repository) (bool, error) {
	if err := c.check(ctx); err != nil {
		return false, err
	}
	return c.Repository.Mount(ctx, d, from)
}

// begunUpload is an upload that was begun and has no content yet.
type begunUpload struct {
	at    string
	least int64 // fewest bytes of a piece that is not the last
}

// leastChunk returns the smallest piece that the registry accepts in an upload, in bytes; 0 means
// any.
func leastChunk(res *http.Response) int64 {
	least, _ := strconv.ParseInt(res.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	return least
}

// begun are uploads that would be left behind if no blob used them: those of declined mounts, and
// of a probe that cannot be cancelled.
type begun struct {
	mu     sync.Mutex
	byBlob map[v1.Hash]begunUpload
}

// add keeps an upload for the blob d; with the digest absent, for any blob.
func (b *begun) add(d v1.Hash, u begunUpload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byBlob == nil {
		b.byBlob = map[v1.Hash]begunUpload{}
	}
	b.byBlob[d] = u
}

// take returns an upload that the blob d can use, and removes it.
func (b *begun) take(d v1.Hash) (begunUpload, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range []v1.Hash{d, absent} {
		if u, ok := b.byBlob[key]; ok {
			delete(b.byBlob, key)
			return u, true
		}
	}
	return begunUpload{}, false
}
