package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxRounds is how often one request is sent at most, each time with another authorization. From
// privateRound on it gets a token of its own, which no other request can use up.
const (
	privateRound = 3
	maxRounds    = 5
)

// session is a RoundTripper that logs in when a registry asks for it, in its answer to /v2/ or to
// any other request. Credentials and tokens go to that registry's host and port only, and to a host
// that the operator named, if the registry moves an upload there and that host asks for a login.
type session struct {
	client   *Client
	inner    http.RoundTripper
	registry *url.URL
	repo     name.Repository
	scope    string // of the repository
	pinged   *transport.Challenge

	renewing sync.Mutex          // held while a token is requested; guards the fields below
	auth     authn.Authenticator // nil: not looked up yet
	lookUp   error               // why the look-up failed
	named    []string            // scopes that refusals named, the latest first

	mu      sync.Mutex // never held during a request; guards the fields below
	current map[string]*authorization
	aliases map[string]bool // other names of the registry that ask for a login
	worked  bool            // a token was accepted

	accepted first[bool]
}

// authorization is the Authorization header of requests, and how they were answered.
type authorization struct {
	header    string
	challenge *transport.Challenge // the one that it answers
	renews    bool                 // the header is a token from a token server
	scopes    []string             // of the token
	expires   time.Time

	sent    atomic.Int32 // requests
	good    atomic.Bool  // one of them was accepted
	bad     atomic.Bool  // it was refused and never accepted
	private atomic.Bool  // for one request, until it is accepted
}

// newSession returns a session for one scope with a registry, which inner reaches. It logs in if
// the answer to /v2/ asked for that.
func (c *Client) newSession(ctx context.Context, inner http.RoundTripper, registry *url.URL, repo name.Repository, challenge *transport.Challenge, action string) (*session, error) {
	s := &session{
		client: c, inner: inner, registry: registry, repo: repo, scope: repo.Scope(action), pinged: challenge,
		current: map[string]*authorization{"": {challenge: challenge}}, aliases: map[string]bool{},
	}
	if challenge.Scheme == "" {
		return s, nil
	}
	auth, err := s.login(ctx, challenge, "")
	s.current[""] = auth
	return s, err
}

type (
	scopeKey struct{}
	probeKey struct{}
)

// alsoScope returns a context for requests that need another scope beside the session's.
func alsoScope(ctx context.Context, scope string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// probing returns a context for requests that a registry may refuse without harm. They are repeated
// only if another token can change the answer.
func probing(ctx context.Context) context.Context { return context.WithValue(ctx, probeKey{}, true) }

func isProbe(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	own := sameAuthority(req.URL, s.registry)
	if !own && req.Response != nil {
		return s.elsewhere(req)
	}
	auth := s.authorization(req, own)
	for round := 1; ; round++ {
		res, err := s.send(req, auth)
		if err != nil || res.StatusCode != http.StatusUnauthorized || round == maxRounds {
			return res, err
		}
		keep(res)
		auth, err = s.next(req, auth, res, round)
		switch {
		case err != nil:
			return nil, err
		case auth == nil:
			return res, nil
		}
	}
}

// authorization returns the authorization for the first try of a request. A host that an upload
// moved to gets none before it asks.
func (s *session) authorization(req *http.Request, own bool) *authorization {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if !own && !s.isAlias(req.URL) {
		return &authorization{challenge: s.pinged}
	}
	scope := otherScope(req)
	auth := s.get(scope)
	if scope != "" && auth.renews && auth == s.get("") {
		if wider, err := s.login(req.Context(), auth.challenge, scope); err == nil {
			auth = wider
		}
		s.set(scope, auth) // if the login failed, the old one: the registry says whether that is enough
	}
	return auth
}

// get returns the authorization for requests with another scope; for the empty one, that of the
// session.
func (s *session) get(scope string) *authorization {
	s.mu.Lock()
	defer s.mu.Unlock()
	if auth := s.current[scope]; auth != nil {
		return auth
	}
	return s.current[""]
}

func (s *session) set(scope string, auth *authorization) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current[scope] = auth
}

