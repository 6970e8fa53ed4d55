package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// largeSite exports a package repository with large layers, and returns the archive, a large layer's URL path, its
// digest and its content's first byte in the file.
func largeSite(t *testing.T) (file, ref string, layer v1.Descriptor, at int64) {
	t.Helper()
	s := site{t: t, host: startMemory(t, nil)}
	root, layers := pushLarge(s, 3<<20, 1<<20, 1<<20)
	file = export(t, root)
	layer = layers[0]
	for _, l := range layers {
		if l.Size > layer.Size {
			layer = l
		}
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	at = int64(bytes.Index(text, []byte("blobs/sha256/"+layer.Digest.Hex+"\x00"))) + 512
	require.Equal(t, layer.Digest.String(), digestOf(text[at:at+layer.Size]))
	return file, strings.TrimPrefix(root, s.host+"/"), layer, at
}

// flipIn changes a byte of a file. quietly leaves the time of its modification, as a medium does that goes bad.
func flipIn(t *testing.T, file string, at int64, quietly bool) {
	t.Helper()
	info, err := os.Stat(file)
	require.NoError(t, err)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	changed := info.ModTime()
	if !quietly {
		changed = changed.Add(time.Second)
	}
	require.NoError(t, os.Chtimes(file, changed, changed))
}

// TestServeDamage: a layer that goes bad under a server never arrives whole, at its beginning, middle or end, and the
// log says so. What is not bad is served on.
func TestServeDamage(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]func(size int64) int64{
		"first byte": func(int64) int64 { return 0 },
		"middle":     func(size int64) int64 { return size / 2 },
		"last byte":  func(size int64) int64 { return size - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, root, layer, at := largeSite(t)
			s := mustServe(t, file)
			repo, _, _ := strings.Cut(root, ":")
			path := "/v2/" + repo + "/blobs/" + layer.Digest.String()
			require.Equal(t, http.StatusOK, status(t, s.url+path))
			flipIn(t, file, at+offset(layer.Size), true)
			res, err := visitor.Get(s.url + path)
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, layer.Size, res.ContentLength)
			n, err := io.Copy(io.Discard, res.Body)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
			assert.Less(t, n, layer.Size)
			pulled, err := crane.PullLayer(s.host+"/"+repo+"@"+layer.Digest.String(), crane.Insecure)
			require.NoError(t, err)
			content, err := pulled.Compressed()
			if err == nil {
				_, err = io.Copy(io.Discard, content)
			}
			assert.Error(t, err)
			assertAll(t, s.stderr.String(), "content does not match its descriptor", layer.Digest.String(), "broken off")
			assert.Equal(t, http.StatusOK, status(t, s.url+"/v2/"+repo+"/manifests/"+strings.TrimPrefix(root, repo+":")))
			assert.Equal(t, http.StatusServiceUnavailable, status(t, s.url+path, "Range", "bytes=100-199"), "all of a small blob is hashed before a part of it is sent")
		})
	}
}

// TestServeChanged: an archive that was changed as files are gives nothing any more.
func TestServeChanged(t *testing.T) {
	t.Parallel()
	file, root, layer, at := largeSite(t)
	s := mustServe(t, file)
	repo, tag, _ := strings.Cut(root, ":")
	paths := []string{"/healthz", "/v2/" + repo + "/manifests/" + tag, "/v2/" + repo + "/blobs/" + layer.Digest.String()}
	for _, path := range paths {
		require.Equal(t, http.StatusOK, status(t, s.url+path))
	}
	flipIn(t, file, at, false)
	for _, path := range paths {
		assert.Equal(t, http.StatusServiceUnavailable, status(t, s.url+path), path)
		assert.Equal(t, http.StatusServiceUnavailable, status(t, s.url+path, "Range", "bytes=0-0"), path)
	}
	assertAll(t, s.stderr.String(), file, "it was changed while it was read")
}

// TestServeReplaced: an archive that another took the place of is served on, whole: it is the one that was checked.
func TestServeReplaced(t *testing.T) {
	t.Parallel()
	file, root, layer, _ := largeSite(t)
	s := mustServe(t, file)
	other := filepath.Join(filepath.Dir(file), "other")
	require.NoError(t, os.WriteFile(other, []byte("other"), 0o600))
	require.NoError(t, os.Rename(other, file))
	repo, _, _ := strings.Cut(root, ":")
	body, _ := get(t, s.host, "/v2/"+repo+"/blobs/"+layer.Digest.String())
	assert.Equal(t, layer.Digest.String(), digestOf(body))
}

// status asks for a URL, with headers, and returns the answer's.
func status(t *testing.T, url string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := visitor.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	return res.StatusCode
}

