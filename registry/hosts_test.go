package registry

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for _, s := range strings.Fields(`8.8.8.8 100.63.255.255 100.128.0.0 172.32.0.1 2001:4860:4860::8888 2a00:1450::1
		::ffff:8.8.8.8 64:ff9b::808:808`) {
		assert.True(t, isPublic(netip.MustParseAddr(s)), s)
	}
	for _, s := range strings.Fields(`127.0.0.1 127.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1
		100.127.255.255 0.0.0.0 0.1.2.3 192.0.0.192 198.18.0.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
		::1 :: ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1
		64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2001::1`) {
		assert.False(t, isPublic(netip.MustParseAddr(s)), s)
	}
}

func TestTokenServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		registry, realm string
		named           hostList
		want            string
	}{
		{"https://index.docker.io", "https://auth.docker.io/token", nil, ""},
		{"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", nil, ""},
		{"https://registry.corp.internal", "https://SSO.Corp.internal./t", nil, ""},
		{"https://registry.example.com:5000", "https://registry.example.com/t", nil, ""},
		{"https://10.0.0.5:5000", "https://10.0.0.5:5001/t", nil, ""},
		{"http://localhost:5000", "http://localhost:5001/t", nil, ""},
		{"http://registry:5000", "https://registry/t", nil, ""},
		{"https://example.com", "https://auth.other.com/t", hostList{"auth.other.com"}, ""},
		{"https://example.com", "https://auth.other.com:8443/t", hostList{"AUTH.other.com:8443"}, ""},
		{"https://example.com", "https://auth.other.com/t", hostList{"auth.other.com:443"}, ""},

		{"https://example.com", "https://auth.other.com:8444/t", hostList{"auth.other.com:8443"}, "names auth.other.com:8444"},
		{"https://example.com", "https://evil.com/t", nil, "the token server is on another host: registry example.com names evil.com"},
		{"https://example.com", "https://example.com.evil.com/t", nil, "evil.com"},
		{"https://example.com", "https://notexample.com/t", nil, "notexample.com"},
		{"https://one.co.uk", "https://two.co.uk/t", nil, "two.co.uk"},
		{"https://one.github.io", "https://two.github.io/t", nil, "two.github.io"},
		{"https://10.0.0.1", "https://11.0.0.1/t", nil, "11.0.0.1"},
		{"https://[fd00::1]", "https://[fd00::2]/t", nil, "[fd00::2]"},
		{"https://example.com", "https://169.254.169.254/t", nil, "169.254.169.254"},
		{"https://registry", "https://other/t", nil, "other"},
		{"https://example.com", "http://example.com/t", nil, "does not use TLS"},
		{"https://example.com", "http://auth.example.com/t", hostList{"auth.example.com"}, "does not use TLS"},
		{"https://example.com", "file:///etc/passwd", nil, "does not use TLS"},
		{"http://example.com:5000", "http://auth.example.com/t", nil, "auth.example.com"},
	} {
		registry, err := url.Parse(c.registry)
		require.NoError(t, err)
		realm, err := url.Parse(c.realm)
		require.NoError(t, err)
		err = tokenServer{registry: registry, named: c.named}.check(realm)
		if c.want == "" {
			assert.NoError(t, err, "%+v", c)
			continue
		}
		assert.ErrorContains(t, err, c.want, "%+v", c)
	}
}

// dials records the addresses that a client dials. Some names are those of a server.
type dials struct {
	mu   sync.Mutex
	list []string
}

func record(c *Client, names map[string]*server) *dials {
	d := &dials{}
	for _, rt := range []http.RoundTripper{c.base.inner, c.base.public} {
		rt := rt.(*http.Transport)
		dial := rt.DialContext
		rt.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			d.mu.Lock()
			d.list = append(d.list, addr)
			d.mu.Unlock()
			if s := names[addr]; s != nil { // as if it had a public address
				return (&net.Dialer{}).DialContext(ctx, network, s.host)
			}
			return dial(ctx, network, addr)
		}
	}
	return d
}

func (d *dials) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.list)
	return slices.Compact(slices.Clone(d.list))
}

// TestRedirectToPrivateAddress: a redirect from a public registry cannot reach a private network,
// by address or by name. One from a private registry can, and any to a host that the operator
// named.
func TestRedirectToPrivateAddress(t *testing.T) {
	t.Parallel()
	const public = "registry.example.com"
	inside := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	_, port, err := net.SplitHostPort(inside.host)
	require.NoError(t, err)
	for _, to := range []string{inside.host, "localhost:" + port, "[::ffff:127.0.0.1]:" + port} {
		for _, ping := range []bool{false, true} {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if ping || r.URL.Path != "/v2/" {
					http.Redirect(w, r, "http://"+to+r.URL.Path, http.StatusFound)
				}
			})
			s.Start()
			s.host = s.Listener.Addr().String()
			before := len(inside.headers("Host"))

			c, waited := client(t, Options{Insecure: true, Anonymous: true})
			d := record(c, map[string]*server{public + ":80": s})
			_, _, err := c.Manifest(t.Context(), parseRepo(t, public+":80/repo").Tag("a"))
			assert.ErrorIs(t, err, ErrRedirected, to)
			assert.ErrorContains(t, err, "which is not a public address")
			assert.Len(t, inside.headers("Host"), before, "%s was asked, though it was not named", to)
			assert.Contains(t, d.all(), to)
			assert.Empty(t, slices.DeleteFunc(waited.all(), func(time.Duration) bool { return ping }), "not tried again")

			for _, named := range []string{to, (&url.URL{Host: to}).Hostname()} {
				c, _ = client(t, Options{Insecure: true, Anonymous: true, RedirectHosts: []string{named}})
				record(c, map[string]*server{public + ":80": s})
				_, _, err = c.Manifest(t.Context(), parseRepo(t, public+":80/repo").Tag("a"))
				assert.NoError(t, err, "%s is named: %s", to, named)
			}
			c, _ = client(t, Options{Anonymous: true})
			_, _, err = c.Manifest(t.Context(), s.repo(t).Tag("a"))
			assert.NoError(t, err, "from a registry that has no public address itself")
		}
	}
}

