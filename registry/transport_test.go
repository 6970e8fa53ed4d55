package registry

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTemporaryStatusIsRetried(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 425, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var bodies [][]byte
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				if r.Method == http.MethodPut {
					b, _ := io.ReadAll(r.Body)
					bodies = append(bodies, b)
				}
				switch {
				case n == 1:
					w.WriteHeader(status)
				case r.Method == http.MethodPut:
					created(w, r)
				default:
					writeManifest(w)
				}
			})
			c, waited := client(t, Options{})
			_, raw, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
			require.NoError(t, err)
			assert.Equal(t, manifestRaw, raw)
			_, err = c.Writer(s.repo(t)).Resolve(t.Context(), "a")
			require.NoError(t, err)
			require.NoError(t, c.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a"))
			assert.Equal(t, [][]byte{manifestRaw, manifestRaw}, bodies, "a body is sent again")
			assert.Len(t, waited.all(), 3)
		})
	}
}

func TestFinalStatusIsNotRetried(t *testing.T) {
	t.Parallel()
	for status, meaning := range map[int]error{
		400: nil, 401: fs.ErrPermission, 403: fs.ErrPermission, 404: fs.ErrNotExist, 405: nil, 409: nil, 412: nil, 413: nil, 501: nil, 507: nil,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) })
			c, waited := client(t, Options{})
			_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
			var answer *Error
			require.ErrorAs(t, err, &answer)
			assert.Equal(t, status, answer.Status)
			if meaning != nil {
				assert.ErrorIs(t, err, meaning)
			} else {
				assert.NotErrorIs(t, err, fs.ErrNotExist)
				assert.NotErrorIs(t, err, fs.ErrPermission)
			}
			err = c.Writer(s.repo(t)).PutManifest(t.Context(), manifestDesc, manifestRaw, "a")
			require.ErrorAs(t, err, &answer)
			assert.Equal(t, []string{"GET /manifests/a", "PUT /manifests/a"}, s.log())
			assert.Empty(t, waited.all())
		})
	}
}

