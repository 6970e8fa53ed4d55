package hostileregistry

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// On lets a manner stand before the requests of some kinds, each "METHOD WHAT", and leaves others alone.
// WHAT is blobs, manifests, tags or digests (manifests by either), uploads, ping, or * for all.
func On(kinds string, m Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if Is(r, kinds) {
			m(w, r, n, next)
			return
		}
		next(w, r)
	}
}

// Is reports whether a request is of one of some kinds, as On has them.
func Is(r *http.Request, kinds string) bool {
	return slices.ContainsFunc(strings.Split(kinds, ", "), func(kind string) bool { return is(r, kind) })
}

func is(r *http.Request, kind string) bool {
	method, what, _ := strings.Cut(kind, " ")
	if method != "*" && method != r.Method {
		return false
	}
	path := r.URL.Path
	switch what {
	case "*":
		return true
	case "ping":
		return path == "/v2/"
	case "uploads":
		return strings.Contains(path, "/blobs/uploads/")
	case "blobs":
		return strings.Contains(path, "/blobs/sha256:")
	case "tags":
		return strings.Contains(path, "/manifests/") && !strings.Contains(path, "/manifests/sha256:")
	case "digests":
		return strings.Contains(path, "/manifests/sha256:")
	case "manifests":
		return strings.Contains(path, "/manifests/")
	}
	panic("no kind of request: " + kind)
}

// First lets a manner do for the first requests of a method and path; the registry behaves then.
func First(times int, m Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if n <= times {
			m(w, r, n, next)
			return
		}
		next(w, r)
	}
}

// All lets manners stand one before the other, the first outermost.
func All(manners ...Manner) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		for _, m := range slices.Backward(manners) {
			inner := next
			next = func(w http.ResponseWriter, r *http.Request) { m(w, r, n, inner) }
		}
		next(w, r)
	}
}

// Answer answers with a status, a body and headers, each "Key: value".
func Answer(status int, body string, headers ...string) Manner {
	return func(w http.ResponseWriter, _ *http.Request, _ int, _ http.HandlerFunc) {
		for _, h := range headers {
			key, value, _ := strings.Cut(h, ": ")
			w.Header()[key] = append(w.Header()[key], value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Refuse answers with an error in the form of the distribution spec.
func Refuse(status int, code, message string) Manner {
	return func(w http.ResponseWriter, _ *http.Request, _ int, _ http.HandlerFunc) {
		Fail(w, status, code, message)
	}
}

// AtMost refuses what is more than so many requests in a second, as zot and olareg do it: with 429, and
// without a Retry-After.
func AtMost(perSecond int) Manner {
	var mu sync.Mutex
	var second time.Time
	count := 0
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		mu.Lock()
		if now := time.Now(); now.Sub(second) >= time.Second {
			second, count = now, 0
		}
		count++
		refused := count > perSecond
		mu.Unlock()
		if refused {
			Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many requests")
			return
		}
		next(w, r)
	}
}

// Redirect sends elsewhere: to a base, with the same path, or to what a function says.
func Redirect(status int, to func(*http.Request) string) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, _ http.HandlerFunc) {
		w.Header().Set("Location", to(r))
		w.WriteHeader(status)
	}
}

// Header lets the registry answer, with other headers.
func Header(edit func(http.Header)) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(&editing{ResponseWriter: w, edit: edit}, r)
	}
}

// editing is a ResponseWriter that changes the headers before they are sent.
type editing struct {
	http.ResponseWriter
	edit func(http.Header)
	done bool
}

func (e *editing) WriteHeader(status int) {
	if !e.done {
		e.done = true
		e.edit(e.Header())
	}
	e.ResponseWriter.WriteHeader(status)
}

func (e *editing) Write(p []byte) (int, error) {
	if !e.done {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

// Content lets the registry answer, with other content of the same length.
func Content(change func([]byte)) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(changing{w, change}, r)
	}
}

type changing struct {
	http.ResponseWriter
	change func([]byte)
}

func (c changing) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	c.change(p)
	return c.ResponseWriter.Write(p)
}

// Surplus lets the registry answer, with bytes behind the content.
func Surplus(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
	next(&editing{ResponseWriter: w, edit: func(h http.Header) { h.Del("Content-Length") }}, r)
	_, _ = io.WriteString(w, "surplus")
}

// Drip lets the registry answer, and send the first bytes one by one, each after a pause.
func Drip(times int, pause time.Duration) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(&dripping{w, times, pause}, r)
	}
}

type dripping struct {
	http.ResponseWriter
	left  int
	pause time.Duration
}

func (d *dripping) Write(p []byte) (int, error) {
	n := 0
	for ; d.left > 0 && n < len(p); d.left-- {
		time.Sleep(d.pause)
		if _, err := d.ResponseWriter.Write(p[n : n+1]); err != nil {
			return n, err
		}
		_ = http.NewResponseController(d.ResponseWriter).Flush()
		n++
	}
	rest, err := d.ResponseWriter.Write(p[n:])
	return n + rest, err
}

// Silence takes a request and does not answer.
func Silence(_ http.ResponseWriter, r *http.Request, _ int, _ http.HandlerFunc) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// Reset breaks the connection off with a reset, before anything is read.
func Reset(w http.ResponseWriter, _ *http.Request, _ int, _ http.HandlerFunc) {
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
func Cut(after int) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(&cutting{w, after, func() { panic(http.ErrAbortHandler) }}, r)
	}
}

// Stop lets the registry answer, and sends nothing more after so many bytes of the body.
func Stop(after int) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		next(&cutting{w, after, func() { <-r.Context().Done() }}, r)
	}
}

// cutting is a ResponseWriter that ends somewhere.
type cutting struct {
	http.ResponseWriter
	left int
	end  func()
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	c.end()
	return 0, errors.New("the client left")
}

// Endless sends a body without end, until the client leaves.
func Endless(status int, headers ...string) Manner {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		Answer(status, "", headers...)(w, r, n, next)
		for buf := make([]byte, 64<<10); ; {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	}
}

// Take reads so many bytes of an upload, lets the registry keep them, and breaks the connection off.
func Take(bytes int64) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.Body, bytes), broken{}), r.Body}
		next(nowhere{}, r)
		panic(http.ErrAbortHandler)
	}
}

// Lose lets the registry do what it is asked, and breaks the connection off in place of the answer.
func Lose(_ http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
	next(nowhere{}, r)
	panic(http.ErrAbortHandler)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// nowhere is a ResponseWriter whose answer nobody gets.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
