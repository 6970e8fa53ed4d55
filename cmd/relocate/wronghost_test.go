package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// TestCertificates: what is wrong with a certificate decides what helps.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ca, other := realregistry.NewAuthority(t), realregistry.NewAuthority(t)
	for name, c := range map[string]struct {
		by     *realregistry.Authority
		change func(*x509.Certificate)
		hint   string
	}{
		"no names":          {ca, func(c *x509.Certificate) { c.IPAddresses = nil }, "hint: renew the registry's certificate with its host name"},
		"another name":      {ca, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} }, "hint: use one of the host names"},
		"expired":           {ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, "hint: renew the registry's certificate, or correct the clock of this machine"},
		"not yet valid":     {ca, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }, "hint: renew the registry's certificate, or correct the clock of this machine"},
		"another authority": {other, func(*x509.Certificate) {}, "hint: give the registry's CA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certFile, keyFile := c.by.IssueWith(t, c.change)
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			require.NoError(t, err)
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			t.Cleanup(server.Close)
			host := server.Listener.Addr().String()
			r := tryRelocate(t, "inspect", "--repo", host+"/a/b:1", "--registry-ca-cert-path", ca.File)
			assertFailed(t, r, statusUsage, "reach registry "+host, c.hint)
			assert.NotContains(t, r.stderr, "tries")
		})
	}
}

// TestPageForRegistry: a web server or a login page is named as such, and nobody is told to push again.
func TestPageForRegistry(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	archive := export(t, pushSample(t, startReal(t).Addr))
	for _, status := range []int{200, 404} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>login</html>")
		}))
		t.Cleanup(server.Close)
		repo := server.Listener.Addr().String() + "/a/b"
		for _, args := range [][]string{
			{"-b", repo + ":1", "--to-tar", filepath.Join(t.TempDir(), "x.tar")},
			{"--from-tar", archive, "--to-repo", repo},
			{"verify", "--repo", repo, archive},
			{"inspect", "--repo", repo + ":1"},
		} {
			r := tryRelocate(t, args...)
			assertFailed(t, r, statusUsage, "this is not a registry", "hint: check the registry's name and port")
			assert.NotContains(t, r.stderr, "push")
			assert.NotContains(t, r.stderr, "--keep-going")
		}
	}
}

// TestURLForFile: a URL is an archive, and no other file and no reference. Its password is not printed.
func TestURLForFile(t *testing.T) {
	t.Parallel()
	const at, closed = "https://user:hunter2@registry.test/corp/x.tar", "https://user:hunter2@127.0.0.1:1/x.tar"
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"verify", closed, "--src-registry-retry-count", "1"}, statusFailed, "hint: check that the server is running"},
		{[]string{"--lock", at, "--to-repo", "registry.test/corp"}, statusUsage, "hint: relocate reads archives from https:// URLs"},
		{[]string{"sign", at, "--key", "ops.key"}, statusUsage, "https://registry.test/corp/x.tar is a URL, and sign writes beside the archive"},
		{[]string{"repair", at}, statusUsage, "is a URL, and repair writes beside the archive"},
		{[]string{"-b", "registry.test/a:1", "--to-tar", at}, statusUsage, "an archive cannot be written to a URL"},
		{[]string{"-b", at, "--to-tar", "x.tar"}, statusUsage, "write it without https://"},
		{[]string{"-i", at, "--to-tar", "x.tar"}, statusUsage, "write it without https://"},
		{[]string{"--from-tar", "x.tar", "--to-repo", at}, statusUsage, "write it without https://"},
	} {
		r := tryRelocate(t, c.args...)
		assertFailed(t, r, c.status, c.says)
		assert.NotContains(t, r.stderr, "hunter2")
	}
}

// TestLoginForCluster: after an import with a login, that the cluster needs one is said where that is so, and no
// Secret is named.
func TestLoginForCluster(t *testing.T) {
	skipShort(t)
	t.Parallel()
	archive := export(t, pushSample(t, startReal(t).Addr))
	const note = "so the cluster needs one, too"
	asks := func(isOpen func(*http.Request) bool) string {
		return startMemory(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				if (user != "user" || password != "password") && !isOpen(r) {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
	}
	reads := func(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
	closed := asks(func(*http.Request) bool { return false }) + "/corp"
	login := []string{"--registry-username", "user", "--registry-password", "password", "--from-tar", archive, "--to-repo"}
	r := mustRelocate(t, append(login, closed)...)
	assert.Contains(t, r.stderr, "note: "+closed+" needs a login for reading, so the cluster needs one, too: put it into a Secret, and name the Secret with --secret-ref")
	r = mustRelocate(t, append(login, closed)...)
	assert.Contains(t, r.stderr, note, "nothing was written")
	r = mustRelocate(t, append(login, closed, "--secret-ref", "pull")...)
	assert.NotContains(t, r.stderr, note)
	r = mustRelocate(t, append(login, asks(reads)+"/corp")...)
	assert.NotContains(t, r.stderr, note, "anyone may read")
	r = mustRelocate(t, append(login, asks(func(r *http.Request) bool { return reads(r) && r.URL.Path != "/v2/" })+"/corp")...)
	assert.NotContains(t, r.stderr, note, "anyone may read, though /v2/ asks for a login")
	r = mustRelocate(t, "--from-tar", archive, "--to-repo", startMemory(t, nil)+"/corp")
	assert.NotContains(t, r.stderr, note)
}
