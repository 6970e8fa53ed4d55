package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Passwords are who may read.
type Passwords struct {
	hashes  map[string][]byte
	decoy   []byte                            // a hash for names that are not there, so that these take as long
	matches func(hash, password []byte) error // bcrypt: it takes a processor for long
	turns   turns
	key     []byte // of logins

	mu      sync.Mutex
	right   map[string]login // by name, the one that was right last
	wrong   recent[login]    // logins that were refused
	failing recent[attempt]  // how often addresses, and names from them, were refused
}

// login is a keyed hash of a name and a password: neither stays in memory.
type login [sha256.Size]byte

// attempt is who tries a name.
type attempt struct {
	address string            // without a port
	name    [sha256.Size]byte // zero for any
}

// maxRecent is how many wrong logins are remembered, whoever makes them.
const maxRecent = 4096

// recent counts things that happened; when there are many, it forgets those that began to be counted first.
type recent[K comparable] struct {
	times map[K]int32
	order []K // in which they came; it is a ring
	at    int
}

func (r *recent[K]) add(k K) {
	if r.times == nil {
		r.times = map[K]int32{}
	}
	if r.times[k]++; r.times[k] > 1 {
		return
	}
	if len(r.order) < maxRecent {
		r.order = append(r.order, k)
		return
	}
	delete(r.times, r.order[r.at])
	r.order[r.at] = k
	r.at = (r.at + 1) % maxRecent
}

// maxCost keeps bcrypt within seconds.
const maxCost = 14

// ReadPasswords reads an htpasswd file with bcrypt hashes ("htpasswd -B"), a line each.
func ReadPasswords(text []byte) (*Passwords, error) {
	p := &Passwords{hashes: map[string][]byte{}, right: map[string]login{}, key: make([]byte, 32), matches: bcrypt.CompareHashAndPassword}
	p.turns.free = max(runtime.GOMAXPROCS(0)/2, 1) // not all of the processors
	_, _ = rand.Read(p.key)                        // never fails
	cost := bcrypt.MinCost
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		is, err := bcrypt.Cost([]byte(hash))
		switch _, twice := p.hashes[user]; {
		case !ok || user == "" || err != nil:
			return nil, fmt.Errorf("line %d: not a name and a bcrypt hash (htpasswd -B)", n)
		case is > maxCost:
			return nil, fmt.Errorf("line %d: the bcrypt cost %d is above the limit of %d", n, is, maxCost)
		case twice:
			return nil, fmt.Errorf("line %d: duplicate name %q", n, user)
		}
		cost = max(cost, is)
		p.hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p.hashes) == 0 {
		return nil, errors.New("no users")
	}
	var err error
	p.decoy, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	return p, err
}

// protect returns a handler that answers who gives a name and its password, and everybody on /healthz. What writes is
// refused for what it is, whoever asks.
func (p *Passwords) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads || r.URL.Path == "/healthz" {
			h.ServeHTTP(w, r)
			return
		}
		right, err := p.allows(r)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stall)) // it may have waited
		if right {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if err != nil {
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", err.Error())
			return
		}
		w.Header().Set("Www-Authenticate", `Basic realm="relocate"`)
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in with a name and a password")
	})
}

// failures counts the wrong logins of a connection.
type failures struct{ atomic.Int32 }

type failuresKey struct{}

// countFailures is an http.Server's ConnContext.
func countFailures(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, failuresKey{}, &failures{})
}

// allows reports whether a request has a right name and password. What was right once is found so again
// without bcrypt and without waiting for others; so is what was wrong, which is answered late. The error
// says that too many logins wait.
func (p *Passwords) allows(r *http.Request) (right bool, err error) {
	name, password, ok := r.BasicAuth()
	if !ok || len(password) > 72 { // of more, bcrypt sees nothing
		return false, nil
	}
	l := p.login(name, password)
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	who := attempt{address, sha256.Sum256([]byte(name))}
	start, took := time.Now(), time.Duration(0)
	right, known := p.recall(name, l)
	for !known {
		switch p.turns.take(r.Context(), l, func() record { return p.failed(r, who) }) {
		case gone:
			return false, nil
		case crowded:
			return false, errors.New("too many logins at once; try again")
		case settled:
			right, known = p.recall(name, l)
			continue
		}
		if right, known = p.recall(name, l); !known {
			begin := time.Now()
			right, known = p.compare(name, password, l), true
			took = time.Since(begin)
		}
		p.turns.give(l)
	}
	if !right {
		p.fail(r, who)
		p.turns.hold(r.Context(), start, took)
	}
	return right, nil
}

// login returns the login of a name, which has no colon, and a password.
func (p *Passwords) login(name, password string) (l login) {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(name + ":" + password))
	mac.Sum(l[:0])
	return l
}

// recall reports whether a login was right, where that is known.
func (p *Passwords) recall(name string, l login) (right, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was, ok := p.right[name]; ok && hmac.Equal(was[:], l[:]) {
		return true, true
	}
	return false, p.wrong.times[l] > 0
}

// compare asks bcrypt, and remembers what it says. A name that is not there takes as long as one that is.
func (p *Passwords) compare(name, password string, l login) (right bool) {
	hash, exists := p.hashes[name]
	if !exists {
		hash = p.decoy
	}
	right = p.matches(hash, []byte(password)) == nil && exists
	p.mu.Lock()
	defer p.mu.Unlock()
	if right {
		p.right[name] = l
	} else {
		p.wrong.add(l)
	}
	return right
}

// failed returns how often whoever makes a request was wrong of late.
func (p *Passwords) failed(r *http.Request, who attempt) (f record) {
	if connection, ok := r.Context().Value(failuresKey{}).(*failures); ok {
		f[0] = connection.Load()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f[1], f[2] = p.failing.times[attempt{address: who.address}], p.failing.times[who]
	return f
}

func (p *Passwords) fail(r *http.Request, who attempt) {
	if connection, ok := r.Context().Value(failuresKey{}).(*failures); ok {
		connection.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing.add(attempt{address: who.address})
	p.failing.add(who)
}
