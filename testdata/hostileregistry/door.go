package hostileregistry

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"testing"
	"time"
)

// StartAt runs a registry at an address ("127.0.0.1:12345") until the test ends. Unlike one of [Start],
// it can restart, and references to it are the same each time. It passes requests to the registry at
// another address, or, where that is "", answers them itself.
func StartAt(t testing.TB, addr, behind string) *Registry {
	t.Helper()
	r := newRegistry()
	if behind != "" {
		r.behind = proxy(behind)
	}
	r.Addr = addr
	r.door = &door{addr: addr, handler: r.serve}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := r.door.open()
		if err == nil {
			break
		}
		if time.Since(began) > time.Minute { // another test may have had it
			t.Fatal(err)
		}
	}
	t.Cleanup(r.door.end)
	return r
}

// proxy passes requests on. The Host header stays the client's: registries make Locations of it.
func proxy(to string) http.HandlerFunc {
	p := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.Out.URL.Scheme, p.Out.URL.Host = "http", to },
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	return p.ServeHTTP
}

// Restart breaks off all connections and refuses others for a while. It returns at once.
func (r *Registry) Restart(pause time.Duration) {
	if !r.door.shut() {
		return
	}
	r.door.restarts.Go(func() {
		time.Sleep(pause)
		r.door.reopen()
	})
}

// Await returns when the registry takes connections.
func (r *Registry) Await() { r.door.restarts.Wait() }

// Shut breaks off all connections, and refuses others until Reopen.
func (r *Registry) Shut() { r.door.shut() }

// Reopen takes connections again, and passes requests to the registry at another address from now on.
func (r *Registry) Reopen(behind string) {
	r.mu.Lock()
	r.behind = proxy(behind)
	r.mu.Unlock()
	r.door.reopen()
}

// door is a listener that closes for a while.
type door struct {
	addr     string
	handler  http.HandlerFunc
	restarts sync.WaitGroup

	mu     sync.Mutex
	server *http.Server // nil while it is shut
	ended  bool
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	listener, err := net.Listen("tcp", d.addr)
	if err != nil {
		return err
	}
	d.server = &http.Server{Handler: d.handler, ErrorLog: log.New(io.Discard, "", 0)}
	go d.server.Serve(listener) //nolint:errcheck // it ends by Close
	return nil
}

// shut reports whether it was open.
func (d *door) shut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return false
	}
	_ = d.server.Close()
	d.server = nil
	return true
}

// reopen opens the door again. No one else takes its address: it is soon free.
func (d *door) reopen() {
	for d.open() != nil {
		time.Sleep(time.Millisecond)
	}
}

func (d *door) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.server != nil {
		_ = d.server.Close()
	}
}
