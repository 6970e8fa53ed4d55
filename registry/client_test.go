package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// home empties the places where credentials are looked for, and returns a new folder, which is
// $DOCKER_CONFIG.
func home(t *testing.T) string {
	dir := t.TempDir()
	for _, key := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(key, filepath.Join(dir, "none"))
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("DOCKER_CONFIG", dir)
	return dir
}

// wantsBasic is a registry that wants a user name and a password.
func wantsBasic(t *testing.T, user, password string) *server {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		switch {
		case r.Header.Get("Authorization") != basic(user, password):
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(401)
		case r.URL.Path != "/v2/":
			writeManifest(w)
		}
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	return s
}

func read(t *testing.T, c *Client, s *server) error {
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	return err
}

func TestAnonymous(t *testing.T) {
	home(t)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, _ := client(t, Options{})
	require.NoError(t, read(t, c, s))
	closed := wantsBasic(t, "u", "p")
	assert.ErrorIs(t, read(t, c, closed), fs.ErrPermission)
	for _, header := range append(s.headers("Authorization"), closed.headers("Authorization")...) {
		assert.Empty(t, header)
	}
}

func TestConfiguredCredentials(t *testing.T) {
	entry := func(s *server) string {
		return fmt.Sprintf(`{"auths":{%q:{"username":"u","password":"p"}}}`, s.host)
	}
	for name, configure := range map[string]func(t *testing.T, s *server, dir string){
		"docker": func(t *testing.T, s *server, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(entry(s)), 0o600))
		},
		"REGISTRY_AUTH_FILE": func(t *testing.T, s *server, dir string) {
			file := filepath.Join(dir, "auth.json")
			require.NoError(t, os.WriteFile(file, []byte(entry(s)), 0o600))
			t.Setenv("REGISTRY_AUTH_FILE", file)
		},
		"helper": func(t *testing.T, s *server, dir string) {
			script := fmt.Sprintf("#!/bin/sh\nread host\n[ \"$1 $host\" = 'get %s' ] || exit 1\necho '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"p\"}'\n", s.host)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-relocate"), []byte(script), 0o700))
			config := fmt.Sprintf(`{"credHelpers":{%q:"relocate"}}`, s.host)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t)
			s, other := wantsBasic(t, "u", "p"), wantsBasic(t, "u", "p")
			configure(t, s, dir)
			c, _ := client(t, Options{})
			assert.NoError(t, read(t, c, s))
			assert.ErrorIs(t, read(t, c, other), fs.ErrPermission)
			assert.NotContains(t, other.headers("Authorization"), basic("u", "p"))

			c, _ = client(t, Options{Anonymous: true})
			assert.ErrorIs(t, read(t, c, s), fs.ErrPermission, "Anonymous has precedence")
			c, _ = client(t, Options{Username: "x", Password: "y", Named: []string{other.host}})
			assert.NoError(t, read(t, c, s), "flags are for others")
		})
	}
}

func TestBrokenConfiguration(t *testing.T) {
	dir := home(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600))
	s := wantsBasic(t, "u", "p")
	c, _ := client(t, Options{})
	assert.ErrorContains(t, read(t, c, s), "look up credentials for "+s.host+": ")
}

// TestNamedCredentials gives credentials for one registry, and none to another.
func TestNamedCredentials(t *testing.T) {
	home(t)
	s, other := wantsBasic(t, "u", "p"), wantsBasic(t, "u", "p")
	c, _ := client(t, Options{Username: "u", Password: "p", Token: "t", Named: []string{s.host}})
	require.NoError(t, read(t, c, s))
	assert.ErrorIs(t, read(t, c, other), fs.ErrPermission)
	assert.Equal(t, []string{""}, slices.Compact(other.headers("Authorization")))
	c, _ = client(t, Options{Username: "u", Password: "p", Named: []string{s.host}, Anonymous: true})
	assert.ErrorIs(t, read(t, c, s), fs.ErrPermission)
}

