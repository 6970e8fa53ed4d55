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

// Passwords are the names and passwords of those who may read. ReadPasswords makes them.
type Passwords struct {
	hashes  map[string][]byte
	decoy   []byte                            // a hash to compare for unknown names, so that they take as long
	matches func(hash, password []byte) error // bcrypt, which is slow
	turns   turns
	key     []byte // of the hashes of logins

	mu      sync.Mutex
	right   map[string]login // the last right login of each name
	wrong   recent[login]    // logins that were refused
	failing recent[attempt]  // refusals of addresses, and of names from them
}

// login is a keyed hash of a name and a password. Neither stays in memory.
type login [sha256.Size]byte

// attempt is an address, or a name tried from it.
type attempt struct {
	address string            // without a port
	name    [sha256.Size]byte // zero for any
}

// maxRecent is how many wrong logins are remembered in total.
const maxRecent = 4096

// recent counts events by key. At most maxRecent keys are kept; the oldest is forgotten first.
type recent[K comparable] struct {
	times map[K]int32
	order []K // of arrival, as a ring
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

// maxCost is the highest bcrypt cost: a comparison takes seconds at most.
const maxCost = 14

// ReadPasswords reads an htpasswd file with bcrypt hashes ("htpasswd -B"), one name:hash a line.
//
// Errors: a line of another format, a cost above 14, a name that occurs twice, no names.
func ReadPasswords(text []byte) (*Passwords, error) {
	p := &Passwords{hashes: map[string][]byte{}, right: map[string]login{}, key: make([]byte, 32), matches: bcrypt.CompareHashAndPassword}
	p.turns.free = max(runtime.GOMAXPROCS(0)/2, 1) // leave processors to other requests
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

// protect returns a handler that requires a name and its password, but for /healthz. Methods that
// write get their usual refusal without a login.
func (p *Passwords) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads || r.URL.Path == "/healthz" {
			h.ServeHTTP(w, r)
			return
		}
		right, err := p.allows(r)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stall)) // the login may have waited
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

// allows reports whether a request has a right name and password. A login that was compared before
// is known without bcrypt and without waiting; answers to wrong logins are delayed. The error says
// that too many logins wait.
func (p *Passwords) allows(r *http.Request) (right bool, err error) {
	name, password, ok := r.BasicAuth()
	if !ok || len(password) > 72 { // bcrypt ignores the rest
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

// login returns the hash of a name, which has no colon, and a password.
func (p *Passwords) login(name, password string) (l login) {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(name + ":" + password))
	mac.Sum(l[:0])
	return l
}

// recall reports whether a login was right, if it was compared before.
func (p *Passwords) recall(name string, l login) (right, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was, ok := p.right[name]; ok && hmac.Equal(was[:], l[:]) {
		return true, true
	}
	return false, p.wrong.times[l] > 0
}

// compare compares with bcrypt and remembers the result. Unknown names take as long as known ones.
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

// failed returns how often the client of a request was wrong recently.
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
