package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Limits on clients.
const (
	maxConnections = 1000
	maxHeader      = 16 << 10         // bytes
	headerTime     = 10 * time.Second // for a request to arrive, with its body
	idleTime       = 60 * time.Second // between requests
	stopTime       = 30 * time.Second // for requests under way when ctx ends
)

// Server is a registry that listens. Store is required. Begin with Serve.
type Server struct {
	Store Store
	Options
	Passwords    *Passwords        // nil allows everybody to read
	Log          func(line string) // called for each request, concurrently; nil logs none
	Certificates []tls.Certificate // if not empty, TLS only
}

// Serve answers requests at l until ctx ends. Then it waits 30 s for requests under way, and
// returns nil. A connection above the limit takes the place of one that is idle.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	idle := &idleConns{since: map[net.Conn]time.Time{}}
	l = &limitListener{Listener: l, idle: idle, taken: make(chan struct{}, maxConnections)}
	if len(s.Certificates) > 0 {
		l = tls.NewListener(l, &tls.Config{Certificates: s.Certificates, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:           s.handler(),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		WriteTimeout:      stall, // of each request; pacing extends it
		MaxHeaderBytes:    maxHeader,
		ConnState:         idle.state,
		ConnContext:       countFailures,
		ErrorLog:          log.New(io.Discard, "", 0), // errors of clients are not logged
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		idle.drop(maxConnections) // Shutdown would wait for connections without a request
		err := server.Shutdown(waiting)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(l)
	if stop() { // ctx has not ended
		return err
	}
	return <-stopped
}

// handler adds passwords, limits and the log to the API.
func (s *Server) handler() http.Handler {
	h := Handler(s.Store, s.Options)
	if s.Passwords != nil {
		h = s.Passwords.protect(h)
	}
	if h = limitBodies(h); s.Log != nil {
		h = logged(h, s.Log)
	}
	return h
}

// limitBodies bounds the time for a request's body, which is not read.
func limitBodies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTime)) // net/http's writer supports it
		}
		h.ServeHTTP(w, r)
	})
}

// limitListener accepts a number of connections. For one more it closes the connection that has
// been idle the longest; if all are busy, it waits.
type limitListener struct {
	net.Listener
	idle  *idleConns
	taken chan struct{} // one for each connection
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.taken <- struct{}{}:
	default:
		l.idle.drop(1)
		l.taken <- struct{}{}
	}
	return &limited{Conn: conn, done: func() { <-l.taken }}, nil
}

// limited is a connection that calls done once when it is closed.
type limited struct {
	net.Conn
	once sync.Once
	done func()
}

// Close implements net.Conn.
func (c *limited) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.done)
	return err
}

// idleConns are the connections without a request, new ones among them, by the time since when.
type idleConns struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

func (i *idleConns) state(conn net.Conn, state http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if state == http.StateNew || state == http.StateIdle {
		i.since[conn] = time.Now()
	} else {
		delete(i.since, conn)
	}
}

// drop closes up to n connections that have been idle the longest.
func (i *idleConns) drop(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	oldest := slices.SortedFunc(maps.Keys(i.since), func(a, b net.Conn) int { return i.since[a].Compare(i.since[b]) })
	for _, conn := range oldest[:min(n, len(oldest))] {
		delete(i.since, conn)
		if wrapped, ok := conn.(*tls.Conn); ok {
			conn = wrapped.NetConn() // without TLS's close message, which could block
		}
		_ = conn.Close() // ends its goroutine
	}
}
