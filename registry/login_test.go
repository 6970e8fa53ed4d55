package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// start starts a registry that answers all requests itself, /v2/ too.
func start(t *testing.T, h handler) *server {
	s := newServer(t, h)
	s.Start()
	s.host = s.Listener.Addr().String()
	return s
}

// store is a minimal registry to push to: uploads begin, and everything is stored.
func store(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		w.Header().Set("Location", strings.TrimSuffix(r.URL.Path, "/")+"/1")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut, http.MethodPatch:
		_, _ = io.Copy(io.Discard, r.Body)
		created(w, r)
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodHead:
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.Header().Set("Content-Length", fmt.Sprint(blobDesc.Size))
		}
	default:
		writeManifest(w)
	}
}

// TestLoginWhenAsked: a registry whose /v2/ is open asks for a login for other requests.
func TestLoginWhenAsked(t *testing.T) {
	home(t)
	bearer := func(w http.ResponseWriter, r *http.Request, service string) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token/%s",service=%q,scope="repository:repo:pull"`, r.Host, service, service))
	}
	writes := func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }
	for name, c := range map[string]struct {
		open func(r *http.Request) bool
		asks func(w http.ResponseWriter, r *http.Request)
		want func(r *http.Request) string
	}{
		"basic, for writes": {
			func(r *http.Request) bool { return !writes(r) },
			func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("WWW-Authenticate", `Basic realm="x"`) },
			func(*http.Request) string { return basic("u", "p") },
		},
		"no challenge, for writes": {
			func(r *http.Request) bool { return !writes(r) },
			func(http.ResponseWriter, *http.Request) {},
			func(*http.Request) string { return basic("u", "p") },
		},
		"tokens below /v2/": {
			func(r *http.Request) bool { return false },
			func(w http.ResponseWriter, r *http.Request) { bearer(w, r, "s") },
			func(*http.Request) string { return "Bearer for-s" },
		},
		"tokens of two services": {
			func(r *http.Request) bool { return false },
			func(w http.ResponseWriter, r *http.Request) { bearer(w, r, r.Method) },
			func(r *http.Request) string { return "Bearer for-" + r.Method },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				service, isToken := strings.CutPrefix(r.URL.Path, "/token/")
				switch {
				case isToken && r.Header.Get("Authorization") == basic("u", "p") && r.URL.Query().Get("service") == service:
					_, _ = fmt.Fprintf(w, `{"token":"for-%s"}`, service)
				case isToken:
					w.WriteHeader(401)
				case r.URL.Path == "/v2/":
				case !c.open(r) && r.Header.Get("Authorization") != c.want(r):
					c.asks(w, r)
					w.WriteHeader(401)
				default:
					store(w, r)
				}
			})
			cl, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
			repo := cl.Writer(s.repo(t))
			_, _, err := repo.Manifest(t.Context(), s.repo(t).Tag("a"))
			require.NoError(t, err)
			require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
			require.NoError(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
			assert.Empty(t, waited.all())

			other, _ := client(t, Options{})
			err = other.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
			assert.ErrorIs(t, err, fs.ErrPermission)
			assert.ErrorIs(t, err, ErrNoLogin)
		})
	}
}

// TestTokenOfFewRequests: a token may be good for fewer requests than are under way.
func TestTokenOfFewRequests(t *testing.T) {
	home(t)
	for _, uses := range []int{1, 3} {
		for _, silent := range []bool{false, true} {
			s := wantsTokens(t, uses, func(w http.ResponseWriter, r *http.Request, _ int) { store(w, r) })
			s.silent = silent
			c, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}, Jobs: 8})
			repo := c.Writer(s.repo(t))
			var g sync.WaitGroup
			for range 8 {
				g.Go(func() {
					for range 5 {
						assert.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
						assert.NoError(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
					}
				})
			}
			g.Wait()
			assert.Empty(t, waited.all())
		}
	}
}

// TestRefusalsAreFinal: if no token helps, each request asks for a few, and fails.
func TestRefusalsAreFinal(t *testing.T) {
	home(t)
	s := wantsTokens(t, 1<<30, func(w http.ResponseWriter, r *http.Request, _ int) {
		if strings.HasSuffix(r.URL.Path, "/manifests/closed") {
			w.Header().Set("WWW-Authenticate", `Basic realm="harbor"`)
			w.WriteHeader(401)
			return
		}
		writeManifest(w)
	})
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}, Jobs: 8})
	const workers, each = 8, 10
	var g sync.WaitGroup
	for range workers {
		g.Go(func() {
			for range each {
				_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("closed"))
				assert.ErrorIs(t, err, fs.ErrPermission)
				assert.NotErrorIs(t, err, ErrLogin, "the login is right")
				assert.NoError(t, read(t, c, s.server))
			}
		})
	}
	g.Wait()
	assert.LessOrEqual(t, len(s.scopes), workers*each*privateRound+2)
}

// TestLifetimes: values of expires_in that token servers send.
func TestLifetimes(t *testing.T) {
	home(t)
	for raw, want := range map[string]time.Duration{
		`300`: 5 * time.Minute, `"300"`: 5 * time.Minute, `299.5`: 299500 * time.Millisecond, `"299.5"`: 299500 * time.Millisecond,
		`0`: time.Minute, `-1`: time.Minute, `"soon"`: time.Minute, `null`: time.Minute, `{"s":3}`: time.Minute, `""`: time.Minute,
		`1e300`: 24 * time.Hour, `"NaN"`: time.Minute, `"Inf"`: 24 * time.Hour,
	} {
		assert.Equal(t, want, lifetime(json.RawMessage(raw)), raw)
		s := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			switch {
			case r.URL.Path == "/token":
				_, _ = fmt.Fprintf(w, `{"token":"t","expires_in":%s,"refresh_token":["x"]}`, raw)
			case r.Header.Get("Authorization") != "Bearer t":
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
				w.WriteHeader(401)
			default:
				writeManifest(w)
			}
		})
		c, _ := client(t, Options{})
		assert.NoError(t, read(t, c, s), raw)
	}
	assert.Equal(t, time.Minute, lifetime(nil))
}

