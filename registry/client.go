package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Options say how registries are reached. The zero value verifies certificates against the system's
// pool and takes credentials from docker's configuration. Hosts are host or host:port.
type Options struct {
	Username, Password string   // for the registries in Named
	Token              string   // a bearer token for the registries in Named; used without Username
	Anonymous          bool     // use no credentials at all
	Environ            []string // NAME=value each, as os.Environ returns them: the logins in it come before all others
	Keychains          []string // of clouds: aks, ecr, gke or github; they come next
	Named              []string // registries that the operator named; no other gets the credentials above
	CACerts            []string // PEM files to trust beside the system's pool
	ClientCert         string   // PEM file with the certificate that Named and TokenHosts are shown; empty: none
	ClientKey          string   // PEM file with its key; required with ClientCert
	SkipVerify         bool     // accept any certificate
	Insecure           bool     // allow plain HTTP, and credentials over it for Named; loopback may always be plain
	TokenHosts         []string // hosts that may issue the tokens of any registry
	RedirectHosts      []string // hosts that a redirect may lead to, whatever their address
	Jobs               int      // requests to a host at once, reading and writing apart; 0 means 1
	MostJobs           int      // up to so many, where its answers take long; less than Jobs means Jobs

	// Only has the hosts that may be connected to, and the address of each. All others are refused, and no proxy is
	// used. Nil allows all hosts.
	Only map[string]string

	// Dial makes connections; nil: over the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Dialed is called with each host:port before it is connected to, or refused by Only. It may be called concurrently.
	Dialed func(host string)

	UserAgent string

	ConnectTimeout time.Duration // for a connection, and for TLS on it; 0 means 10 s
	HeaderTimeout  time.Duration // until an answer begins, after the request was sent; 0 means 1 min
	IdleTimeout    time.Duration // without a byte of a body, in either direction; 0 means 30 s
	Tries          int           // how often a request is sent at most, except to a host in an outage; 0 means 5
	RetryWait      time.Duration // the longest wait before the second try; it doubles for each later one; 0 means 500 ms
}

// Defaults returns the values that New uses for fields that are zero. All other fields are zero.
func Defaults() Options {
	return Options{
		Jobs: 1, ConnectTimeout: 10 * time.Second, HeaderTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		Tries: 5, RetryWait: 500 * time.Millisecond,
	}
}

// complete replaces zero fields with their defaults.
func (opt Options) complete() Options {
	defaults := Defaults()
	opt.Jobs = max(opt.Jobs, defaults.Jobs)
	opt.MostJobs = max(opt.MostJobs, opt.Jobs)
	opt.ConnectTimeout = cmp.Or(opt.ConnectTimeout, defaults.ConnectTimeout)
	opt.HeaderTimeout = cmp.Or(opt.HeaderTimeout, defaults.HeaderTimeout)
	opt.IdleTimeout = cmp.Or(opt.IdleTimeout, defaults.IdleTimeout)
	opt.Tries = cmp.Or(opt.Tries, defaults.Tries)
	opt.RetryWait = cmp.Or(opt.RetryWait, defaults.RetryWait)
	return opt
}

// Client reads from any registry. New makes one. It is a bundle.Source, and safe for concurrent
// use.
type Client struct {
	opt    Options
	logins []login // of the environment
	base   *transportRules

	mu         sync.Mutex
	challenges map[access]*first[*transport.Challenge]
	clients    map[access]*first[*repository]
	apis       map[string]*referrersAPI // by registry
	clouds     map[access]*first[authn.Authenticator]
}

// access is a way to reach a registry or a repository. It is the key of what a Client keeps.
type access struct {
	name     string // of a registry or repository
	action   string // transport.PullScope or transport.PushScope; empty for a registry
	sameHost bool   // no redirect may lead to another host
}

// first keeps the result of the first call of get. It does not keep the error of a context that
// ended, which says nothing to the next caller.
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

// entry returns the entry of m with the key. It adds one if there is none.
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
	rules   *transportRules
	session *session
	api     *referrersAPI
	http    *http.Client // follows redirects
	base    string       // scheme://host/v2/path
	noHead  atomic.Bool  // the registry refuses HEAD
	most    atomic.Int64 // the most bytes in one request of an upload: onePut, onePatch or a number
	begun   begun
}

// New returns a client. It opens no connection.
//
// Errors: a file of certificates that cannot be read or has none; an unknown keychain; a malformed
// login in Options.Environ.
func New(opt Options) (*Client, error) {
	opt = opt.complete()
	if err := checkKeychains(opt.Keychains); err != nil {
		return nil, err
	}
	logins, err := readLogins(opt.Environ)
	if err != nil {
		return nil, err
	}
	base, err := newTransport(opt)
	if err != nil {
		return nil, err
	}
	return &Client{
		opt:        opt,
		logins:     logins,
		base:       base,
		challenges: map[access]*first[*transport.Challenge]{},
		clients:    map[access]*first[*repository]{},
		apis:       map[string]*referrersAPI{},
		clouds:     map[access]*first[authn.Authenticator]{},
	}, nil
}