// TestEndedContextIsNotRemembered asks with a context that ended, then with another.
func TestEndedContextIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, _ := client(t, Options{Anonymous: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := c.Manifest(ctx, s.repo(t).Tag("a"))
	require.ErrorIs(t, err, context.Canceled)
	assert.NoError(t, read(t, c, s))
}

// tokens is a registry that wants bearer tokens, which it gives itself below /token. Each is good for
// as many requests as uses says, and for the actions it was asked for.
type tokens struct {
	*server
	uses int

	mu     sync.Mutex
	scopes []string
	left   map[string]int
}

func wantsTokens(t *testing.T, uses int, h handler) *tokens {
	tk := &tokens{uses: uses, left: map[string]int{}}
	tk.server = newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Path == "/token" {
			tk.give(w, r)
			return
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		tk.mu.Lock()
		tk.left[token]--
		good := tk.left[token] >= 0
		tk.mu.Unlock()
		if !good {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s",scope="repository:repo:pull"`, r.Host))
			w.WriteHeader(401)
			return
		}
		h(w, r, n)
	})
	tk.Start()
	tk.host = tk.Listener.Addr().String()
	return tk
}

func (tk *tokens) give(w http.ResponseWriter, r *http.Request) {
	tk.mu.Lock()
	defer tk.mu.Unlock()
	tk.scopes = append(tk.scopes, r.Header.Get("Authorization")+" "+strings.Join(r.URL.Query()["scope"], " "))
	token := fmt.Sprint("token-", len(tk.scopes))
	tk.left[token] = tk.uses
	_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token})
}

func TestToken(t *testing.T) {
	home(t)
	s := wantsTokens(t, 2, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	c, waited := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
	require.NoError(t, read(t, c, s.server))
	_, _, err := c.Writer(s.repo(t)).Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.Equal(t, []string{basic("u", "p") + " repository:repo:pull", basic("u", "p") + " repository:repo:push,pull"}, s.scopes)
	for range 4 {
		require.NoError(t, read(t, c, s.server))
	}
	assert.Len(t, s.scopes, 4, "two new tokens, after two uses each")
	assert.Empty(t, waited.all())
}

func TestRegistryToken(t *testing.T) {
	home(t)
	s := wantsTokens(t, 0, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	s.left["mine"] = 5
	other := wantsTokens(t, 0, nil)
	c, _ := client(t, Options{Token: "mine", Named: []string{s.host}})
	require.NoError(t, read(t, c, s.server))
	assert.Empty(t, s.scopes, "no token was asked for")
	assert.ErrorIs(t, read(t, c, other.server), fs.ErrPermission)
	assert.NotContains(t, other.headers("Authorization"), "Bearer mine")
}

func TestRefusedLogin(t *testing.T) {
	home(t)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token?secret=s3cret"`, r.Host))
		w.WriteHeader(401)
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	c, _ := client(t, Options{Username: "u", Password: "pa55", Named: []string{s.host}})
	err := read(t, c, s)
	assert.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "log in to "+s.host+": GET http://"+s.host+"/token: 401 Unauthorized")
	assert.NotContains(t, err.Error(), "s3cret")
	assert.NotContains(t, err.Error(), "pa55")
}

// A PUT whose token was refused, after some of its body was read, is sent again whole.
func TestPutIsSentAgainWithNewToken(t *testing.T) {
	home(t)
	var got []byte
	s := wantsTokens(t, 1, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", r.URL.Path+"1?a=b")
			w.WriteHeader(202)
			return
		}
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(201)
	})
	c, _ := client(t, Options{})
	var open, opened int
	err := c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, func(ctx context.Context) (io.ReadCloser, error) {
		assert.Zero(t, open, "one body at a time")
		open++
		opened++
		r, err := bytesOf(blobRaw)(ctx)
		return closer{r, func() { open-- }}, err
	})
	require.NoError(t, err)
	assert.Zero(t, open)
	assert.Equal(t, 2, opened)
	assert.Equal(t, blobRaw, got)
	require.NoError(t, c.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
	assert.Equal(t, manifestRaw, got)
}

type closer struct {
	io.ReadCloser
	closed func()
}

func (c closer) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}

