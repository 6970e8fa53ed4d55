package registry

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// limiter bounds the requests that each host has to answer at once. A host that says it is asked too
// often (429, 503) gets half as many; with each answer that does not say so, a little more.
//
// Slots have an order, so that no two holders can wait for each other. An upload holds one writing slot
// from its first request to its last, and what it sends may be read, from any host, with a reading slot:
// writing comes before reading. Nobody who holds a reading slot waits for another slot: a download gives
// its slot back with its last byte, and an upload closes content that it has not read to its end before it
// gives its own back. Requests for tokens, and to /v2/, need no slot: who waits for them may hold any.
type limiter struct {
	most int

	mu    sync.Mutex
	hosts map[string]*host // by host and port
}

// host is one that requests are sent to. Its lock is for the gates, too.
type host struct {
	mu     sync.Mutex
	reads  gate
	writes gate
	known  bool      // it answered a request well
	good   int       // such answers, of all kinds
	until  time.Time // no request is sent before
}

// gate lets so many requests through at once: those that are sent again first, the others in the order in
// which they came. It knows how requests of its kind fare.
type gate struct {
	host *host
	most float64

	limit   float64 // from 1 to most
	busy    int
	again   []chan struct{} // waiting, closed when their turn has come
	waiting []chan struct{}

	good    int           // requests that were answered well
	wave    int           // refusals, of which those of requests that were under way together are one
	refused int           // waves since the last good answer
	waited  time.Duration // what the waits after these come to
}

// gate returns the gate for a kind of request.
func (l *limiter) gate(host string, method string) *gate {
	h := l.host(host)
	if method == http.MethodGet || method == http.MethodHead {
		return &h.reads
	}
	return &h.writes
}

func (l *limiter) host(name string) *host {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		h = &host{}
		h.reads = gate{host: h, most: float64(l.most), limit: float64(l.most)}
		h.writes = gate{host: h, most: float64(l.most), limit: float64(l.most)}
		if l.hosts == nil {
			l.hosts = map[string]*host{}
		}
		l.hosts[name] = h
	}
	return h
}

// slot is leave to have one request under way.
type slot struct {
	gate *gate
	once sync.Once
}

// enter waits for a slot. Who failed before is let in first: those who come after would use up what a
// host that limits its rate has to give.
func (g *gate) enter(ctx context.Context, again bool) (*slot, error) {
	queue := &g.waiting
	if again {
		queue = &g.again
	}
	turn := make(chan struct{})
	g.host.mu.Lock()
	*queue = append(*queue, turn)
	g.admit()
	g.host.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
	}
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	if i := slices.Index(*queue, turn); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
		return nil, ctx.Err()
	}
	return &slot{gate: g}, nil
}

// admit lets in who may go. The caller holds the lock.
func (g *gate) admit() {
	for _, queue := range []*[]chan struct{}{&g.again, &g.waiting} {
		for len(*queue) > 0 && g.busy < int(g.limit) {
			close((*queue)[0])
			*queue = (*queue)[1:]
			g.busy++
		}
	}
}

// release gives the slot back; only the first call counts.
func (s *slot) release() {
	s.once.Do(func() {
		s.gate.host.mu.Lock()
		defer s.gate.host.mu.Unlock()
		s.gate.busy--
		s.gate.admit()
	})
}

// begin notes that a request is sent. What it returns tells which others are under way with it.
func (g *gate) begin() (wave int) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	return g.wave
}

// answeredWell notes that a request was answered with what is no refusal.
func (g *gate) answeredWell() {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.host.known = true
	g.host.good++
	g.good++
	g.refused, g.waited = 0, 0
	g.limit = min(g.most, g.limit+1/g.limit)
	g.admit()
}

// turnedAway notes that a request that began in that wave was refused, or not answered. It returns how many
// waves there were since the last good answer when it is the first of its wave, and 0 otherwise. With slower,
// the host says that it is asked too often.
func (g *gate) turnedAway(wave int, slower bool) (waves int) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	if wave != g.wave {
		return 0
	}
	g.wave++
	g.refused++
	if slower {
		g.limit = max(1, g.limit/2)
	}
	return g.refused
}

// waits notes how long is waited after a wave.
func (g *gate) waits(wait time.Duration) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.waited += wait
}

// pause lets no request be sent to the host before a time.
func (h *host) pause(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until = until
	}
}

// condition is how a gate's requests fare.
type condition struct {
	known   bool // the host answered a request well
	good    int  // such answers of the gate
	any     int  // and of the host
	refused int
	waited  time.Duration
	until   time.Time
}

func (g *gate) condition() condition {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	return condition{g.host.known, g.good, g.host.good, g.refused, g.waited, g.host.until}
}
