package registry

import (
	"net/http"
	"strings"
	"time"
)

// Requests that wait in a queue of the host, or of the way to it, when a gate is at its pace: with fewer,
// the host gets more requests at once, with more it gets fewer.
const (
	shortQueue = 3
	longQueue  = 6
)

// pace chooses how many requests a host gets at once, as TCP Vegas chooses a window: what an answer takes
// longer than the quickest of its kind, its request has waited in a queue. So a near host gets the least, and
// one behind a long line as many as keep it busy. The lock of the gate's host is for it, too.
type pace struct {
	least, most float64
	quickest    map[kind]time.Duration
	steady      bool    // a queue was seen: the number no longer doubles
	shares      float64 // sum over answers of the quickest time by their own
	answers     int
}

// kind is what answers are compared by. A PUT is not compared: it carries content.
type kind struct {
	method    string
	manifests bool
	status    int
}

// kindOf returns the kind of a request without content and its answer.
func kindOf(req *http.Request, res *http.Response) (k kind, ok bool) {
	if req.ContentLength != 0 || req.Method == http.MethodPut || req.Method == http.MethodPatch {
		return kind{}, false
	}
	return kind{req.Method, strings.Contains(req.URL.Path, "/manifests/"), res.StatusCode}, true
}

// MostAtOnce returns how many requests to one host were under way at once, at most, reading and writing
// apart.
func (c *Client) MostAtOnce() int {
	l := &c.base.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	most := 0
	for _, h := range l.hosts {
		h.mu.Lock()
		most = max(most, h.reads.peak, h.writes.peak)
		h.mu.Unlock()
	}
	return most
}

// answered notes how long an answer took to begin. Only a full gate learns from that whether more requests at
// once would be answered sooner.
func (g *gate) answered(k kind, took time.Duration) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	p := &g.pace
	took = max(took, time.Microsecond)
	if p.quickest == nil {
		p.quickest = map[kind]time.Duration{}
	}
	if quickest, known := p.quickest[k]; !known || took < quickest {
		p.quickest[k] = took
	}
	if p.least == p.most || g.busy < int(g.limit) {
		return
	}
	p.shares += float64(p.quickest[k]) / float64(took)
	if p.answers++; p.answers < int(g.most) {
		return
	}
	queued := g.most * (1 - p.shares/float64(p.answers))
	p.shares, p.answers = 0, 0
	switch {
	case queued > longQueue:
		p.steady = true
		g.most = max(p.least, g.most-1)
		g.limit = min(g.limit, g.most)
	case queued < shortQueue && g.limit == g.most: // else the host reported overload
		more := 1.0
		if !p.steady {
			more = g.most
		}
		g.most = min(p.most, g.most+more)
		g.limit = g.most
		g.admit()
	}
}
