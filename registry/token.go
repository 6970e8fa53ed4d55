package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var errNoToken = refusal{errors.New("the token server's answer has no token")}

// exchange requests a token from the server that a challenge names. It returns the token and how
// long it is valid.
func (c *Client) exchange(ctx context.Context, registry *url.URL, auth authn.Authenticator, challenge *transport.Challenge, scopes ...string) (string, time.Duration, error) {
	server := tokenServer{brief{c.base}, registry, c.opt.TokenHosts}
	realm, err := url.Parse(challenge.Parameters["realm"])
	if err != nil || realm.Host == "" {
		return "", 0, refusal{errors.New("the registry requires a token, but names no token server")}
	}
	if err := server.check(realm); err != nil {
		return "", 0, err
	}
	host, err := name.NewRegistry(realm.Host) // for go-containerregistry's own check of the realm
	if err != nil {
		return "", 0, refusal{err}
	}
	answer := &tokenAnswer{inner: server, lifetime: leastLifetime}
	token, err := transport.Exchange(ctx, host, auth, answer, scopes, challenge)
	var request *url.Error
	var status *transport.Error
	switch {
	case err == nil:
		return cmp.Or(token.Token, token.AccessToken), answer.lifetime, nil
	case errors.As(err, &request), errors.As(err, &status):
		return "", 0, explain(err)
	}
	return "", 0, errNoToken // other errors of go-containerregistry have the whole answer in them, with its secrets
}

// leastLifetime is how long a token is valid if its server says less, or nothing (the distribution
// project's token specification, expires_in).
const leastLifetime = time.Minute

// tokenAnswer is a RoundTripper to a token server. It returns the token of the answer alone:
// go-containerregistry requires a whole number in expires_in, and servers send strings and
// fractions.
type tokenAnswer struct {
	inner    http.RoundTripper
	lifetime time.Duration
}

// RoundTrip implements http.RoundTripper.
func (a *tokenAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := a.inner.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusOK {
		return res, err
	}
	raw, err := io.ReadAll(res.Body) // brief limits it
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	if looksLikeHTML(raw) {
		return nil, refusal{fmt.Errorf("token server %s sent an HTML page instead of a token", req.URL.Host)}
	}
	var token struct {
		Token       string          `json:"token,omitempty"`
		AccessToken string          `json:"access_token,omitempty"`
		ExpiresIn   json.RawMessage `json:"expires_in,omitempty"`
	}
	if json.Unmarshal(raw, &token) == nil {
		a.lifetime = lifetime(token.ExpiresIn)
		token.ExpiresIn = nil
		if raw, err = json.Marshal(token); err != nil {
			return nil, err
		}
	}
	res.Body = io.NopCloser(bytes.NewReader(raw))
	return res, nil
}

// lifetime reads expires_in: seconds, as a number or in a string.
func lifetime(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || !(seconds > leastLifetime.Seconds()) {
		return leastLifetime
	}
	const most = 24 * time.Hour // the registry refuses an expired token anyway
	return time.Duration(min(seconds, most.Seconds()) * float64(time.Second))
}