// TestOnlyTheDestination: whatever the destination answers, only it is dialled, and hosts that the
// operator named; no other host gets a credential.
func TestOnlyTheDestination(t *testing.T) {
	home(t)
	other := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("Content-Type", string(manifestDesc.MediaType))
		_, _ = io.WriteString(w, `{"token":"t"}`)
	})
	other.Start()
	other.host = other.Listener.Addr().String()
	away := func(r *http.Request) string { return "http://" + other.host + r.URL.Path }
	for name, h := range map[string]handler{
		"redirects": func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, away(r), http.StatusTemporaryRedirect)
		},
		"locations": func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Location", away(r))
			w.Header().Set("Link", "<"+away(r)+`>; rel="next"`)
			w.Header().Set("Content-Location", away(r))
			w.WriteHeader(http.StatusAccepted)
		},
		"realms": func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+strings.Replace(other.host, "127.0.0.1", "localhost", 1)+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"refreshes": func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Refresh", "0; url="+away(r))
			w.Header().Set("Alt-Svc", `h2="`+other.host+`"`)
			w.WriteHeader(http.StatusNotFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ping := range []bool{false, true} {
				s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
					if ping || r.URL.Path != "/v2/" {
						h(w, r, n)
					}
				})
				s.Start()
				s.host = s.Listener.Addr().String()
				c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}, Insecure: true})
				d := record(c, nil)
				for _, repo := range []*Repository{c.Reader(s.repo(t)), c.Writer(s.repo(t))} {
					_, _, _ = repo.Manifest(t.Context(), s.repo(t).Tag("a"))
					_, _ = repo.Blob(t.Context(), s.repo(t), blobDesc)
					_, _ = repo.BlobFrom(t.Context(), s.repo(t), blobDesc, 5)
					_, _ = repo.HasBlob(t.Context(), blobDesc)
					_, _ = repo.Resolve(t.Context(), "a")
					assert.Error(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
					assert.Error(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
				}
				assert.Equal(t, []string{s.host}, d.all())
			}
		})
	}
	assert.Empty(t, other.headers("Host"))

	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, "http://"+other.host+r.URL.Path, http.StatusTemporaryRedirect)
	})
	c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}, RedirectHosts: []string{other.host}})
	d := record(c, nil)
	_, _, err := c.Reader(s.repo(t)).Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.NoError(t, err, "the operator named it")
	assert.ElementsMatch(t, []string{s.host, other.host}, d.all())
	assert.Equal(t, []string{""}, slices.Compact(other.headers("Authorization")))
}

// TestTokenElsewhere: a host that a manifest was redirected to may require a token, which its own
// token server gives to anyone. It gets no credentials, and the token goes to no other host.
func TestTokenElsewhere(t *testing.T) {
	home(t)
	evil := serve(t, nil)
	for _, own := range []bool{true, false} {
		away := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			realm := r.Host
			if !own {
				realm = strings.Replace(evil.host, "127.0.0.1", "localhost", 1)
			}
			switch {
			case r.URL.Path == "/token":
				_, _ = fmt.Fprintf(w, `{"token":%q}`, "for "+r.URL.Query().Get("scope"))
			case r.Header.Get("Authorization") != "Bearer for repository:there:pull":
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+realm+`/token",scope="repository:there:pull"`)
				w.WriteHeader(401)
			default:
				writeManifest(w)
			}
		})
		away.Start()
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			switch {
			case r.Header.Get("Authorization") != basic("u", "p"):
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
			case r.URL.Path != "/v2/":
				http.Redirect(w, r, away.URL+r.URL.Path, http.StatusFound)
			}
		})
		s.Start()
		s.host = s.Listener.Addr().String()
		c, _ := client(t, Options{Username: "u", Password: "p", Named: []string{s.host}})
		err := read(t, c, s)
		if own {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, ErrTokenHost)
		}
		for _, header := range away.headers("Authorization") {
			assert.NotContains(t, header, "Basic")
		}
		for _, header := range s.headers("Authorization") {
			assert.NotContains(t, header, "Bearer")
		}
	}
	assert.Empty(t, evil.headers("Host"))
}

// TestPlainCredentials: docker's credentials go over plain HTTP only to registries that the
// operator named.
func TestPlainCredentials(t *testing.T) {
	dir := home(t)
	for _, named := range []bool{false, true} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
				return
			}
			writeManifest(w)
		})
		_ = s.Listener.Close()
		s.Listener = listenElsewhere(t)
		s.Start()
		s.host = s.Listener.Addr().String()
		config := fmt.Sprintf(`{"auths":{%q:{"username":"u","password":"p"}}}`, s.host)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
		opt := Options{Insecure: true}
		if named {
			opt.Named = []string{s.host}
		}
		c, _ := client(t, opt)
		assert.Equal(t, named, read(t, c, s) == nil)
		assert.Equal(t, named, slices.Contains(s.headers("Authorization"), basic("u", "p")))
	}
}