// challenge asks a registry once how it wants to be spoken to: over TLS or not, and with which kind
// of login.
func (c *Client) challenge(ctx context.Context, reg name.Registry, sameHost bool) (*transport.Challenge, error) {
	known := entry(c, c.challenges, access{name: reg.RegistryStr(), sameHost: sameHost})
	return known.get(ctx, func() (_ *transport.Challenge, err error) {
		if c.opt.Insecure || isLoopback(hostname(reg)) { // Ping knows only 127.0.0.1 and ::1 as loopback
			if reg, err = name.NewRegistry(reg.RegistryStr(), name.Insecure); err != nil {
				return nil, err
			}
		}
		challenge, err := transport.Ping(ctx, reg, pinging{brief{c.reach(reg, sameHost)}})
		var certificate *tls.CertificateVerificationError
		var refused refusal
		switch {
		case err == nil:
			return challenge, nil
		case errors.As(err, &refused):
			return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), refused)
		case errors.As(err, &certificate): // whatever the registry answers to plain HTTP after that
			return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), certificate)
		case errors.Is(err, http.ErrSchemeMismatch) && !c.opt.Insecure && !isLoopback(hostname(reg)):
			return nil, fmt.Errorf("reach registry %s: it does not use TLS, and %w", reg.RegistryStr(), ErrPlainHTTP)
		}
		return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), explain(err))
	})
}

func hostname(reg name.Registry) string { return (&url.URL{Host: reg.RegistryStr()}).Hostname() }

// reach returns the RoundTripper for requests to a registry.
func (c *Client) reach(reg name.Registry, sameHost bool) http.RoundTripper {
	if sameHost {
		return oneHost{c.base, &url.URL{Host: reg.RegistryStr()}, c.base.redirects}
	}
	return c.base
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
	registry := &url.URL{Scheme: "https", Host: repo.RegistryStr()}
	if challenge.Insecure {
		registry.Scheme = "http"
	}
	rt := c.reach(repo.Registry, sameHost)
	s, err := c.newSession(ctx, rt, registry, repo, challenge, action)
	switch {
	case errors.Is(err, ErrLogin), errors.Is(err, ErrNoLogin):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("log in to %s: %w", repo.RegistryStr(), err)
	}
	r := &repository{
		rules:   c.base,
		session: s,
		api:     c.referrersAPI(repo.Registry),
		http:    &http.Client{Transport: s, CheckRedirect: stopHead(rt)},
		base:    registry.String() + "/v2/" + repo.RepositoryStr(),
	}
	r.most.Store(onePut)
	return r, nil
}

// attempt returns the count of tries for something that is requested with that method.
func (r *repository) attempt(method string) *attempt {
	return r.rules.attempt(method, r.session.registry)
}

// stopHead returns an http.Client's CheckRedirect. It ends a HEAD at a redirect to a host that rt
// does not reach: the redirect says that the content exists. All other redirects are up to the
// RoundTrippers.
func stopHead(rt http.RoundTripper) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, _ []*http.Request) error {
		if o, ok := rt.(oneHost); ok && req.Method == http.MethodHead && !o.has(req.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
}

// do sends a request below the repository's base path, and follows redirects of GET and HEAD. It
// returns the response when its status is one of want; the caller closes its body. Any other status
// is an *Error.
func (r *repository) do(req *http.Request, want ...int) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return r.doDirect(req, want...)
	}
	res, err := r.http.Do(req)
	return r.answered(req.Context(), res, err, want)
}

// doDirect is do without redirects.
func (r *repository) doDirect(req *http.Request, want ...int) (*http.Response, error) {
	res, err := r.session.RoundTrip(req)
	if err != nil {
		err = &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	return r.answered(req.Context(), res, err, want)
}

func (r *repository) answered(ctx context.Context, res *http.Response, err error, want []int) (*http.Response, error) {
	if err != nil {
		return nil, explain(err)
	}
	if slices.Contains(want, res.StatusCode) {
		return res, nil
	}
	answer := newError(res)
	switch {
	case res.StatusCode == http.StatusProxyAuthRequired:
		return nil, explained{fmt.Errorf("%w requires a login", ErrProxy), answer}
	case res.StatusCode < http.StatusBadRequest && sendsHTML(res):
		return nil, explained{ErrNotRegistry, answer}
	}
	if !sameAuthority(res.Request.URL, r.session.registry) {
		return nil, answer
	}
	return nil, r.session.explain(ctx, answer)
}
