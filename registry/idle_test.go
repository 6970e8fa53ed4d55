package registry

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
)

// reached are the ways to reach the registry of a test.
var reached = map[string]func(t *testing.T, s *server, c *Client){
	"plain": func(_ *testing.T, s *server, _ *Client) { s.Start() },
	"TLS":   func(_ *testing.T, s *server, _ *Client) { s.StartTLS() },
	"proxy": func(t *testing.T, s *server, c *Client) {
		s.Start()
		proxy := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0)}).ServeHTTP(w, r)
		})
		proxy.Start()
		at, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		c.base.inner.(*http.Transport).Proxy = http.ProxyURL(at)
	},
}

// TestStalledDownload: a download that stalls continues with another request.
func TestStalledDownload(t *testing.T) {
	t.Parallel()
	for name, start := range reached {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, waited := client(t, Options{SkipVerify: true, IdleTimeout: 100 * time.Millisecond})
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
				switch {
				case r.URL.Path == "/v2/":
				case n == 1:
					_, _ = w.Write(blobRaw[:1000])
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
				default:
					ranged(w, r, blobRaw)
				}
			})
			start(t, s, c)
			s.host = s.Listener.Addr().String()
			r, err := c.Blob(t.Context(), s.repo(t), blobDesc)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.Equal(t, digest.Of(blobRaw), digest.Of(got))
			assert.NotEmpty(t, waited.all())
			assert.Len(t, s.log(), 2)
		})
	}
}

// TestStalledUpload: an upload to a registry that accepts no more data fails after the idle time.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	for name, start := range reached {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := client(t, Options{SkipVerify: true, IdleTimeout: 100 * time.Millisecond, Tries: 2})
			over := make(chan struct{})
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				switch r.Method {
				case http.MethodPost:
					w.Header().Set("Location", "/v2/repo/blobs/uploads/1")
					w.WriteHeader(202)
				case http.MethodPut:
					_, _ = io.ReadFull(r.Body, make([]byte, 1000))
					<-over
				}
			})
			start(t, s, c)
			t.Cleanup(func() { close(over) })
			s.host = s.Listener.Addr().String()
			endless := v1.Descriptor{Digest: blobDesc.Digest, Size: 1 << 40}
			err := c.Writer(s.repo(t)).PutBlob(t.Context(), endless, func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(zeros{}), nil
			})
			if name != "proxy" { // which answers 502 in its place, or breaks off
				assert.ErrorContains(t, err, "no data for 100ms")
			}
			assert.ErrorContains(t, err, "(2 tries)")
		})
	}
}

// slowBody sends a byte after each pause.
type slowBody struct {
	ctx   context.Context
	pause time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	if err := sleep(b.ctx, b.pause); err != nil {
		return 0, err
	}
	p[0] = 'x'
	return 1, nil
}

// TestWatchedBody: only time inside of Read counts. The times of the test are hours, in a synctest
// bubble.
func TestWatchedBody(t *testing.T) {
	t.Parallel()
	const idle = 30 * time.Second
	for _, c := range []struct {
		name         string
		pause, think time.Duration // before a byte comes; before the next is asked for
		whole        bool
		want         error
	}{
		{"a byte now and then", 29 * time.Second, 0, false, nil},
		{"a slow consumer", 0, time.Hour, false, nil},
		{"a stall", 31 * time.Second, 0, false, stalled(idle)},
		{"a small answer, at once", 0, 0, true, nil},
		{"a small answer, byte by byte", 10 * time.Second, 0, true, stalled(idle)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				released := 0
				body := watch(ctx, cancel, io.NopCloser(slowBody{ctx, c.pause}), idle, c.whole, func() { released++ })
				var err error
				for range 20 {
					if _, err = body.Read(make([]byte, 8)); err != nil {
						break
					}
					assert.NoError(t, sleep(t.Context(), c.think))
				}
				assert.Equal(t, c.want, err)
				assert.NoError(t, body.Close())
				assert.Equal(t, 1, released)
				if c.want == nil {
					assert.NoError(t, sleep(t.Context(), time.Hour))
					assert.NoError(t, ctx.Err(), "no timer is left")
				}
				cancel(nil)
			})
		})
	}
}

// pipeEnd is a connection whose writes accept the bytes in its list, and reach the deadline then.
type pipeEnd struct {
	net.Conn
	takes     []int
	deadlines int
}

func (p *pipeEnd) SetWriteDeadline(time.Time) error { p.deadlines++; return nil }

func (p *pipeEnd) Write(b []byte) (int, error) {
	n := p.takes[0]
	p.takes = p.takes[1:]
	if n < len(b) {
		return n, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

// A deadline that passes after some bytes were written is no stall.
func TestWatchedConn(t *testing.T) {
	t.Parallel()
	slow := &pipeEnd{takes: []int{1, 2, 3, 100}}
	n, err := watchedConn{slow, time.Second}.Write(make([]byte, 100))
	assert.NoError(t, err)
	assert.Equal(t, 100, n)
	assert.Equal(t, 4, slow.deadlines)

	stops := &pipeEnd{takes: []int{1, 0}}
	n, err = watchedConn{stops, time.Second}.Write(make([]byte, 100))
	assert.Equal(t, 1, n)
	assert.Equal(t, stalled(time.Second), err)
	assert.True(t, isTemporary(errors.Join(err)))

	slow = &pipeEnd{takes: []int{1, 2, 3, 100}}
	sent, err := watchedConn{slow, time.Second}.ReadFrom(strings.NewReader(strings.Repeat("x", 100)))
	assert.NoError(t, err)
	assert.EqualValues(t, 100, sent)
	stops = &pipeEnd{takes: []int{1, 0}}
	sent, err = watchedConn{stops, time.Second}.ReadFrom(strings.NewReader(strings.Repeat("x", 100)))
	assert.EqualValues(t, 1, sent)
	assert.Equal(t, stalled(time.Second), err)
}
