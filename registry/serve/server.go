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
	headerTime     = 10 * time.Second // to send a request in, and what body it may have
	idleTime       = 60 * time.Second // without a request
	stopTime       = 30 * time.Second // for what is under way when it is told to stop
)

// Server is a registry that listens. Store is required.
type Server struct {
	Store Store
	Options
	Passwords    *Passwords        // nil lets everybody read
	Log          func(line string) // called for each request, concurrently; nil logs none
	Certificates []tls.Certificate // with some it speaks TLS and nothing else
}

// Serve answers requests at l until ctx ends; then it lets those under way finish, for a limited time, and returns nil.
// Connections beyond a limit take the place of idle ones.
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
		WriteTimeout:      stall, // of each request; whoever sends much moves it on
		MaxHeaderBytes:    maxHeader,
		ConnState:         idle.state,
		ConnContext:       countFailures,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong is theirs
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		idle.drop(maxConnections) // Shutdown waits for those that have asked for nothing yet
		err := server.Shutdown(waiting)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close() // who is not done by now is cut off
		}
		stopped <- err
	})
	err := server.Serve(l)
	if stop() { // it was not told to
		return err
	}
	return <-stopped
}

// handler puts everything around the API.
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

// limitBodies bounds how long a body, which nobody reads, is waited for.
func limitBodies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTime)) // a connection has one
		}
		h.ServeHTTP(w, r)
	})
}

// limitListener accepts so many connections. For one more it closes the one that has been idle the longest; where all
// are busy, it waits.
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

// limited is a connection that counts until it is closed.
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

// idleConns are the connections without a request, the oldest first, new ones among them.
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

// drop closes up to n connections, those that have been idle the longest.
func (i *idleConns) drop(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	oldest := slices.SortedFunc(maps.Keys(i.since), func(a, b net.Conn) int { return i.since[a].Compare(i.since[b]) })
	for _, conn := range oldest[:min(n, len(oldest))] {
		delete(i.since, conn)
		if wrapped, ok := conn.(*tls.Conn); ok {
			conn = wrapped.NetConn() // no farewell, which would be waited for
		}
		_ = conn.Close() // who serves it ends
	}
}
