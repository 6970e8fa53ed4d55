package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Options say how registries are reached. The zero value verifies certificates against the
// system's pool and takes credentials from docker's configuration.
type Options struct {
	Username, Password string   // for the registries in Named
	Token              string   // a bearer token for the registries in Named, where there is no user name
	Anonymous          bool     // use no credentials at all
	Named              []string // registries (host or host:port) that the operator named; no other gets the credentials above
	CACerts            []string // PEM files to trust beside the system's pool
	SkipVerify         bool     // accept any certificate
	Insecure           bool     // allow plain HTTP; loopback may always be plain
	Jobs               int      // connections to keep for each host; 0 means 1
	UserAgent          string
}

// Times after which a connection is given up.
const (
	connectTimeout = 10 * time.Second
	headerTimeout  = 2 * time.Minute // a registry may hash or move a large blob before it answers
)

// maxRedirects is how often a blob may be redirected.
const maxRedirects = 5

// Client reads from any registry. It is a bundle.Source and safe for concurrent use.
type Client struct {
	opt  Options
	base *transportRules

	mu         sync.Mutex
	challenges map[access]*first[*transport.Challenge]
	clients    map[access]*first[*repository]
}

// access is a way to reach a registry or a repository.
type access struct {
	name     string // of a registry or repository
	action   string // transport.PullScope or transport.PushScope; empty for a registry
	sameHost bool   // no redirect may lead to another host
}

// first keeps what the first call of get found; but no error of a context, which says nothing to
// the next caller.
type first[T any] struct {
	mu    sync.Mutex
	known bool
	value T
	err   error
}

func (f *first[T]) get(ctx context.Context, find func() (T, error)) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		f.value, f.err = find()
		f.known = f.err == nil || ctx.Err() == nil
	}
	return f.value, f.err
}

// entry returns the entry of m with the key, which it makes when there is none.
func entry[T any](c *Client, m map[access]*first[T], key access) *first[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m[key] == nil {
		m[key] = &first[T]{}
	}
	return m[key]
}

// repository sends requests that are authenticated for one repository.
type repository struct {
	rules *transportRules
	http  *http.Client // follows redirects
	base  string       // scheme://host/v2/path
}

// New returns a client. It is an error when a CA file cannot be read or holds no certificate.
func New(opt Options) (*Client, error) {
	pool, err := certPool(opt.CACerts)
	if err != nil {
		return nil, err
	}
	jobs := max(opt.Jobs, 1)
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: pool, InsecureSkipVerify: opt.SkipVerify, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: headerTimeout,
		MaxIdleConns:          0,
		MaxIdleConnsPerHost:   jobs,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1: one connection a transfer
	}
	return &Client{
		opt:        opt,
		base:       &transportRules{inner: base, insecure: opt.Insecure, userAgent: opt.UserAgent, sleep: sleep},
		challenges: map[access]*first[*transport.Challenge]{},
		clients:    map[access]*first[*repository]{},
	}, nil
}

func certPool(paths []string) (*x509.CertPool, error) {
	if len(paths) == 0 {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, path := range paths {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: %s holds no PEM certificate", path)
		}
	}
	return pool, nil
}

// credentials returns what the operator gave for the repository's registry.
func (c *Client) credentials(ctx context.Context, repo name.Repository) (authn.Authenticator, error) {
	if c.opt.Anonymous {
		return authn.Anonymous, nil
	}
	if slices.Contains(c.opt.Named, repo.RegistryStr()) {
		switch {
		case c.opt.Username != "":
			return &authn.Basic{Username: c.opt.Username, Password: c.opt.Password}, nil
		case c.opt.Token != "":
			return &authn.Bearer{Token: c.opt.Token}, nil
		}
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, fmt.Errorf("look up credentials for %s: %w", repo.RegistryStr(), err)
	}
	return auth, nil
}

