package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// server is a registry whose answers a test gives, and which records its requests.
type server struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	requests []*http.Request
}

// handler answers the n-th request (from 1) for a method and path.
type handler func(w http.ResponseWriter, r *http.Request, n int)

// serve starts a registry over plain HTTP that answers /v2/ with 200, and all other requests with
// h.
func serve(t *testing.T, h handler) *server {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Path != "/v2/" {
			h(w, r, n)
		}
	})
	s.Start()
	s.host = s.Listener.Addr().String()
	return s
}

// newServer returns a server that is not started.
func newServer(t *testing.T, h handler) *server {
	s := &server{}
	count := map[string]int{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		key := r.Method + r.URL.Path
		count[key]++
		n := count[key]
		s.mu.Unlock()
		h(w, r, n)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

// log returns the requests except those for /v2/, each as "METHOD path?query", without /v2/repo.
func (s *server) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, r := range s.requests {
		if r.URL.Path != "/v2/" {
			list = append(list, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/v2/repo"))
		}
	}
	return list
}

// headers returns the values of a header in all requests, /v2/ included.
func (s *server) headers(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.requests {
		list = append(list, r.Header.Get(key))
	}
	return list
}

func (s *server) repo(t *testing.T) name.Repository { return parseRepo(t, s.host+"/repo") }

func parseRepo(t *testing.T, ref string) name.Repository {
	repo, err := name.NewRepository(ref)
	require.NoError(t, err)
	return repo
}

// waits are the waits of a client between tries. They take no time; the clock advances by them
// only.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
	time time.Time
}

func (w *waits) sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, d)
	w.time = w.time.Add(d)
	return ctx.Err()
}

func (w *waits) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *waits) all() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

func client(t *testing.T, opt Options) (*Client, *waits) {
	c, err := New(opt)
	require.NoError(t, err)
	w := &waits{time: time.Unix(0, 0)}
	c.base.sleep, c.base.now = w.sleep, w.now
	t.Cleanup(func() { allGivenBack(t, c) })
	for _, rt := range []http.RoundTripper{c.base.inner, c.base.public} {
		t.Cleanup(rt.(*http.Transport).CloseIdleConnections)
	}
	return c, w
}

func allGivenBack(t *testing.T, c *Client) {
	t.Helper()
	for name, h := range c.base.limiter.hosts {
		assert.Zero(t, h.reads.busy, "slots for reading at %v that were not given back", name)
		assert.Zero(t, h.writes.busy, "slots for writing at %v that were not given back", name)
	}
}

// The content of the tests.
var (
	manifestRaw  = []byte(`{"schemaVersion":2,"config":{},"layers":[]}`)
	manifestDesc = v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(manifestRaw)), Digest: digest.Of(manifestRaw)}
	blobRaw      = randomBytes(1 << 20)
	blobDesc     = v1.Descriptor{Size: int64(len(blobRaw)), Digest: digest.Of(blobRaw)}
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func writeManifest(w http.ResponseWriter) {
	w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
	w.Header().Set("Docker-Content-Digest", manifestDesc.Digest.String())
	_, _ = w.Write(manifestRaw)
}

// created answers that a blob, or the manifest, is stored.
func created(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Content-Digest", cmp.Or(r.URL.Query().Get("digest"), manifestDesc.Digest.String()))
	w.WriteHeader(http.StatusCreated)
}

// breakOff sends some of b's bytes and breaks the connection.
func breakOff(w http.ResponseWriter, status int, b []byte, sent int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b[:sent])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// bytesOf returns an open for PutBlob.
func bytesOf(b []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		d := digest.Of(b)
		return io.NopCloser(digest.Reader(bytes.NewReader(b), d, int64(len(b)))), nil
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func listenElsewhere(t *testing.T) net.Listener {
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			l, err := net.Listen("tcp", net.JoinHostPort(ip.IP.String(), "0"))
			require.NoError(t, err)
			return l
		}
	}
	t.Skip("this machine has no other address than loopback")
	return nil
}