func (s *session) isAlias(u *url.URL) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aliases[authority(u)]
}

// addAlias notes that a host asks for a login, where it is another than the registry's.
func (s *session) addAlias(u *url.URL) {
	if sameAuthority(u, s.registry) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliases[authority(u)] = true
}

func otherScope(req *http.Request) string {
	scope, _ := req.Context().Value(scopeKey{}).(string)
	return scope
}

// send sends a request to the registry, and notes how its authorization was answered.
func (s *session) send(req *http.Request, auth *authorization) (*http.Response, error) {
	auth.sent.Add(1)
	res, err := s.forward(req, auth.header)
	if err == nil && res.StatusCode != http.StatusUnauthorized {
		auth.good.Store(true)
		if auth.private.Swap(false) {
			s.set(otherScope(req), auth)
		}
		if auth.renews {
			s.mu.Lock()
			s.worked = true
			s.mu.Unlock()
		}
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

// next returns what a request that was refused with old is sent with now; nil when no other authorization
// would change the answer. Requests that wait meanwhile share the result.
func (s *session) next(req *http.Request, old *authorization, res *http.Response, round int) (*authorization, error) {
	challenge, err := challengeIn(req.Context(), res)
	if err != nil {
		return nil, nil
	}
	s.renewing.Lock()
	defer s.renewing.Unlock()
	s.addAlias(req.URL)
	scope := otherScope(req)
	switch now := s.get(scope); {
	case old.asks(challenge) && now != old && !now.asks(challenge):
		return now, nil
	case old.asks(challenge):
		return s.replace(req, old, challenge)
	case !old.renews, old.private.Load(), isProbe(req.Context()) && !old.mayHelpProbe(scope):
		return nil, nil
	}
	return s.renew(req, old, challenge, round)
}

// renew is next for a token that answers the challenge and was refused all the same: it may have expired, or
// have been good for a number of requests only.
func (s *session) renew(req *http.Request, old *authorization, challenge *transport.Challenge, round int) (*authorization, error) {
	scope := otherScope(req)
	served := old.good.Load() || old.expired()
	switch now := s.get(scope); {
	case round < privateRound && now != old:
		return now, nil
	case round < privateRound && served:
		return s.replace(req, old, old.challenge)
	case served, old.sent.Load() > 1 && !old.bad.Load(): // other requests may have used it up
		auth, err := s.login(req.Context(), old.challenge, scope)
		auth.private.Store(true)
		return auth, err
	}
	old.bad.Store(true)
	if strings.EqualFold(challenge.Scheme, "basic") && !s.hasWorked() { // the registry accepts no token for this
		return s.replace(req, old, challenge)
	}
	return nil, nil
}

// hasWorked reports whether a token was accepted.
func (s *session) hasWorked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.worked
}

// maxNamed is how many scopes that refusals named are requested with each token.
const maxNamed = 4

// replace logs in again, for all requests. It returns nil if the authorization would be the same.
func (s *session) replace(req *http.Request, old *authorization, challenge *transport.Challenge) (*authorization, error) {
	if named := challenge.Parameters["scope"]; !covers([]string{s.scope, otherScope(req)}, named) {
		s.named = slices.DeleteFunc(s.named, func(scope string) bool { return scope == named })
		s.named = slices.Insert(s.named, 0, named)
		s.named = s.named[:min(len(s.named), maxNamed)]
	}
	auth, err := s.login(req.Context(), challenge, otherScope(req))
	if err != nil || !auth.renews && (auth.header == "" || auth.header == old.header) {
		return nil, err
	}
	s.set(otherScope(req), auth)
	return auth, nil
}

// covers reports whether scopes allow everything that wanted asks for.
func covers(scopes []string, wanted string) bool {
	given := map[string]bool{}
	for _, scope := range scopes {
		for _, right := range rights(scope) {
			given[right] = true
		}
	}
	return !slices.ContainsFunc(rights(wanted), func(right string) bool { return !given[right] })
}

// rights splits scopes, "repository:a/b:pull,push repository:c:pull", into scopes of one action
// each.
func rights(scopes string) []string {
	var list []string
	for _, scope := range strings.Fields(scopes) {
		at := strings.LastIndexByte(scope, ':')
		for _, action := range strings.Split(scope[at+1:], ",") {
			list = append(list, scope[:at+1]+action)
		}
	}
	return list
}

// asks reports whether a challenge asks for something that a does not answer.
func (a *authorization) asks(challenge *transport.Challenge) bool {
	bearer := strings.EqualFold(challenge.Scheme, "bearer")
	switch {
	case a.header == "":
		return true
	case !a.renews:
		return bearer && !strings.EqualFold(a.challenge.Scheme, "bearer")
	case !bearer:
		return false // some registries answer "basic" to an expired token
	}
	return !covers(a.scopes, challenge.Parameters["scope"]) ||
		challenge.Parameters["realm"] != a.challenge.Parameters["realm"] ||
		challenge.Parameters["service"] != a.challenge.Parameters["service"]
}

// mayHelpProbe reports whether a probe that was refused with a token is worth another one: the token has
// expired, or it has another scope and was good before.
func (a *authorization) mayHelpProbe(scope string) bool {
	return a.expired() || scope != "" && a.good.Load()
}

func (a *authorization) expired() bool { return a.renews && time.Now().After(a.expires) }

// login returns the authorization that answers a challenge. Scopes that refusals named come first
// in a token's scopes: some token servers read one scope only.
func (s *session) login(ctx context.Context, challenge *transport.Challenge, scope string) (*authorization, error) {
	auth := &authorization{challenge: challenge}
	config, err := s.find(ctx)
	if err != nil {
		return auth, err
	}
	switch {
	case config.RegistryToken != "":
		auth.header = "Bearer " + config.RegistryToken
	case strings.EqualFold(challenge.Scheme, "bearer"):
		auth.scopes = append(slices.Clone(s.named), s.scope)
		if scope != "" {
			auth.scopes = append(auth.scopes, scope)
		}
		token, lifetime, err := s.client.exchange(ctx, s.registry, s.auth, challenge, auth.scopes...)
		if err != nil {
			return auth, s.explainExchange(err)
		}
		auth.header, auth.renews, auth.expires = "Bearer "+token, true, time.Now().Add(lifetime)
	case config.Username != "" && config.Password != "":
		auth.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	case config.Auth != "":
		auth.header = "Basic " + config.Auth
	}
	return auth, nil
}

// elsewhere sends a request that was redirected to another host: without credentials, and with a
// token only if the token server of that host gives it to anyone.
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
	token, _, err := s.client.exchange(req.Context(), req.URL, authn.Anonymous, challenge, challenge.Parameters["scope"])
	if err != nil {
		return nil, err
	}
	return s.forward(req, "Bearer "+token)
}

// keep reads a small body into memory and closes it, so that it holds no connection while a token
// is requested. The body can still be read.
func keep(res *http.Response) {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(raw))
}

// challengeIn reads the challenge of a 401. The parser is go-containerregistry's, which only Ping
// exports.
func challengeIn(ctx context.Context, res *http.Response) (*transport.Challenge, error) {
	nowhere, err := name.NewRegistry("registry.invalid")
	if err != nil {
		return nil, err
	}
	return transport.Ping(ctx, nowhere, answer{&http.Response{
		StatusCode: res.StatusCode, Header: res.Header, Body: http.NoBody, Request: res.Request,
	}})
}

// answer is a RoundTripper with one answer to every request.
type answer struct{ *http.Response }

// RoundTrip implements http.RoundTripper.
func (a answer) RoundTrip(*http.Request) (*http.Response, error) { return a.Response, nil }