func TestFiveTries(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"too\nmuch \u001b[31m\u202e"}]}`)
	})
	c, waited := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.EqualError(t, err, "GET http://"+s.host+"/v2/repo/manifests/a: 500 Internal Server Error DENIED (too much �[31m�) (5 tries)")
	assert.Len(t, s.log(), 5)
	require.Len(t, waited.all(), 4)
	for i, wait := range waited.all() {
		assert.LessOrEqual(t, wait, Defaults().RetryWait<<i)
		assert.GreaterOrEqual(t, wait, Defaults().RetryWait<<i/2)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		least, most  time.Duration
	}{
		{"seconds", "7", 7 * time.Second, 7 * time.Second},
		{"date", "", 20 * time.Second, 40 * time.Second}, // 40 seconds from now
		{"past", "Mon, 02 Jan 2006 15:04:05 GMT", 0, Defaults().RetryWait},
		{"nonsense", "-1", 0, Defaults().RetryWait},
		{"the most", "300", 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case n == 1:
					w.Header().Set("Retry-After", cmp.Or(c.header, time.Now().Add(40*time.Second).UTC().Format(http.TimeFormat)))
					w.WriteHeader(429)
				case r.Method == http.MethodGet:
					writeManifest(w)
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/repo/blobs/uploads/1")
					w.WriteHeader(202)
				default:
					created(w, r)
				}
			})
			cl, waited := client(t, Options{})
			_, _, err := cl.Manifest(t.Context(), s.repo(t).Tag("a"))
			require.NoError(t, err)
			require.NoError(t, cl.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
			require.Len(t, waited.all(), 3, "the manifest, the POST, the PUT")
			for i, wait := range waited.all() {
				assert.GreaterOrEqual(t, wait, c.least)
				assert.LessOrEqual(t, wait, max(c.most, Defaults().RetryWait<<i))
			}
		})
	}
}

func TestRetryAfterTooLong(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Retry-After", "301")
		w.WriteHeader(429)
	})
	c, waited := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.ErrorContains(t, err, "429 Too Many Requests; it asks to wait 5m1s, more than the limit of 5m0s")
	err = c.Writer(s.repo(t)).PutBlob(t.Context(), blobDesc, bytesOf(blobRaw))
	assert.ErrorContains(t, err, "it asks to wait 5m1s")
	assert.Equal(t, []string{"GET /manifests/a", "POST /blobs/uploads/"}, s.log())
	assert.Empty(t, waited.all())
}

func TestResetIsRetried(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n < 3 {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset
			_ = conn.Close()
			return
		}
		writeManifest(w)
	})
	c, waited := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.NotEmpty(t, waited.all())
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.Close()
	c, _ := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.ErrorContains(t, err, "reach registry "+s.host+": GET https://"+s.host+"/v2/: ")
	assert.ErrorContains(t, err, "(5 tries)")
}

// A request without an answer in time is sent again, although errors.Is takes that for the deadline
// of a context.
func TestTimeoutIsRetried(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			<-r.Context().Done()
			return
		}
		writeManifest(w)
	})
	c, waited := client(t, Options{})
	_, err := c.challenge(t.Context(), s.repo(t).Registry, false)
	require.NoError(t, err)
	c.base.inner.(*http.Transport).ResponseHeaderTimeout = 200 * time.Millisecond
	_, _, err = c.Manifest(t.Context(), s.repo(t).Tag("a"))
	require.NoError(t, err)
	assert.NotEmpty(t, waited.all())
}

func TestCancelEndsWaiting(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(503)
	})
	c, _ := client(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	c.base.sleep = func(ctx context.Context, d time.Duration) error {
		cancel()
		return sleep(ctx, d)
	}
	_, _, err := c.Manifest(ctx, s.repo(t).Tag("a"))
	assert.ErrorIs(t, err, context.Canceled)
	err = c.Writer(s.repo(t)).PutBlob(ctx, blobDesc, bytesOf(blobRaw))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, sleep(t.Context(), time.Minute))
		assert.Equal(t, time.Minute, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, sleep(ctx, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
	})
}

func TestPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	for url, allowed := range map[string]bool{
		"http://localhost:5000/": true, "http://127.0.0.1/": true, "http://[::1]:80/": true, "http://127.1.2.3/": true,
		"https://example.com/": true, "http://example.com/": false, "http://10.0.0.1/": false, "http://localhost.example.com/": false,
		"http://127.0.0.1.example.com/": false, "http://0.0.0.0/": false,
	} {
		asked := 0
		c, _ := client(t, Options{})
		rules := c.base
		rules.inner = roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		for _, insecure := range []bool{false, true} {
			asked, rules.insecure = 0, insecure
			req, err := http.NewRequest(http.MethodGet, url, nil)
			require.NoError(t, err)
			res, err := rules.RoundTrip(req)
			if err == nil {
				require.NoError(t, res.Body.Close())
			}
			if allowed || insecure {
				assert.NoError(t, err, url)
				continue
			}
			assert.ErrorIs(t, err, ErrPlainHTTP, url)
			assert.Zero(t, asked, url)
		}
	}
}

// TestPlainHTTPOfLoopback: every loopback address without TLS is reached over plain HTTP, and no
// other host.
func TestPlainHTTPOfLoopback(t *testing.T) {
	t.Parallel()
	for host, allowed := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:5000": true, "127.0.0.2:5000": true, "127.1.2.3": true, "[::1]:5000": true, "localhost": true, "localhost:5000": true,
		"10.0.0.1:5000": false, "registry.local:5000": false, "[::2]:5000": false, "128.0.0.1:5000": false, "127.0.0.2.example.com": false, "127.0.0.1.example.com": false,
	} {
		c, _ := client(t, Options{})
		plain := 0
		c.base.inner = roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.URL.Scheme == "https" {
				return nil, http.ErrSchemeMismatch
			}
			plain++
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		registry, err := name.NewRegistry(host)
		require.NoError(t, err)
		challenge, err := c.challenge(t.Context(), registry, false)
		if allowed && assert.NoError(t, err, host) {
			assert.True(t, challenge.Insecure, host)
		}
		if !allowed {
			assert.ErrorIs(t, err, ErrPlainHTTP, host)
			assert.Zero(t, plain, host)
		}
	}
}

// TestPlainHTTPElsewhere runs a registry at an address of this machine that is not loopback.
func TestPlainHTTPElsewhere(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.URL.Path != "/v2/" {
			writeManifest(w)
		}
	})
	_ = s.Listener.Close()
	s.Listener = listenElsewhere(t)
	s.Start()
	s.host = s.Listener.Addr().String()

	c, waited := client(t, Options{})
	_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.ErrorIs(t, err, ErrPlainHTTP)
	assert.EqualError(t, err, "reach registry "+s.host+": it does not use TLS, and plain HTTP is not allowed")
	assert.Empty(t, s.headers("Host"), "no request")
	assert.Empty(t, waited.all())

	c, _ = client(t, Options{Insecure: true})
	_, _, err = c.Manifest(t.Context(), s.repo(t).Tag("a"))
	assert.NoError(t, err)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.URL.Path != "/v2/" {
			writeManifest(w)
		}
	})
	s.StartTLS()
	s.host = s.Listener.Addr().String()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(block), 0o600))

	for _, insecure := range []bool{false, true} {
		c, waited := client(t, Options{Insecure: insecure})
		_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
		var certificate *tls.CertificateVerificationError
		require.ErrorAs(t, err, &certificate, "insecure %v", insecure)
		assert.Empty(t, s.log())
		if !insecure {
			assert.Empty(t, waited.all(), "not retried")
		}
	}
	for _, opt := range []Options{{CACerts: []string{ca}}, {SkipVerify: true}} {
		c, _ := client(t, opt)
		_, _, err := c.Manifest(t.Context(), s.repo(t).Tag("a"))
		assert.NoError(t, err, "%+v", opt)
	}

	_, err := New(Options{CACerts: []string{ca, ca + "x"}})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, ca+"x")
	require.NoError(t, os.WriteFile(ca, bytes.Repeat([]byte("x"), 100), 0o600))
	_, err = New(Options{CACerts: []string{ca}})
	assert.EqualError(t, err, "read CA certificates: "+ca+" holds no PEM certificate")
}

// TestConnections: requests that are sent at once, several times, open new connections the first
// time only.
func TestConnections(t *testing.T) {
	t.Parallel()
	const jobs, waves = 8, 5
	var mu sync.Mutex
	seen := map[string]bool{}
	var waiting atomic.Int32
	release := make([]chan struct{}, waves)
	for i := range release {
		release[i] = make(chan struct{})
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		mu.Lock()
		seen[r.RemoteAddr] = true
		mu.Unlock()
		if r.URL.Path == "/v2/repo/manifests/put" && r.Method == http.MethodHead { // of no wave: PutManifest asks
			writeManifest(w)
			return
		}
		n := waiting.Add(1)
		if n%jobs == 0 {
			close(release[n/jobs-1])
		}
		<-release[(n-1)/jobs]
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			created(w, r)
			return
		}
		if r.URL.Path == "/v2/repo/manifests/gone" {
			w.WriteHeader(404)
			_, _ = w.Write(make([]byte, 10<<10))
			return
		}
		writeManifest(w)
	})
	c, _ := client(t, Options{Jobs: jobs})
	repo := c.Writer(s.repo(t))
	for wave := range waves {
		var g sync.WaitGroup
		for range jobs {
			g.Go(func() {
				switch wave % 4 {
				case 0:
					_, _, err := repo.Manifest(t.Context(), s.repo(t).Tag("a"))
					assert.NoError(t, err)
				case 1:
					_, err := repo.Resolve(t.Context(), "a")
					assert.NoError(t, err)
				case 2:
					assert.NoError(t, repo.PutManifest(t.Context(), manifestDesc, manifestRaw, "put"))
				case 3:
					_, _, err := repo.Manifest(t.Context(), s.repo(t).Tag("gone"))
					assert.ErrorIs(t, err, fs.ErrNotExist)
				}
			})
		}
		g.Wait()
	}
	assert.LessOrEqual(t, len(seen), jobs)
}
