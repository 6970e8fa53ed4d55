package serve

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Passwords are who may read.
type Passwords struct {
	hashes map[string][]byte
	nobody []byte // a hash for names that are not there, so that these take as long

	busy chan struct{} // bcrypt takes a processor: not all of them

	mu    sync.Mutex
	key   []byte            // of known
	known map[string][]byte // user → MAC of the password that was right last
}

// maxCost keeps bcrypt within seconds.
const maxCost = 14

// ReadPasswords reads an htpasswd file with bcrypt hashes ("htpasswd -B"), a line each.
func ReadPasswords(text []byte) (*Passwords, error) {
	p := &Passwords{hashes: map[string][]byte{}, known: map[string][]byte{}, key: make([]byte, 32), busy: make(chan struct{}, 1)}
	_, _ = rand.Read(p.key) // never fails
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
			return nil, fmt.Errorf("line %d is no name and bcrypt hash (htpasswd -B)", n)
		case is > maxCost:
			return nil, fmt.Errorf("line %d: a hash of cost %d takes too long; %d is the most", n, is, maxCost)
		case twice:
			return nil, fmt.Errorf("line %d: the name %q is there twice", n, user)
		}
		cost = max(cost, is)
		p.hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p.hashes) == 0 {
		return nil, errors.New("it names nobody")
	}
	var err error
	p.nobody, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	return p, err
}

// protect returns a handler that answers who gives a name and its password, and everybody on /healthz. What writes is
// refused for what it is, whoever asks.
func (p *Passwords) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads || r.URL.Path == "/healthz" || p.allows(r) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Www-Authenticate", `Basic realm="relocate"`)
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in with a name and a password")
	})
}

// allows reports whether a request has a right name and password. What was right once is found so again without
// bcrypt, which clients would wait for with every request.
func (p *Passwords) allows(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || len(password) > 72 { // of more, bcrypt sees nothing
		return false
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(password))
	sum := mac.Sum(nil)
	p.mu.Lock()
	known := p.known[user]
	p.mu.Unlock()
	if hmac.Equal(known, sum) {
		return true
	}
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	case <-r.Context().Done():
		return false
	}
	hash, exists := p.hashes[user]
	if !exists {
		hash = p.nobody
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !exists {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[user] = sum
	return true
}