// TestMissingHelper: a credential helper that cannot be run is an error only if the registry
// requires a login.
func TestMissingHelper(t *testing.T) {
	dir := home(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"credsStore":"nowhere"}`), 0o600))
	open := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	tokens := wantsTokens(t, 5, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, _ := client(t, Options{})
	assert.NoError(t, read(t, c, open))
	assert.NoError(t, read(t, c, tokens.server), "anyone gets a token")
	closed := wantsBasic(t, "u", "p")
	err := read(t, c, closed)
	assert.ErrorIs(t, err, ErrCredentials)
	assert.ErrorContains(t, err, "docker-credential-nowhere")
	assert.ErrorContains(t, err, "401 Unauthorized")
}

// TestNoLoginOrWrongLogin: a missing login, a wrong login and a missing permission are different
// errors.
func TestNoLoginOrWrongLogin(t *testing.T) {
	home(t)
	h := startHarbor(t)
	plain := wantsBasic(t, "u", "p")
	forbids := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get("Authorization") != basic("u", "p") {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
		} else if r.URL.Path != "/v2/" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
		}
	})
	for _, s := range []*server{h.server, plain, forbids} {
		c, _ := client(t, Options{})
		err := read(t, c, s)
		assert.ErrorIs(t, err, ErrNoLogin)
		assert.ErrorContains(t, err, "no login found for "+s.host+": ")
		c, _ = client(t, Options{Username: "u", Password: "wrong", Named: []string{s.host}})
		err = read(t, c, s)
		assert.ErrorIs(t, err, ErrLogin)
		assert.ErrorContains(t, err, s.host+" refused this login: ")
		assert.ErrorIs(t, err, fs.ErrPermission)
	}
	for _, s := range []*server{h.server, forbids} {
		c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
		err := read(t, c, s)
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.NotErrorIs(t, err, ErrLogin)
		assert.NotErrorIs(t, err, ErrNoLogin)
	}
}

// TestRefusedWithoutAsking: if a registry asks for no login, the error says so, and not that one is
// missing or wrong.
func TestRefusedWithoutAsking(t *testing.T) {
	home(t)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(403) })
	for _, opt := range []Options{{}, {Username: "u", Password: "p", Named: []string{s.host}}} {
		c, _ := client(t, opt)
		err := c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
		for _, err := range []error{err, read(t, c, s)} {
			assert.ErrorIs(t, err, ErrNotAsked)
			assert.ErrorContains(t, err, s.host+" refused without asking for a login: ")
			assert.ErrorIs(t, err, fs.ErrPermission)
			assert.NotErrorIs(t, err, ErrNoLogin)
			assert.NotErrorIs(t, err, ErrLogin)
		}
	}
	for _, sent := range s.headers("Authorization") {
		assert.Empty(t, sent)
	}
}

// TestUploadAtAnotherName: an upload continues at another host only if the operator named it. That
// host gets a login only when it asks for one.
func TestUploadAtAnotherName(t *testing.T) {
	home(t)
	for _, asks := range []bool{false, true} {
		alias := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if asks && r.Header.Get("Authorization") != basic("u", "p") {
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
				return
			}
			store(w, r)
		})
		s := start(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			switch {
			case r.Header.Get("Authorization") != basic("u", "p"):
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
			case r.Method == http.MethodPost:
				w.Header().Set("Location", "http://"+alias.host+"/v2/repo/blobs/uploads/1")
				w.WriteHeader(http.StatusAccepted)
			case r.URL.Path != "/v2/":
				store(w, r)
			}
		})
		opt := Options{Username: "u", Password: "p", Named: []string{s.host}}
		c, _ := client(t, opt)
		err := c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
		assert.ErrorIs(t, err, ErrRedirected)
		assert.ErrorContains(t, err, "the upload was redirected to another host, "+alias.host)
		assert.Empty(t, alias.log(), "it was not named")

		opt.RedirectHosts = []string{alias.host}
		c, waited := client(t, opt)
		repo := c.Writer(s.repo(t)).Checked(nil)
		require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
		require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
		assert.Empty(t, waited.all())
		want := []string{""}
		if asks {
			want = []string{"", basic("u", "p")}
		}
		assert.Equal(t, want, slices.Compact(alias.headers("Authorization")), "first without, and then as it asks")
	}
}

// TestScopes: which scopes cover which.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		given  []string
		wanted string
		want   bool
	}{
		{[]string{"repository:a:push,pull"}, "repository:a:pull,push", true},
		{[]string{"repository:a:push,pull"}, "repository:a:pull", true},
		{[]string{"repository:a:pull"}, "repository:a:pull,push", false},
		{[]string{"repository:a:pull", "repository:b:pull"}, "repository:b:pull repository:a:pull", true},
		{[]string{"repository:a:pull"}, "repository:h:5000/a:pull", false},
		{[]string{"repository:a:pull"}, "", true},
		{nil, "x", false},
	} {
		assert.Equal(t, c.want, covers(c.given, c.wanted), "%v %s", c.given, c.wanted)
	}
	a := &authorization{header: "Bearer x", renews: true, scopes: []string{"repository:a:pull"}, challenge: &transport.Challenge{Scheme: "bearer"}}
	assert.False(t, a.asks(&transport.Challenge{Scheme: "basic"}), "said to a token that expired")
}
