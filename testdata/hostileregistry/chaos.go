package hostileregistry

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Chaos lets a registry fail at random. Which requests fail, and how, follows from the seed and from what
// is asked for the n-th time (method, path and digest), not from the order in which requests arrive: the
// same program meets the same faults again, at any concurrency. Only what a restart or a full disk hits
// besides the request that it begins with depends on time.
type Chaos struct {
	Seed   uint64
	Rate   float64 // share of the requests that fail, from 0 to 1
	Most   int     // a request fails at most so often; 0: as often as it is sent
	Faults []Fault

	mu       sync.Mutex
	counts   map[string]int
	sessions map[string]bool // uploads that were begun since the last restart
	full     Manner          // what answers writes; nil while there is room
	done     map[string]int
}

// Fault is one way to fail.
type Fault struct {
	Name  string
	Kinds string // of requests, as [On] has them
	Once  bool   // it happens only when something is asked for the first time
	do    func(c *Chaos, r *Registry, rnd *rand.Rand) Manner
}

// Manner returns how a registry behaves under the chaos.
func (c *Chaos) Manner(r *Registry) Manner {
	c.counts, c.sessions, c.done, c.full = map[string]int{}, map[string]bool{}, map[string]int{}, nil
	return func(w http.ResponseWriter, req *http.Request, n int, next http.HandlerFunc) {
		c.choose(r, req)(w, req, n, c.remember(next))
	}
}

// Done counts the faults so far, by name.
func (c *Chaos) Done() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

const uploadWrites = "PUT uploads, PATCH uploads"

// choose says what becomes of a request.
func (c *Chaos) choose(r *Registry, req *http.Request) Manner {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil && isAny(req, "POST uploads, PUT uploads, PATCH uploads, PUT manifests") {
		return c.full
	}
	if isAny(req, uploadWrites) && !c.sessions[req.URL.Path] {
		return c.note("upload lost", Refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))
	}
	id := identity(req)
	c.counts[id]++
	h := fnv.New64a()
	fmt.Fprint(h, id, " ", c.counts[id])
	rnd := rand.New(rand.NewPCG(c.Seed, h.Sum64()))
	if rnd.Float64() >= c.Rate || (c.Most > 0 && c.counts[id] > c.Most) {
		return well
	}
	fits := slices.DeleteFunc(slices.Clone(c.Faults), func(f Fault) bool {
		return !isAny(req, f.Kinds) || (f.Once && c.counts[id] > 1)
	})
	if len(fits) == 0 {
		return well
	}
	f := fits[rnd.IntN(len(fits))]
	return c.note(f.Name, f.do(c, r, rnd))
}

func (c *Chaos) note(name string, m Manner) Manner {
	c.done[name]++
	return m
}

// remember notes the uploads that begin.
func (c *Chaos) remember(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if !isAny(req, "POST uploads, PATCH uploads") {
			next(w, req)
			return
		}
		next(&editing{ResponseWriter: w, edit: func(h http.Header) {
			if at, err := req.URL.Parse(h.Get("Location")); err == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.sessions[at.Path] = true
			}
		}}, req)
	}
}

// numbered are the names of uploads, which are others in each run.
var numbered = regexp.MustCompile(`/uploads/[^/]+$`)

// identity is what a request asks for, the same in each run.
func identity(req *http.Request) string {
	q := req.URL.Query()
	return req.Method + " " + numbered.ReplaceAllString(req.URL.Path, "/uploads/") + " " + q.Get("digest") + q.Get("mount")
}

func isAny(req *http.Request, kinds string) bool {
	matches := false
	On(kinds, func(http.ResponseWriter, *http.Request, int, http.HandlerFunc) { matches = true })(nil, req, 0, func(http.ResponseWriter, *http.Request) {})
	return matches
}

func well(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) { next(w, r) }

func always(m Manner) func(*Chaos, *Registry, *rand.Rand) Manner {
	return func(*Chaos, *Registry, *rand.Rand) Manner { return m }
}

// oneOf draws one of some manners.
func oneOf(list ...Manner) func(*Chaos, *Registry, *rand.Rand) Manner {
	return func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return list[rnd.IntN(len(list))] }
}

