package registry

import (
	"context"
	"net/http"
	"slices"
	"sync"
)

// limiter bounds the requests that each host has to answer at once. A host that says it is asked too
// often (429, 503) gets half as many; with each answer that does not say so, a little more.
type limiter struct {
	most int

	mu    sync.Mutex
	gates map[gateKey]*gate
}

// gateKey tells reading from writing requests: a PUT that holds its slot may have to read, from the
// same host, what it sends.
type gateKey struct {
	host   string // and port
	writes bool
}

// enter waits until a request may be sent.
func (l *limiter) enter(req *http.Request) (*slot, error) {
	key := gateKey{authority(req.URL), req.Method != http.MethodGet && req.Method != http.MethodHead}
	l.mu.Lock()
	g := l.gates[key]
	if g == nil {
		g = &gate{most: float64(l.most), limit: float64(l.most)}
		l.gates[key] = g
	}
	l.mu.Unlock()
	return g.enter(req.Context())
}

// gate lets so many requests through at once, in the order in which they came.
type gate struct {
	most float64

	mu      sync.Mutex
	limit   float64 // from 1 to most
	halved  int     // how often the limit was
	busy    int
	waiting []chan struct{} // closed when their turn has come
}

// slot is one request's leave to be under way.
type slot struct {
	gate   *gate
	halved int // the gate's when the request began
	once   sync.Once
}

func (g *gate) enter(ctx context.Context) (*slot, error) {
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return nil, ctx.Err()
	}
	return &slot{gate: g, halved: g.halved}, nil
}

// admit lets in who may go. The caller holds the lock.
func (g *gate) admit() {
	for len(g.waiting) > 0 && g.busy < int(g.limit) {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.busy++
	}
}

// answered learns from the status of the answer. Requests that were under way together halve the limit
// once.
func (s *slot) answered(status int) {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable:
		g.limit = min(g.most, g.limit+1/g.limit)
		g.admit()
	case s.halved == g.halved:
		g.limit = max(1, g.limit/2)
		g.halved++
	}
}

// release gives the slot back; only the first call counts.
func (s *slot) release() {
	s.once.Do(func() {
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		s.gate.busy--
		s.gate.admit()
	})
}