// TestServeRefuses: an archive that an import would refuse is not served.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, text := range map[string][]byte{
		"cut":             text[:len(text)-512],
		"seal":            append(bytes.Clone(text[:len(text)-1200]), append([]byte("x"), text[len(text)-1199:]...)...),
		"something after": append(bytes.Clone(text), 1),
		"text":            []byte("hello"),
	} {
		bad := filepath.Join(t.TempDir(), "bad.tar")
		require.NoError(t, os.WriteFile(bad, text, 0o600))
		s := startServe(t, file, bad)
		assert.Empty(t, s.url, name)
		assertFailed(t, s.stop(), statusDamage, bad)
	}
	assertFailed(t, startServe(t, filepath.Join(t.TempDir(), "none.tar")).stop(), statusUsage, "none.tar")
}

// TestServeHostile: whatever an archive says, serve refuses it as an import does, or answers without failing.
func TestServeHostile(t *testing.T) {
	skipShort(t)
	t.Parallel()
	good, host := hostileSample(t)
	for group, cases := range hostileGroups {
		for _, h := range cases {
			t.Run(group+"/"+h.name, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "archive.tar")
				require.NoError(t, os.WriteFile(path, h.make(&forge{t, good, host}).bytes(t), 0o600))
				s := startServe(t, path)
				if h.status != 0 && !h.late {
					assert.Empty(t, s.url)
					r := s.stop()
					assert.Equal(t, h.status, r.status, r.stderr)
					assertShown(t, r.stderr)
					return
				}
				require.NotEmpty(t, s.url, "%v", s.stderr)
				crawl(t, s, h.late)
				assertShown(t, s.stderr.String())
			})
		}
	}
}

// crawl asks a registry for all that it lists. With bad, layers may be damaged.
func crawl(t *testing.T, s *served, bad bool) {
	t.Helper()
	for _, repo := range repositories(t, s.host) {
		var list struct{ Tags []string }
		body, _ := get(t, s.host, "/v2/"+repo+"/tags/list")
		require.NoError(t, json.Unmarshal(body, &list))
		for _, tag := range list.Tags {
			body, _ := get(t, s.host, "/v2/"+repo+"/manifests/"+tag)
			get(t, s.host, "/v2/"+repo+"/referrers/"+digestOf(body))
			for _, layer := range (stored{raw: string(body)}).document(t).Layers {
				if !bad && len(layer.URLs) == 0 {
					content, _ := get(t, s.host, "/v2/"+repo+"/blobs/"+layer.Digest)
					assert.Equal(t, layer.Digest, digestOf(content))
				}
			}
		}
	}
}

// TestServeTLS: over TLS with a certificate that was made, and with one that is given.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	s := mustServe(t, file, "--tls-self-signed", "--tls-write-ca", ca, "--tls-name", "mirror.corp.test,10.1.2.3", "--tls-name", "*.apps.test", "--tls-name", "fd00::1")
	require.True(t, strings.HasPrefix(s.url, "https://"))
	assert.Equal(t, ca, s.report.CA)
	mustRelocate(t, "verify", "--repo", s.host+"/corp/repository", file, "--level", "deep", "--registry-ca-cert-path", ca)
	r := tryRelocate(t, "verify", "--repo", s.host+"/corp/repository", file)
	assertFailed(t, r, statusUsage, "--registry-ca-cert-path")

	text, err := os.ReadFile(ca)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	_, port, err := net.SplitHostPort(s.host)
	require.NoError(t, err)
	for _, name := range []string{"localhost", "127.0.0.1", "mirror.corp.test", "a.apps.test", "10.1.2.3", "fd00::1"} {
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{RootCAs: pool, ServerName: name, NextProtos: []string{"h2", "http/1.1"}})
		require.NoError(t, err, name)
		state := conn.ConnectionState()
		assert.Equal(t, "http/1.1", state.NegotiatedProtocol)
		assert.Equal(t, s.report.Fingerprint, digestOf(state.PeerCertificates[0].Raw)[7:])
		assert.False(t, state.PeerCertificates[0].IsCA)
		conn.Close()
	}
	_, err = tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{RootCAs: pool, ServerName: "registry.example.com"})
	assert.Error(t, err)

	authority := realregistry.NewAuthority(t)
	certFile, keyFile := authority.Issue(t)
	given := mustServe(t, file, "--tls-cert", certFile, "--tls-key", keyFile)
	mustRelocate(t, "verify", "--repo", given.host+"/corp/repository", file, "--registry-ca-cert-path", authority.File)
}

