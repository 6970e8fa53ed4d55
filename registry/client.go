package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

	mu       sync.Mutex
	sessions map[string]*session    // by registry
	clients  map[string]*repository // by repository and action
}

// session is what the first request to a registry found out.
type session struct {
	once      sync.Once
	challenge *transport.Challenge
	err       error
}

// repository is an http.Client that authenticates for one repository.
type repository struct {
	once sync.Once
	http *http.Client
	base string // scheme://host/v2/path
	err  error
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
		opt:      opt,
		base:     &transportRules{inner: base, insecure: opt.Insecure, userAgent: opt.UserAgent},
		sessions: map[string]*session{},
		clients:  map[string]*repository{},
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

// session asks a registry once how it is to be spoken to.
func (c *Client) session(ctx context.Context, reg name.Registry) (*transport.Challenge, error) {
	c.mu.Lock()
	s := c.sessions[reg.RegistryStr()]
	if s == nil {
		s = &session{}
		c.sessions[reg.RegistryStr()] = s
	}
	c.mu.Unlock()
	s.once.Do(func() {
		if c.opt.Insecure {
			if reg, s.err = name.NewRegistry(reg.RegistryStr(), name.Insecure); s.err != nil {
				return
			}
		}
		s.challenge, s.err = transport.Ping(ctx, reg, c.base)
		if s.err != nil {
			s.err = fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), explain(s.err))
		}
	})
	return s.challenge, s.err
}

// repository returns the authenticated client for repo. The action is transport.PullScope or
// transport.PushScope; only sameHost keeps redirects on the registry's host.
func (c *Client) repository(ctx context.Context, repo name.Repository, action string, sameHost bool) (*repository, error) {
	key := fmt.Sprint(action, sameHost, repo.Name())
	c.mu.Lock()
	r := c.clients[key]
	if r == nil {
		r = &repository{}
		c.clients[key] = r
	}
	c.mu.Unlock()
	r.once.Do(func() { r.err = c.open(ctx, r, repo, action, sameHost) })
	return r, r.err
}

func (c *Client) open(ctx context.Context, r *repository, repo name.Repository, action string, sameHost bool) error {
	challenge, err := c.session(ctx, repo.Registry)
	if err != nil {
		return err
	}
	auth, err := c.credentials(ctx, repo)
	if err != nil {
		return err
	}
	scheme := "https"
	if challenge.Insecure {
		scheme = "http"
	}
	rt, err := c.authenticate(ctx, repo, auth, challenge, action)
	if err != nil {
		return fmt.Errorf("log in to %s: %w", repo.RegistryStr(), explain(err))
	}
	r.base = scheme + "://" + repo.RegistryStr() + "/v2/" + repo.RepositoryStr()
	r.http = &http.Client{Transport: rt, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case via[0].Method != http.MethodGet && via[0].Method != http.MethodHead:
			return errors.New("a request that writes is not redirected")
		case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
			return fmt.Errorf("redirected from https to %s", req.URL.Scheme)
		case sameHost && req.URL.Host != via[0].URL.Host:
			return fmt.Errorf("redirected to %s, but only %s may be reached from here", req.URL.Host, via[0].URL.Host)
		}
		return nil
	}}
	return nil
}

// authenticate wraps the base transport so that requests for repo carry what the registry asked for.
func (c *Client) authenticate(ctx context.Context, repo name.Repository, auth authn.Authenticator, challenge *transport.Challenge, action string) (http.RoundTripper, error) {
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, err
	}
	var token *transport.Token
	switch {
	case challenge.Scheme == "":
		return c.base, nil
	case !strings.EqualFold(challenge.Scheme, "bearer"): // basic
	case config.RegistryToken != "":
		token = &transport.Token{Token: config.RegistryToken}
	default:
		if token, err = transport.Exchange(ctx, repo.Registry, auth, c.base, []string{repo.Scope(action)}, challenge); err != nil {
			return nil, err
		}
		if token.Token == "" {
			token.Token = token.AccessToken
		}
	}
	return transport.FromToken(repo.Registry, auth, c.base, challenge, token)
}

// do sends a request below the repository's base path and returns the response when its status is
// one of want; the caller closes its body. Other statuses are an *Error.
func (r *repository) do(req *http.Request, want ...int) (*http.Response, error) {
	res, err := r.http.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	if slices.Contains(want, res.StatusCode) {
		return res, nil
	}
	defer drain(res)
	return nil, newError(res, 1)
}

// drain reads what is left of a small body, so that the connection can be used again.
func drain(res *http.Response) {
	io.CopyN(io.Discard, res.Body, 64<<10)
	res.Body.Close()
}
