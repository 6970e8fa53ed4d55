package hostileregistry

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// Reset breaks the connection off with a reset.
func Reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Cut lets the registry answer, and breaks the connection off after so many bytes of the body.
func Cut(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, after int) {
	next(&cutting{ResponseWriter: w, left: after}, r)
}

// cutting is a ResponseWriter that breaks off.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Take reads so many bytes of an upload, lets the registry keep them, and breaks the connection off.
func Take(r *http.Request, next http.HandlerFunc, bytes int64) {
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r.Body, bytes), broken{}), r.Body}
	next(nowhere{}, r)
	panic(http.ErrAbortHandler)
}

// Lose lets the registry do what it is asked, and breaks the connection off in place of the answer.
func Lose(r *http.Request, next http.HandlerFunc) {
	next(nowhere{}, r)
	panic(http.ErrAbortHandler)
}

// Endless sends a body without end, until the client leaves.
func Endless(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	for buf := make([]byte, 64<<10); ; {
		if _, err := w.Write(buf); err != nil {
			return
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("broken off") }

// nowhere is a ResponseWriter whose answer nobody gets.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
