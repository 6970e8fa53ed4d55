package registry

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// limiter bounds how many requests each host gets at once: the least, or more where answers take long
// (pace). A host that reports overload (429, 503) gets half as many; each successful answer raises the
// number a little.
//
// Slots have an order, so that no two holders wait for each other. An upload holds one writing slot
// from its first request to its last, and reads its content, from any host, with a reading slot:
// writing comes before reading. The holder of a reading slot waits for no other slot: a download
// gives its slot back with its last byte, and an upload closes content that it has not read to the
// end before it gives back its own. Requests for tokens, and to /v2/, need no slot: their callers
// may hold any.
type limiter struct {
	least, most int

	mu    sync.Mutex
	hosts map[string]*host // by host and port
}

// host is the state of one host. Its lock is for its gates, too.
type host struct {
	mu     sync.Mutex
	reads  gate
	writes gate
	known  bool      // it answered a request successfully
	good   int       // successful answers, of both gates
	until  time.Time // no request is sent before
}

// gate admits a number of requests at once: first those that are repeated, then the others in their
// order. It counts how requests of its kind end.
type gate struct {
	host *host
	most float64 // changed by pace
	pace pace

	limit   float64 // from 1 to most
	busy    int
	peak    int             // the largest value of busy
	again   []chan struct{} // waiting requests, closed when admitted
	waiting []chan struct{}

	good    int           // successful answers
	wave    int           // number of waves of refusals; refusals of requests under way together are one
	refused int           // waves since the last successful answer
	waited  time.Duration // in total, since the last successful answer
}

// gate returns the gate of a host for reading (GET, HEAD) or writing.
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
		h.reads, h.writes = l.newGate(h), l.newGate(h)
		if l.hosts == nil {
			l.hosts = map[string]*host{}
		}
		l.hosts[name] = h
	}
	return h
}

func (l *limiter) newGate(h *host) gate {
	least, most := float64(l.least), float64(l.most)
	return gate{host: h, most: least, limit: least, pace: pace{least: least, most: most}}
}

// slot is the permission to have one request under way.
type slot struct {
	gate *gate
	once sync.Once
}

// enter waits for a slot. Requests that are repeated go first: otherwise new ones would use up what
// a host with a rate limit allows.
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

// admit grants free slots. The caller holds the lock.
func (g *gate) admit() {
	for _, queue := range []*[]chan struct{}{&g.again, &g.waiting} {
		for len(*queue) > 0 && g.busy < int(g.limit) {
			close((*queue)[0])
			*queue = (*queue)[1:]
			g.busy++
			g.peak = max(g.peak, g.busy)
		}
	}
}

// release gives the slot back. Only the first call counts.
func (s *slot) release() {
	s.once.Do(func() {
		s.gate.host.mu.Lock()
		defer s.gate.host.mu.Unlock()
		s.gate.busy--
		s.gate.admit()
	})
}

// begin returns the wave of a request that is sent now. All requests under way at the same time are
// in one wave.
func (g *gate) begin() (wave int) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	return g.wave
}

// succeeded notes an answer that is no refusal.
func (g *gate) succeeded() {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.host.known = true
	g.host.good++
	g.good++
	g.refused, g.waited = 0, 0
	g.limit = min(g.most, g.limit+1/g.limit)
	g.admit()
}

// refusedIn notes that a request of that wave was refused or not answered. For the first one of a
// wave, it returns the number of waves since the last successful answer; otherwise 0. slower halves
// the limit: the host reports overload.
func (g *gate) refusedIn(wave int, slower bool) (waves int) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	if wave != g.wave {
		return 0
	}
	g.wave++
	g.refused++
	if slower {
		g.limit = max(1, g.limit/2)
		g.most, g.pace.steady = max(g.pace.least, g.limit), true
	}
	return g.refused
}

// addWait adds to the time that was waited for the host.
func (g *gate) addWait(wait time.Duration) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.waited += wait
}

// pause delays all requests to the host until a time.
func (h *host) pause(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until = until
	}
}

// condition is how a gate's requests ended so far.
type condition struct {
	known   bool // the host answered a request successfully
	good    int  // successful answers of the gate
	any     int  // successful answers of the host
	refused int
	waited  time.Duration
	until   time.Time
}

func (g *gate) condition() condition {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	return condition{g.host.known, g.good, g.host.good, g.refused, g.waited, g.host.until}
}
