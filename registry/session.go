package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// session is a RoundTripper that carries what a registry asks for: to that registry's host and port, and
// nowhere else. A token that expires is replaced.
type session struct {
	inner    http.RoundTripper
	registry *url.URL
	exchange func(ctx context.Context, registry *url.URL, auth authn.Authenticator, challenge *transport.Challenge, scopes ...string) (string, error)

	auth      authn.Authenticator
	challenge *transport.Challenge
	scope     string // of the repository
	renews    bool   // the token comes from a token server

	mu     sync.Mutex
	header string // Authorization
	asked  string // scope that a refusal named, in the last login
	good   bool   // since the last login a request was not refused
}

// authenticate returns a session with a registry that was reached by inner, for one scope.
func (c *Client) authenticate(ctx context.Context, inner http.RoundTripper, registry *url.URL, auth authn.Authenticator, challenge *transport.Challenge, scope string) (*session, error) {
	s := &session{inner: inner, registry: registry, exchange: c.exchange, auth: auth, challenge: challenge, scope: scope}
	config, err := authn.Authorization(ctx, auth)
	switch {
	case err != nil:
		return nil, err
	case challenge.Scheme == "":
	case config.RegistryToken != "":
		s.header = "Bearer " + config.RegistryToken
	case strings.EqualFold(challenge.Scheme, "bearer"):
		s.renews = true
		s.header, err = s.login(ctx)
	case config.Username != "" && config.Password != "":
		s.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	case config.Auth != "":
		s.header = "Basic " + config.Auth
	}
	return s, err
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	if !sameAuthority(req.URL, s.registry) {
		return s.elsewhere(req)
	}
	s.mu.Lock()
	header := s.header
	s.mu.Unlock()
	res, err := s.send(req, header)
	if err != nil || res.StatusCode != http.StatusUnauthorized || !s.renews {
		return res, err
	}
	keep(res)
	fresh, err := s.renew(req.Context(), header, scopeOf(req.Context(), res))
	switch {
	case err != nil:
		return nil, err
	case fresh == header:
		return res, nil
	}
	return s.send(req, fresh)
}

// send sends a request to the registry.
func (s *session) send(req *http.Request, header string) (*http.Response, error) {
	res, err := s.forward(req, header)
	if err == nil && res.StatusCode != http.StatusUnauthorized {
		s.mu.Lock()
		s.good = s.good || s.header == header
		s.mu.Unlock()
	}
	return res, err
}

func (s *session) forward(req *http.Request, header string) (*http.Response, error) {
	r := req.Clone(req.Context())
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return s.inner.RoundTrip(r)
}

// renew logs in again when old, which was refused, was good, or was not for the scope that the refusal
// names. It returns what is to be used now.
func (s *session) renew(ctx context.Context, old, scope string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header != old || !s.good && (scope == "" || scope == s.scope || scope == s.asked) {
		return s.header, nil
	}
	s.asked = scope
	header, err := s.login(ctx)
	if err == nil {
		s.header, s.good = header, false
	}
	return s.header, err
}

// login asks for a token. What a refusal named comes first: some token servers look at one scope only.
func (s *session) login(ctx context.Context) (string, error) {
	scopes := slices.DeleteFunc([]string{s.asked, s.scope}, func(scope string) bool { return scope == "" })
	token, err := s.exchange(ctx, s.registry, s.auth, s.challenge, slices.Compact(scopes)...)
	return "Bearer " + token, err
}

// elsewhere sends a request that was redirected to another host: without credentials, and with a token
// only if that host's token server gives it to anyone.
func (s *session) elsewhere(req *http.Request) (*http.Response, error) {
	res, err := s.forward(req, "")
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	keep(res)
	challenge, err := challengeIn(req.Context(), res)
	if err != nil || !strings.EqualFold(challenge.Scheme, "bearer") {
		return res, nil
	}
	token, err := s.exchange(req.Context(), req.URL, authn.Anonymous, challenge, challenge.Parameters["scope"])
	if err != nil {
		return nil, err
	}
	return s.forward(req, "Bearer "+token)
}

// keep reads and closes the body of a small answer, which can be read as before: it holds no connection
// while a token is asked for.
func keep(res *http.Response) {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(raw))
}

// challengeIn reads what a 401 asks for. The parser is go-containerregistry's; it is behind its Ping.
func challengeIn(ctx context.Context, res *http.Response) (*transport.Challenge, error) {
	nowhere, err := name.NewRegistry("registry.invalid")
	if err != nil {
		return nil, err
	}
	return transport.Ping(ctx, nowhere, answer{&http.Response{
		StatusCode: res.StatusCode, Header: res.Header, Body: http.NoBody, Request: res.Request,
	}})
}

// answer is a RoundTripper that has one answer to everything.
type answer struct{ *http.Response }

// RoundTrip implements http.RoundTripper.
func (a answer) RoundTrip(*http.Request) (*http.Response, error) { return a.Response, nil }

// scopeOf returns the scope that a 401 names, if any.
func scopeOf(ctx context.Context, res *http.Response) string {
	challenge, err := challengeIn(ctx, res)
	if err != nil {
		return ""
	}
	return challenge.Parameters["scope"]
}

var errNoToken = refusal{errors.New("the token server's answer has no token")}

// exchange gets a token from the server that a registry's challenge names.
func (c *Client) exchange(ctx context.Context, registry *url.URL, auth authn.Authenticator, challenge *transport.Challenge, scopes ...string) (string, error) {
	server := tokenServer{brief{c.base}, registry, c.opt.TokenHosts}
	realm, err := url.Parse(challenge.Parameters["realm"])
	if err != nil || realm.Host == "" {
		return "", refusal{errors.New("the registry wants a token, and does not say from where")}
	}
	if err := server.check(realm); err != nil {
		return "", err
	}
	host, err := name.NewRegistry(realm.Host) // for go-containerregistry's own check of the realm
	if err != nil {
		return "", refusal{err}
	}
	token, err := transport.Exchange(ctx, host, auth, server, scopes, challenge)
	var request *url.Error
	var status *transport.Error
	switch {
	case err == nil:
		return cmp.Or(token.Token, token.AccessToken), nil
	case errors.As(err, &request), errors.As(err, &status):
		return "", explain(err)
	}
	return "", errNoToken // go-containerregistry puts the whole answer, secrets included, into others
}
