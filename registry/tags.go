package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Limits on lists.
const (
	tagsPerPage = 1000
	maxPages    = 100
	maxTags     = 100_000
	maxTag      = 128 // characters of a tag
)

// errNoList says that a registry does not have a list which the specification has.
var errNoList = errors.New("the registry has no such list")

// Tags returns tags of repo, and whether they are all. It sends at most that many requests, and no
// more than 100. If the registry lists no tags, or in a way that cannot be followed, the tags so
// far are not all.
//
// Errors: ErrNoRepository and fs.ErrNotExist if the registry does not know the repository; docker-registry and
// distribution say so of one that has manifests and no tag. fs.ErrPermission.
func (c *Client) Tags(ctx context.Context, repo name.Repository, requests int) (tags []string, all bool, err error) {
	r, err := c.repository(ctx, repo, transport.PullScope, false)
	if err != nil {
		return nil, false, err
	}
	tags, all, _, err = r.tags(ctx, tagsPerPage, requests)
	if errors.Is(err, ErrNoRepository) && !errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return tags, all, err
}

// IsNew reports whether the registry says that it does not know the repository. Then it has no tags,
// but it may have content: docker-registry and distribution know a repository by its tags. Without a
// certain answer it is not new.
func (r *Repository) IsNew(ctx context.Context) bool {
	c, err := r.open(ctx)
	if err != nil {
		return false // the next request fails with it
	}
	_, _, _, err = c.tags(noRetry(ctx), 1, 1)
	return errors.Is(err, ErrNoRepository)
}

// AllTags returns all tags of the repository.
//
// Errors: ErrNoRepository; ErrNoTags if the registry does not list them all; fs.ErrPermission.
func (r *Repository) AllTags(ctx context.Context) ([]string, error) {
	c, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	tags, all, tooLong, err := c.tags(ctx, tagsPerPage, maxPages)
	if n := len(tags); err == nil && all && n > 0 && n%tagsPerPage == 0 { // some registries cut a list and do not say so
		tags, all, tooLong, err = c.tags(ctx, tagsPerPage+1, maxPages)
		all = all && len(tags) == n
	}
	if err == nil && (!all || tooLong) {
		err = ErrNoTags
	}
	if errors.Is(err, ErrNoTags) || errors.Is(err, ErrNoRepository) {
		err = fmt.Errorf("list the tags of %s: %w", r.name, err)
	}
	return tags, err
}

// Errors of AllTags.
var (
	// ErrNoTags says that a registry does not list all tags of a repository.
	ErrNoTags = errors.New("the registry does not list all of them")
	// ErrNoRepository says that a registry does not know a repository. Some forget one without tags.
	ErrNoRepository = errors.New("the repository does not exist, or has no tags")
)

// nameUnknown is the ErrNoRepository of a registry whose answer has the specification's code for it.
type nameUnknown struct{}

func (nameUnknown) Error() string   { return ErrNoRepository.Error() }
func (nameUnknown) Unwrap() []error { return []error{ErrNoRepository, fs.ErrNotExist} }

// tags lists tags, with at most that many in a page. tooLong reports whether some are left out because
// the specification does not allow tags of that length.
//
// Errors: ErrNoRepository; fs.ErrPermission.
func (r *repository) tags(ctx context.Context, perPage, requests int) (tags []string, all, tooLong bool, err error) {
	at := fmt.Sprintf("%s/tags/list?n=%d", r.base, perPage)
	for range min(requests, maxPages) {
		res, raw, err := r.list(ctx, at, "application/json")
		switch e, _ := errors.AsType[*Error](err); {
		case err == nil:
		case e != nil && e.Status == http.StatusNotFound && e.Code == "NAME_UNKNOWN":
			return nil, false, false, nameUnknown{}
		case e != nil && e.Status == http.StatusNotFound && e.Code == "NOT_FOUND": // Harbor
			return nil, false, false, ErrNoRepository
		case errors.Is(err, errNoList):
			return tags, false, tooLong, nil
		default:
			return nil, false, false, err
		}
		var page struct {
			Tags []string `json:"tags"`
		}
		if json.Unmarshal(raw, &page) != nil || len(tags)+len(page.Tags) > maxTags {
			return tags, false, tooLong, nil
		}
		for _, tag := range page.Tags {
			if len(tag) > maxTag {
				tooLong = true
				continue
			}
			tags = append(tags, strings.Clone(tag))
		}
		if at, err = nextPage(res); err != nil {
			return tags, false, tooLong, nil
		}
		if at == "" {
			return tags, true, tooLong, nil
		}
	}
	return tags, false, tooLong, nil
}

// list reads a page of a list, of at most 4 MiB. If the answer breaks off, it is requested again.
//
// Errors: errNoList; fs.ErrPermission.
func (r *repository) list(ctx context.Context, at, accept string) (*http.Response, []byte, error) {
	a := r.attempt(http.MethodGet)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return nil, nil, err
		}
		req.Header.Set("Accept", accept)
		res, err := r.doDirect(req, http.StatusOK)
		if err != nil {
			return nil, nil, noList(err)
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
		_ = res.Body.Close()
		switch {
		case err == nil && len(raw) > maxManifest:
			return nil, nil, fmt.Errorf("GET %s: the page has more than %d bytes", plainURL(req.URL), maxManifest)
		case err == nil:
			return res, raw, nil
		}
		if err := r.rules.again(ctx, a, err); err != nil {
			return nil, nil, fmt.Errorf("GET %s: %w", plainURL(req.URL), err)
		}
	}
}

// noList turns an answer that means that there is no list into errNoList. Registries, and proxies
// before them, answer unknown requests in many ways, redirects among them.
func noList(err error) error {
	var e *Error
	if !errors.As(err, &e) || errors.Is(err, fs.ErrPermission) || isTemporaryStatus(e.Status) {
		return err
	}
	if e.Status < 500 || e.Status == http.StatusNotImplemented {
		return fmt.Errorf("%w: %w", errNoList, err)
	}
	return err
}

// nextPage returns the URL of the next page, from the Link header (RFC 8288); "" for the last page.
// A URL of another host is an error.
func nextPage(res *http.Response) (string, error) {
	for _, header := range res.Header.Values("Link") {
		for _, link := range strings.Split(header, ",") {
			target, params, _ := strings.Cut(strings.TrimSpace(link), ">")
			rel := strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(params, `"`, "")), " ", "")
			if !strings.HasPrefix(target, "<") || !strings.Contains(rel+";", ";rel=next;") {
				continue
			}
			next, err := url.Parse(target[1:])
			if err != nil {
				return "", fmt.Errorf("GET %s: its Link header is not a URL", plainURL(res.Request.URL))
			}
			next = res.Request.URL.ResolveReference(next)
			if next.Scheme != res.Request.URL.Scheme || !sameAuthority(next, res.Request.URL) || next.User != nil {
				return "", fmt.Errorf("GET %s: its Link header points to another host, %s", plainURL(res.Request.URL), oneLine(next.Host))
			}
			return next.String(), nil
		}
	}
	return "", nil
}
