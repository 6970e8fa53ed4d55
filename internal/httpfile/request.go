package httpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"relocate/registry"
)

// get asks for n bytes from at on, which are the body of what it returns. Of the first request the file may
// have fewer. Where the link was refused, it is renewed.
func (f *File) get(ctx context.Context, at, n int64) (*http.Response, error) {
	for {
		u := f.link.current()
		f.counts.requests.Add(1)
		f.counts.asked.Add(n)
		res, err := f.follow(ctx, u, at, n)
		if err == nil {
			if err = f.check(res, at, n); err == nil {
				f.accepted.Store(time.Now().Unix())
				return res, nil
			}
			_ = res.Body.Close() // the rest of it is not read: it may be the whole file
			err = f.clean(res.Request, err)
		}
		if !isRefused(err) {
			return nil, f.explain("read", err)
		}
		if !f.link.renew(ctx, u) {
			return nil, f.expired(u, err)
		}
		f.counts.renewed.Add(1)
	}
}

// request returns the request for a range. A redirect is a request, too, and from the answer that leads to it: only
// the host of the link gets what was given for it.
func (f *File) request(ctx context.Context, u *url.URL, at, n int64, from *http.Response) *http.Request {
	header := http.Header{}
	if link := f.link.current(); sameHost(u, link) {
		header = f.header(link)
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+n-1))
	header.Set("Accept-Encoding", "identity")
	if f.identity.etag != "" && authority(u) == f.identity.host { // a host that redirects may have another
		header.Set("If-Match", f.identity.etag)
	}
	// the transport counts redirects by Response
	return f.observed(ctx, &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header, Response: from})
}

// header returns the headers, with the login, for the host of a link.
func (f *File) header(link *url.URL) http.Header {
	header := f.opt.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	f.login(header, link)
	return header
}

// login adds the login, unless the headers that were given have one.
func (f *File) login(header http.Header, link *url.URL) {
	user := url.UserPassword(f.opt.Username, f.opt.Password)
	if f.opt.Username == "" {
		user = link.User
	}
	req := &http.Request{Header: header}
	switch {
	case header.Get("Authorization") != "":
	case user != nil:
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	case f.opt.Token != "":
		header.Set("Authorization", "Bearer "+f.opt.Token)
	}
}

// follow asks for a range, and follows redirects as far as the transport allows. It does not use http.Client, which
// would send the URL on as a Referer, and the headers to any host.
func (f *File) follow(ctx context.Context, u *url.URL, at, n int64) (*http.Response, error) {
	req := f.request(ctx, u, at, n, nil)
	for {
		res, err := f.transport.RoundTrip(req)
		if err != nil {
			return nil, f.clean(req, err)
		}
		switch res.StatusCode {
		default:
			return res, nil
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		}
		to, err := res.Location()
		drain(res)
		if err != nil {
			return nil, fmt.Errorf("%w: a redirect without a valid Location", ErrAnswer)
		}
		req = f.request(ctx, to, at, n, res)
	}
}

// isRefused reports whether a server refused a link.
func isRefused(err error) bool {
	answer, ok := errors.AsType[*registry.Error](err)
	return ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusGone}, answer.Status)
}

// expired says why a link may have been refused, where it was accepted before, or says itself that it has expired.
func (f *File) expired(u *url.URL, err error) error {
	const form = "2006-01-02 15:04:05 UTC"
	until, accepted := expiry(u), f.accepted.Load()
	switch {
	case !until.IsZero() && until.Before(time.Now()):
		return fmt.Errorf("%w; %w: it was valid until %s", err, ErrExpired, until.Format(form))
	case accepted > 0:
		return fmt.Errorf("%w; %w: it was last accepted at %s", err, ErrExpired, time.Unix(accepted, 0).UTC().Format(form))
	}
	return err
}

// explain says of which file an error is, and in doing what.
func (f *File) explain(act string, err error) error {
	switch _, ok := errors.AsType[*registry.Error](err); {
	case errors.Is(err, ErrChanged):
		return fmt.Errorf("%s %w", f.name, err)
	case !ok:
		return fmt.Errorf("%s %s: %w", act, f.name, err)
	}
	return err
}

// drain reads the rest of a small body, so that its connection can be used again, and closes it.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
}

// refusal returns the error of an answer, whose body it reads.
func refusal(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return &registry.Error{
		Method: res.Request.Method, URL: Redacted(res.Request.URL), Status: res.StatusCode, Code: codeIn(string(body)),
	}
}

// codeIn returns the code in an error document of an object store: <Code>AccessDenied</Code>.
func codeIn(body string) string {
	_, rest, _ := strings.Cut(body, "<Code>")
	code, _, ok := strings.Cut(rest, "</Code>")
	isOther := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }
	if !ok || len(code) > 64 || strings.ContainsFunc(code, isOther) {
		return ""
	}
	return code
}
