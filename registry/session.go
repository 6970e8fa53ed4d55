package registry

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// authenticate wraps the base transport so that requests for repo carry what the registry asked for.
func (c *Client) authenticate(ctx context.Context, repo name.Repository, auth authn.Authenticator, challenge *transport.Challenge, action string) (http.RoundTripper, error) {
	config, err := authn.Authorization(ctx, auth)
	switch {
	case err != nil:
		return nil, err
	case challenge.Scheme == "":
		return c.base, nil
	case !strings.EqualFold(challenge.Scheme, "bearer"): // basic
		return transport.FromToken(repo.Registry, auth, c.base, challenge, nil)
	case config.RegistryToken != "":
		return transport.FromToken(repo.Registry, auth, c.base, challenge, &transport.Token{Token: config.RegistryToken})
	}
	s := &session{login: func(ctx context.Context) (http.RoundTripper, error) {
		return c.login(ctx, repo, auth, challenge, action)
	}}
	s.rt, err = s.login(ctx)
	return s, err
}

// login asks the token server for a token, and returns what sends requests with it.
func (c *Client) login(ctx context.Context, repo name.Repository, auth authn.Authenticator, challenge *transport.Challenge, action string) (http.RoundTripper, error) {
	base := marking{c.base}
	if _, err := transport.FromToken(repo.Registry, auth, base, challenge, &transport.Token{}); err != nil {
		return nil, err // about the challenge: nothing was asked yet
	}
	token, err := transport.Exchange(ctx, repo.Registry, auth, base, []string{repo.Scope(action)}, challenge)
	if err != nil {
		return nil, discreet(err)
	}
	token.Token = cmp.Or(token.Token, token.AccessToken)
	return transport.FromToken(repo.Registry, auth, base, challenge, token)
}

// session is a RoundTripper with a token. When that expires, go-containerregistry asks for one with the
// scope that the refusal names. A registry that names none refuses that, too; then the session logs
// in again.
type session struct {
	login func(context.Context) (http.RoundTripper, error)

	mu   sync.Mutex
	rt   http.RoundTripper
	good bool // since the last login a request was not refused
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	rt := s.rt
	s.mu.Unlock()
	res, err := rt.RoundTrip(req)
	switch {
	case err != nil:
		return nil, discreet(err)
	case req.Response != nil: // redirected: the answer may be another host's
		return res, nil
	case res.StatusCode != http.StatusUnauthorized:
		s.mu.Lock()
		s.good = s.good || s.rt == rt
		s.mu.Unlock()
		return res, nil
	}
	fresh, err := s.renew(req.Context(), rt)
	if err == nil && fresh == rt {
		return res, nil
	}
	drain(res)
	if err != nil {
		return nil, err
	}
	if res, err = fresh.RoundTrip(req); err != nil {
		return nil, discreet(err)
	}
	return res, nil
}

// renew logs in again when old, which was refused, was good. It returns what is to be used now.
func (s *session) renew(ctx context.Context, old http.RoundTripper) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rt != old || !s.good {
		return s.rt, nil
	}
	rt, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	s.rt, s.good = rt, false
	return rt, nil
}

// marking marks the errors of the RoundTripper below go-containerregistry's.
type marking struct{ http.RoundTripper }

// marked is an error of sending a request.
type marked struct{ error }

func (m marked) Unwrap() error { return m.error }

// RoundTrip implements http.RoundTripper.
func (m marking) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := m.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, marked{err}
	}
	return res, nil
}

var errNoToken = refusal{errors.New("the token server's answer has no token")}

// discreet returns an error that is not about the content of a token server's answer as it is, and
// errNoToken in place of others: go-containerregistry puts the whole answer, secrets included, into
// them.
func discreet(err error) error {
	var sending marked
	var request *url.Error
	var status *transport.Error
	if errors.As(err, &sending) || errors.As(err, &request) || errors.As(err, &status) {
		return err
	}
	return errNoToken
}