// challenge asks a registry once how it is to be spoken to.
func (c *Client) challenge(ctx context.Context, reg name.Registry, sameHost bool) (*transport.Challenge, error) {
	known := entry(c, c.challenges, access{name: reg.RegistryStr(), sameHost: sameHost})
	return known.get(ctx, func() (_ *transport.Challenge, err error) {
		if c.opt.Insecure {
			if reg, err = name.NewRegistry(reg.RegistryStr(), name.Insecure); err != nil {
				return nil, err
			}
		}
		rt := http.RoundTripper(brief{c.base})
		if sameHost {
			rt = oneHost{rt, reg.RegistryStr()}
		}
		challenge, err := transport.Ping(ctx, reg, rt)
		var certificate *tls.CertificateVerificationError
		var refused refusal
		switch {
		case err == nil:
			return challenge, nil
		case errors.As(err, &refused):
			return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), refused)
		case errors.As(err, &certificate): // whatever it then answers to plain HTTP
			return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), certificate)
		case errors.Is(err, http.ErrSchemeMismatch) && !c.opt.Insecure && !isLoopback(hostname(reg)):
			return nil, fmt.Errorf("reach registry %s: it speaks no TLS, and %w", reg.RegistryStr(), ErrPlainHTTP)
		}
		return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), explain(err))
	})
}

// maxAnswer is how much is read of what a registry answers to /v2/, in bytes.
const maxAnswer = 1 << 20

// brief is a RoundTripper whose answers end after maxAnswer: go-containerregistry reads the one to /v2/
// to its end.
type brief struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b brief) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

func hostname(reg name.Registry) string { return (&url.URL{Host: reg.RegistryStr()}).Hostname() }

// oneHost is a RoundTripper that reaches one host only; a redirect leads no further.
type oneHost struct {
	inner http.RoundTripper
	host  string
}

// RoundTrip implements http.RoundTripper.
func (o oneHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if !sameAuthority(req.URL, &url.URL{Scheme: req.URL.Scheme, Host: o.host}) {
		return nil, otherHost(req.URL.Host, o.host)
	}
	return o.inner.RoundTrip(req)
}

// sameAuthority reports whether two URLs have the same host and port, which may be left to the scheme.
func sameAuthority(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return a.Host == b.Host || strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func otherHost(other, host string) error {
	return refusal{fmt.Errorf("redirected to %s, but only %s may be reached from here", other, host)}
}

// repository returns what sends requests to repo. The action is transport.PullScope or
// transport.PushScope; sameHost keeps redirects on the registry's host.
func (c *Client) repository(ctx context.Context, repo name.Repository, action string, sameHost bool) (*repository, error) {
	known := entry(c, c.clients, access{repo.Name(), action, sameHost})
	return known.get(ctx, func() (*repository, error) { return c.open(ctx, repo, action, sameHost) })
}

func (c *Client) open(ctx context.Context, repo name.Repository, action string, sameHost bool) (*repository, error) {
	challenge, err := c.challenge(ctx, repo.Registry, sameHost)
	if err != nil {
		return nil, err
	}
	auth, err := c.credentials(ctx, repo)
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if challenge.Insecure {
		scheme = "http"
	}
	rt, err := c.authenticate(ctx, repo, auth, challenge, action)
	if err != nil {
		return nil, fmt.Errorf("log in to %s: %w", repo.RegistryStr(), explain(err))
	}
	return &repository{
		rules: c.base,
		http:  &http.Client{Transport: rt, CheckRedirect: redirectRules(sameHost)},
		base:  scheme + "://" + repo.RegistryStr() + "/v2/" + repo.RepositoryStr(),
	}, nil
}

// redirectRules returns what decides whether a redirect is followed.
func redirectRules(sameHost bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		to, from := req.URL, via[len(via)-1].URL
		switch {
		case len(via) > maxRedirects:
			return refusal{fmt.Errorf("more than %d redirects", maxRedirects)}
		case to.Scheme != "https" && to.Scheme != from.Scheme:
			return refusal{fmt.Errorf("redirected from %s to %s", from.Scheme, to.Scheme)}
		case !sameHost || sameAuthority(to, from):
			return nil
		case req.Method == http.MethodHead:
			return http.ErrUseLastResponse // it has what was asked for, elsewhere
		}
		return otherHost(to.Host, from.Host)
	}
}

// do sends a request below the repository's base path and returns the response when its status is
// one of want; the caller closes its body. Other statuses are an *Error. Only what reads is
// redirected.
func (r *repository) do(req *http.Request, want ...int) (*http.Response, error) {
	var res *http.Response
	var err error
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		res, err = r.http.Do(req)
	} else if res, err = r.http.Transport.RoundTrip(req); err != nil {
		err = &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	if err != nil {
		return nil, explain(err)
	}
	if !slices.Contains(want, res.StatusCode) {
		return nil, newError(res)
	}
	return res, nil
}

// drain reads what is left of a small body, so that the connection can be used again.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}
