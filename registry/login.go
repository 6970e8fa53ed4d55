package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var (
	// ErrNoLogin says that a registry requires a login, and none was found for it.
	ErrNoLogin = errors.New("no login found")

	// ErrLogin says that a registry rejects the login that was found for it.
	ErrLogin = errors.New("refused this login")

	// ErrNotAsked says that a registry refused a request without asking for a login, so that none was sent.
	ErrNotAsked = errors.New("refused without asking for a login")
)

// find looks up the credentials for the repository, once, when they are first needed. An error is
// kept for explain, and the registry is asked without credentials: it may need none.
func (s *session) find(ctx context.Context) (config *authn.AuthConfig, err error) {
	if s.auth == nil {
		s.auth, err = s.client.credentials(ctx, s.repo, s.registry.Scheme == "http")
	}
	if err == nil {
		config, err = authn.Authorization(ctx, s.auth)
	}
	switch {
	case err == nil:
		return config, nil
	case ctx.Err() != nil:
		s.auth = nil
		return nil, ctx.Err()
	}
	s.auth, s.lookUp = authn.Anonymous, err
	return &authn.AuthConfig{}, nil
}

// explain adds to a refusal what it means for the login: the registry did not ask for one, none was
// found, it could not be looked up, or it is wrong.
func (s *session) explain(ctx context.Context, answer *Error) error {
	if !isPermission(answer.Status) || answer.reason != nil || isProbe(ctx) {
		return answer
	}
	s.renewing.Lock()
	auth, lookUp := s.auth, s.lookUp
	s.renewing.Unlock()
	host := s.registry.Host
	switch {
	case auth == nil:
		return explained{fmt.Errorf("%s %w", host, ErrNotAsked), answer}
	case lookUp != nil:
		return explained{lookUp, answer}
	case auth == authn.Anonymous:
		return explained{fmt.Errorf("%w for %s", ErrNoLogin, host), answer}
	case answer.Status == http.StatusUnauthorized && !s.isAccepted(ctx):
		return explained{fmt.Errorf("%s %w", host, ErrLogin), answer}
	}
	return answer
}

// explainExchange is explain for the answer of a token server.
func (s *session) explainExchange(err error) error {
	var answer *Error
	switch {
	case !errors.As(err, &answer) || !errors.Is(answer, fs.ErrPermission):
	case s.lookUp != nil:
		return explained{s.lookUp, answer}
	case s.auth == authn.Anonymous:
		return explained{fmt.Errorf("%w for %s", ErrNoLogin, s.registry.Host), answer}
	case answer.Status == http.StatusUnauthorized:
		return explained{fmt.Errorf("%s %w", s.registry.Host, ErrLogin), answer}
	}
	return err
}

// isAccepted asks, once, whether the registry knows the login: a token without a scope needs no
// permission, and neither does /v2/. Without a clear answer it reports false.
func (s *session) isAccepted(ctx context.Context) bool {
	accepted, _ := s.accepted.get(ctx, func() (bool, error) {
		auth := s.get("")
		if strings.EqualFold(auth.challenge.Scheme, "bearer") && auth.renews {
			_, _, err := s.client.exchange(ctx, s.registry, s.auth, auth.challenge)
			return err == nil, nil
		}
		if s.pinged.Scheme == "" {
			return false, nil
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.registry.String()+"/v2/", nil)
		if err != nil {
			return false, nil
		}
		req.Header.Set("Authorization", auth.header)
		res, err := brief{s.inner}.RoundTrip(req)
		if err != nil {
			return false, nil
		}
		drain(res)
		return res.StatusCode == http.StatusOK, nil
	})
	return accepted
}

// WantsLogin reports whether a login was used, and the registry refuses to show the manifest d
// without one.
func (r *Repository) WantsLogin(ctx context.Context, d v1.Hash) bool {
	c, err := r.open(ctx)
	if err != nil {
		return false
	}
	s := c.session
	s.renewing.Lock()
	isUsed := s.auth != nil && s.auth != authn.Anonymous
	s.renewing.Unlock()
	if !isUsed {
		return false
	}
	anyone := &session{
		client: s.client, inner: s.inner, registry: s.registry, repo: s.repo, scope: s.repo.Scope(transport.PullScope), pinged: s.pinged,
		auth: authn.Anonymous, current: map[string]*authorization{"": {challenge: s.pinged}}, aliases: map[string]bool{},
	}
	reader := &repository{rules: c.rules, session: anyone, base: c.base, http: &http.Client{Transport: anyone, CheckRedirect: c.http.CheckRedirect}}
	_, err = reader.resolve(noRetry(ctx), d.String())
	return errors.Is(err, fs.ErrPermission)
}