// TestRedirect has a registry whose blobs and manifests are at another host, with credentials that
// must not go there.
func TestRedirect(t *testing.T) {
	home(t)
	away := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch {
		case strings.Contains(r.URL.Path, "manifests") && n == 1:
			w.Header().Set("Content-Type", "a/b")
			breakOff(w, 200, manifestRaw, 5)
		case strings.Contains(r.URL.Path, "manifests"):
			writeManifest(w)
		case n == 1:
			breakOff(w, 200, blobRaw, len(blobRaw)/2)
		default:
			_, _ = w.Write(blobRaw)
		}
	})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		switch {
		case r.Header.Get("Authorization") != basic("u", "p"):
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
		case r.URL.Path != "/v2/":
			http.Redirect(w, r, away.URL+r.URL.Path+"?signature=s3cret", http.StatusTemporaryRedirect)
		}
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
	require.NoError(t, read(t, c, s))
	r, err := c.Blob(t.Context(), s.repo(t), blobDesc)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, blobRaw, got)
	assert.Len(t, away.log(), 4)
	for _, header := range away.headers("Authorization") {
		assert.Empty(t, header)
	}
}

// TestClosedRepository redirects all that a Repository asks for: it reaches no other host.
func TestClosedRepository(t *testing.T) {
	t.Parallel()
	away, dialed := net.Listener(nil), make(chan struct{}, 10)
	away, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = away.Close() })
	go func() {
		for {
			conn, err := away.Accept()
			if err != nil {
				return
			}
			dialed <- struct{}{}
			_ = conn.Close()
		}
	}()
	for _, ping := range []bool{false, true} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if ping || r.URL.Path != "/v2/" {
				http.Redirect(w, r, "http://"+away.Addr().String()+r.URL.Path, http.StatusTemporaryRedirect)
			}
		})
		s.Start()
		s.host = s.Listener.Addr().String()
		c, waited := client(t, Options{Insecure: true})
		for _, repo := range []*Repository{c.Reader(s.repo(t)), c.Writer(s.repo(t))} {
			const want = "but only "
			_, _, err := repo.Manifest(t.Context(), s.repo(t).Tag("a"))
			assert.ErrorContains(t, err, "redirected to "+away.Addr().String()+", but only "+s.host+" may be reached from here")
			_, err = repo.Blob(t.Context(), s.repo(t), blobDesc)
			assert.ErrorContains(t, err, want)
			has, err := repo.HasBlob(t.Context(), blobDesc)
			if ping {
				assert.ErrorContains(t, err, want)
			} else {
				assert.NoError(t, err)
				assert.True(t, has, "what is redirected is there")
			}
			_, err = repo.Resolve(t.Context(), "a")
			assert.Error(t, err)
			assert.Error(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
			assert.Error(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
		}
		if !ping {
			assert.Empty(t, waited.all())
		}
	}
	assert.Empty(t, dialed)
}

func TestTooManyRedirects(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		var n int
		_, _ = fmt.Sscan(r.URL.RawQuery, &n)
		if n == 5 && strings.HasSuffix(r.URL.Path, "/five") {
			writeManifest(w)
			return
		}
		http.Redirect(w, r, fmt.Sprintf("%s?%d", r.URL.Path, n+1), http.StatusFound)
	})
	c, waited := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("five"))
	require.NoError(t, err)
	_, _, err = c.Manifest(t.Context(), s.repo(t).Tag("more"))
	assert.ErrorContains(t, err, "more than 5 redirects")
	assert.Len(t, s.log(), 12)
	assert.Empty(t, waited.all())
}

func TestRedirectOutOfTLS(t *testing.T) {
	t.Parallel()
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.URL.Path != "/v2/" {
			http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusFound)
		}
	})
	s.StartTLS()
	s.host = s.Listener.Addr().String()
	c, waited := client(t, Options{SkipVerify: true, Insecure: true})
	assert.ErrorContains(t, read(t, c, s), "redirected from https to http")
	assert.Empty(t, plain.log())
	assert.Empty(t, waited.all())
}