// Passing are faults that pass: a client that tries again gets through.
var Passing = []Fault{
	{Name: "500", Kinds: "* *", do: oneOf(Answer(500, ""), Refuse(500, "UNKNOWN", "unknown error"), Answer(502, "<html>bad gateway</html>"), Answer(504, ""))},
	{Name: "503", Kinds: "* *", do: oneOf(Answer(503, ""), Answer(503, "<html>busy</html>", "Retry-After: 0"), Answer(503, "", "Retry-After: 1"))},
	{Name: "429", Kinds: "* *", do: oneOf(Answer(429, ""), Refuse(429, "TOOMANYREQUESTS", "slow down"), Answer(429, "", "Retry-After: 0"), Answer(429, "", "Retry-After: 1"))},
	{Name: "reset", Kinds: "* *", do: always(Reset)},
	{Name: "delay", Kinds: "* *", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner {
		pause := time.Duration(rnd.IntN(30)) * time.Millisecond
		return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
			time.Sleep(pause)
			next(w, r)
		}
	}},
	{Name: "cut", Kinds: "GET *", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Cut(rnd.IntN(2000)) }},
	{Name: "cut late", Kinds: "GET blobs", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Cut(rnd.IntN(200_000)) }},
	{Name: "flip", Kinds: "GET blobs, GET digests", Once: true, do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Content(flipOne(rnd.IntN(500))) }},
	{Name: "upload cut", Kinds: uploadWrites, do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Take(int64(rnd.IntN(100_000))) }},
	{Name: "answer lost", Kinds: "PUT uploads, PATCH uploads, PUT manifests, POST uploads", do: always(Lose)},
	{Name: "upload gone", Kinds: uploadWrites, do: always(Refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))},
}

// Grave are faults that may end a run.
var Grave = []Fault{
	{Name: "flip again", Kinds: "GET blobs, GET manifests", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Content(flipOne(rnd.IntN(500))) }},
	{Name: "refused", Kinds: "* *", do: oneOf(Refuse(403, "DENIED", "requested access is denied"), Answer(403, ""), Refuse(401, "UNAUTHORIZED", "authentication required"))},
	{Name: "missing", Kinds: "GET blobs, HEAD blobs, GET digests, HEAD digests", do: oneOf(Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"), Answer(404, ""))},
	{Name: "silence", Kinds: "GET blobs, GET manifests, PUT uploads, PUT manifests", do: always(Silence)},
	{Name: "stall", Kinds: "GET blobs", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return Stop(rnd.IntN(2000)) }},
	{Name: "upload flipped", Kinds: "PUT uploads, PUT digests", do: func(_ *Chaos, _ *Registry, rnd *rand.Rand) Manner { return sent(flipOne(rnd.IntN(500))) }},
	{Name: "restart", Kinds: "* *", do: func(c *Chaos, r *Registry, rnd *rand.Rand) Manner {
		pause, forgets := time.Duration(rnd.IntN(300))*time.Millisecond, rnd.IntN(2) == 0
		return func(http.ResponseWriter, *http.Request, int, http.HandlerFunc) {
			if forgets {
				c.mu.Lock()
				clear(c.sessions)
				c.mu.Unlock()
			}
			r.Restart(pause)
			panic(http.ErrAbortHandler)
		}
	}},
	{Name: "full", Kinds: "POST uploads, PUT uploads, PUT manifests", do: func(c *Chaos, _ *Registry, rnd *rand.Rand) Manner {
		c.full = oneOf(
			Answer(500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"write","Path":"/data","Err":28}}}]}`),
			Answer(500, ""), Answer(507, ""),
			Refuse(403, "DENIED", "adding 2.6 MiB of storage resource, which when updated to current usage of 8.3 KiB will exceed the configured upper limit of 1.0 MiB."),
		)(nil, nil, rnd)
		full := c.full
		return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			_, _ = io.Copy(io.Discard, r.Body)
			full(w, r, n, next)
		}
	}},
}

// flipOne changes one bit of content that comes in pieces: at a place, or in the last byte of the first piece.
func flipOne(at int) func([]byte) {
	done := false
	return func(p []byte) {
		if !done && len(p) > 0 {
			p[min(at, len(p)-1)] ^= 1
			done = true
		}
	}
}

// sent lets the registry get other content than was sent.
func sent(change func([]byte)) Manner {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		r.Body = struct {
			io.Reader
			io.Closer
		}{changed{r.Body, change}, r.Body}
		next(w, r)
	}
}

type changed struct {
	io.Reader
	change func([]byte)
}

func (c changed) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.change(p[:n])
	return n, err
}
