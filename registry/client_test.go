package registry

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// home empties the places where logins are looked up, and returns a new $DOCKER_CONFIG.
func home(t *testing.T) string {
	dir := t.TempDir()
	for _, key := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(key, filepath.Join(dir, "none"))
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("DOCKER_CONFIG", dir)
	return dir
}

// wantsBasic is a registry that requires a user name and a password.
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

// TestNamedCredentials: credentials for one registry do not go to another.
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

// TestEndedContextIsNotRemembered: the error of a context that ended is not kept for the next
// request.
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

// TestRedirect: credentials are not sent to the host that blobs and manifests are redirected to.
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

// TestClosedRepository: a Repository follows no redirect to another host.
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
			assert.ErrorContains(t, err, "redirected to "+away.Addr().String()+", but only "+s.host+" may be reached")
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

// TestSameAuthority: a redirect to the default port of the scheme stays on the same host.
func TestSameAuthority(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://host/a", "https://host:443/b", true},
		{"https://host/a", "https://HOST/b", true},
		{"http://host:80/a", "http://host/b", true},
		{"http://[::1]/a", "http://[::1]:80/b", true},
		{"http://host:5000/a", "https://host:5000/b", true},
		{"http://host/a", "https://host/b", true}, // from plain HTTP to TLS
		{"https://host/a", "https://host:80/b", false},
		{"https://host/a", "https://host:8443/b", false},
		{"http://host:443/a", "http://host/b", false},
		{"https://host/a", "https://host.example/b", false},
		{"https://host/a", "https://host:/b", true},
	} {
		a, err := url.Parse(c.a)
		require.NoError(t, err)
		b, err := url.Parse(c.b)
		require.NoError(t, err)
		assert.Equal(t, c.want, sameAuthority(a, b), "%s %s", c.a, c.b)
		assert.Equal(t, c.want, sameAuthority(b, a), "%s %s", c.b, c.a)

		_, err = oneHost{roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil }), a, nil}.RoundTrip(&http.Request{URL: b})
		if a.Scheme == b.Scheme {
			assert.Equal(t, c.want, err == nil, "%s %s", c.a, c.b)
		}
		got, err := location(&http.Response{Request: &http.Request{URL: a}, Header: http.Header{"Location": {c.b}}}, nil)
		if a.Scheme == b.Scheme {
			assert.Equal(t, c.want, err == nil, "%s %s: %v", c.a, c.b, err)
			assert.Equal(t, c.want, got == c.b)
		}
	}
}

// TestEndlessAnswer: an endless answer to /v2/ is not read to its end.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 401, 500} {
		var sent atomic.Int64
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.URL.Path != "/v2/" {
				writeManifest(w)
				return
			}
			w.WriteHeader(status)
			for buf := make([]byte, 64<<10); sent.Load() < 1<<28; {
				n, err := w.Write(buf)
				if err != nil {
					return
				}
				sent.Add(int64(n))
			}
		})
		s.Start()
		s.host = s.Listener.Addr().String()
		c, _ := client(t, Options{Anonymous: true})
		err := read(t, c, s)
		assert.Equal(t, status == 500, err != nil, "%d: %v", status, err)
		assert.Less(t, sent.Load(), int64(1<<26), status) // buffers on the way take some
	}
}