// TestServePasswords: who gives no password is asked for one.
func TestServePasswords(t *testing.T) {
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	who := filepath.Join(t.TempDir(), "htpasswd")
	require.NoError(t, os.WriteFile(who, []byte("# readers\n"+htpasswd), 0o600))
	s := mustServe(t, file, "--htpasswd", who)
	res, err := visitor.Get(s.url + "/v2/")
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
	assert.Equal(t, `Basic realm="relocate"`, res.Header.Get("WWW-Authenticate"))
	assert.Equal(t, http.StatusOK, status(t, s.url+"/healthz"))
	repo := s.host + "/corp/repository"
	for _, login := range [][]string{nil, {"--registry-username", "user", "--registry-password", "wrong"}, {"--registry-username", "nobody", "--registry-password", "password"}} {
		r := tryRelocate(t, append([]string{"verify", "--repo", repo, file}, login...)...)
		assert.Equal(t, statusPermission, r.status, r.stderr)
	}
	login := []string{"--registry-username", "user", "--registry-password", "password"}
	for range 2 {
		mustRelocate(t, append([]string{"verify", "--repo", repo, file, "--level", "deep"}, login...)...)
	}
	assert.NotContains(t, s.stderr.String(), "password")
	assert.Contains(t, s.stderr.String(), ` - "user" [`)

	for name, text := range map[string]string{
		"empty": "", "plain": "user:password\n", "sha": "user:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "twice": htpasswd + htpasswd, "dear": "user:$2a$31$YL" + htpasswd[14:],
	} {
		require.NoError(t, os.WriteFile(who, []byte(text), 0o600))
		assertFailed(t, startServe(t, file, "--htpasswd", who).stop(), statusUsage, "--htpasswd")
		_ = name
	}
}

// TestServeStops: when it is told to stop, what is under way comes to its end, and nothing new begins.
func TestServeStops(t *testing.T) {
	t.Parallel()
	s := site{t: t, host: startMemory(t, nil)}
	root, layers := pushLarge(s, 24<<20, 1<<20, 1<<20) // more than sockets hold
	file := export(t, root)
	server := mustServe(t, file)
	repo, _, _ := strings.Cut(strings.TrimPrefix(root, s.host+"/"), ":")
	conn, err := net.Dial("tcp", server.host)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v2/%s/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", repo, layers[0].Digest)
	in := bufio.NewReader(conn)
	_, err = in.Peek(1)
	require.NoError(t, err)
	ended := make(chan result)
	go func() { ended <- server.stop() }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", server.host)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, 2*time.Minute, time.Millisecond, "it still takes connections")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	content, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, layers[0].Digest.String(), digestOf(content))
	assert.Zero(t, (<-ended).status)
}

// TestServeSignals: the program itself ends with status 0.
func TestServeSignals(t *testing.T) {
	skipShort(t)
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	p := newProcess(t, "serve", file, "--listen", "127.0.0.1:0")
	out, stdout := io.Pipe()
	p.cmd.Stdout = stdout
	p.start(t)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	assert.Regexp(t, `^serving \d+ repositories at http://127.0.0.1:\d+, read-only\n$`, line)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	p.signal(os.Interrupt)
	assert.Zero(t, p.end(t).status)
}

// TestServeUsage: what cannot be meant is refused before an archive is opened.
func TestServeUsage(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"":                               "name an archive",
		"none.tar --listen 5000":         "HOST:PORT",
		"none.tar --listen :5000":        "--tls-self-signed",
		"none.tar --listen 0.0.0.0:5000": "--insecure",
		"none.tar --listen registry.example.com:5000":               "--tls-cert",
		"none.tar --tls-cert a.pem":                                 "must be given together",
		"none.tar --tls-key a.pem":                                  "must be given together",
		"none.tar --tls-cert a --tls-key b":                         "no such file",
		"none.tar --tls-cert a --tls-key b --tls-self-signed":       "cannot be used together",
		"none.tar --tls-self-signed --insecure":                     "--insecure means no TLS",
		"none.tar --tls-name a":                                     "--tls-self-signed",
		"none.tar --tls-self-signed --tls-name https://a":           "--tls-name https://a: must be a host name or an IP address",
		"none.tar --tls-self-signed --tls-name b --tls-name a:5000": "--tls-name a:5000",
		"none.tar --tls-write-ca a":                                 "--tls-self-signed",
		"none.tar --as Not/Lower":                                   "--as",
		"none.tar --as registry.example.com:5000/a":                 "--as",
		"none.tar --as a/../b":                                      "--as",
		"none.tar --log some":                                       "requests, errors or none",
		"none.tar --htpasswd none":                                  "none",
		"none.tar --insecure":                                       "none.tar",
		"none.tar --listen localhost:5000":                          "none.tar",
		"none.tar --listen [::1]:5000":                              "none.tar",
		"none.tar --listen 127.0.0.2:5000":                          "none.tar",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		r := relocateContext(ctx, append([]string{"serve"}, strings.Fields(args)...)...)
		cancel()
		assert.Equal(t, statusUsage, r.status, "%s: %s", args, r.stderr)
		assertAll(t, r.stderr, says)
	}
	file := export(t, pushSample(t, startMemory(t, nil)))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	assertFailed(t, tryRelocate(t, "serve", file, "--listen", taken.Addr().String()), statusFailed, taken.Addr().String(), "--listen")
}
