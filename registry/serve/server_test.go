package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry/serve"
)

// listen runs a server until the test ends and returns its URL.
func listen(t testing.TB, s *serve.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return "http://" + l.Addr().String()
}

// TestIdleConnections: more idle connections than the limit do not keep other clients out.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	f, _, _, _ := small(t, serve.Options{})
	base := listen(t, &serve.Server{Store: f.store()})
	addr := strings.TrimPrefix(base, "http://")
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range 1100 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		conns = append(conns, conn)
		require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second))) // half of what an idle one may stay
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	a := send(t, http.MethodGet, base, "/v2/a/b/manifests/v1")
	assert.Equal(t, http.StatusOK, a.status)
	_, err := conns[0].Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF, "the oldest had to go")
}

// TestLog: each request is one line, in which text of the client is quoted.
func TestLog(t *testing.T) {
	t.Parallel()
	f, _, _, layer := small(t, serve.Options{})
	var mu sync.Mutex
	var lines []string
	logged := make(chan struct{}, 100)
	base := listen(t, &serve.Server{Store: f.store(), Log: func(line string) {
		mu.Lock()
		lines = append(lines, line)
		mu.Unlock()
		logged <- struct{}{}
	}})
	send(t, http.MethodGet, base, "/v2/a/b/blobs/"+layer, "User-Agent", "evil \" \u202e agent")
	send(t, http.MethodPut, base, "/v2/a%0A%1b[31m/manifests/x")
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v2/\x80 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ZXZpbBtbMzFtOnNlY3JldA==\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	res.Body.Close()
	for range 3 {
		<-logged
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, lines, 3)
	assert.Regexp(t, `^127\.0\.0\.1:\d+ - - \[.*\] "GET /v2/a/b/blobs/sha256:[0-9a-f]+ HTTP/1\.1" 200 100000 \d+\.\d{3}s "evil \\" \\u202e agent"$`, lines[0])
	assert.Regexp(t, `"PUT /v2/a%0A%1b\[31m/manifests/x HTTP/1\.1" 405 \d+ `, lines[1])
	assert.Regexp(t, ` - "evil\\x1b\[31m" \[`, lines[2])
	assert.NotContains(t, lines[2], "secret")
	for _, line := range lines {
		for _, c := range line {
			assert.True(t, c >= ' ' && c < 0x7f, "%q", line)
		}
	}
}

// TestHeaderLimit: a header of a megabyte is not read.
func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	f, _, _, _ := small(t, serve.Options{})
	base := listen(t, &serve.Server{Store: f.store()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	go func() {
		fmt.Fprint(conn, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20))
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil { // or it was reset before the answer arrived
		defer res.Body.Close()
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
	}
}

// TestBodies: the body of a refused request is not waited for.
func TestBodies(t *testing.T) {
	t.Parallel()
	f, _, _, _ := small(t, serve.Options{})
	base := listen(t, &serve.Server{Store: f.store()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "PUT /v2/a/b/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	assert.True(t, res.Close)
}

// slow is a connection that records the deadline of each piece.
type slow struct {
	http.ResponseWriter
	until []time.Time
	after int // pieces that are taken
}

// SetWriteDeadline is called by http.ResponseController.
func (s *slow) SetWriteDeadline(t time.Time) error {
	s.until = append(s.until, t)
	return nil
}

func (s *slow) Write(b []byte) (int, error) {
	if len(s.until) > s.after {
		return 0, os.ErrDeadlineExceeded
	}
	return s.ResponseWriter.Write(b)
}

// TestSlowReaders: each piece of content has its own deadline, and a client that is too slow is
// dropped.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	f, _, _, layer := small(t, serve.Options{Fault: func(request string, err error) { t.Errorf("a slow client is no fault: %v", err) }})
	h := serve.Handler(f.store(), serve.Options{})
	r := httptest.NewRequest(http.MethodGet, "/v2/a/b/blobs/"+layer, nil)
	patient := &slow{ResponseWriter: httptest.NewRecorder(), after: 100}
	h.ServeHTTP(patient, r)
	require.Len(t, patient.until, 2, "100,000 bytes are two pieces")
	assert.True(t, patient.until[0].After(time.Now()) && !patient.until[1].Before(patient.until[0]))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(&slow{ResponseWriter: httptest.NewRecorder(), after: 1}, r) })
}
