package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry"
	"relocate/testdata/hostileregistry"
)

// ordeal is one entry of the catalogue: what a registry does, and what becomes of it.
type ordeal struct {
	name   string
	manner hostileregistry.Manner
	status []int    // exit status; empty: it gets through
	says   []string // on stderr
	args   []string
	most   int  // requests, in those of a registry that behaves; 0 means 5, as often as one request is tried
	lies   bool // it says that it has what it has not: the import believes it, and verify finds it
}

// quick are times for cases in which a registry keeps us waiting.
var quick = []string{"--registry-idle-timeout", "300ms", "--registry-response-header-timeout", "300ms"}

// The credentials of every case, which no other host may see.
const canaryUser, canaryPassword = "canary", "s3cret-canary"

// hostileArgs are arguments that all cases have.
func hostileArgs(c ordeal, args ...string) []string {
	return slices.Concat(args, c.args, []string{
		"--registry-retry-wait", "1ms", "--registry-username", canaryUser, "--registry-password", canaryPassword,
	})
}

// judgeHostile looks at what one run left, which took its time, and says whether it got through.
func judgeHostile(t *testing.T, c ordeal, s *hostileregistry.Registry, usual int, r result) bool {
	t.Helper()
	assert.LessOrEqual(t, len(s.Requests()), max(c.most, 5)*usual, "requests; a registry that behaves gets %d", usual)
	assert.NotContains(t, r.stdout+r.stderr, canaryPassword)
	assert.Equal(t, printable(r.stderr), r.stderr, "the terminal would obey")
	assertAll(t, r.stderr, c.says...)
	if len(c.status) == 0 {
		return assert.Zero(t, r.status, r.stderr)
	}
	assert.Contains(t, c.status, r.status, r.stderr)
	if r.status != 0 {
		assert.Contains(t, r.stderr, "relocate: ")
		assert.Empty(t, r.stdout)
	}
	return r.status == 0
}

// runHostile runs the program, which must end by itself.
func runHostile(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return relocateContext(ctx, args...)
}

// pushHostile pushes a package repository to a registry and returns its reference and digest. It has a
// layer of 600 kB, an index and a package.
func pushHostile(t *testing.T, host string) (ref, digest string) {
	t.Helper()
	s := site{t: t, host: host}
	app := s.image("corp/app", "1", "a small layer", noise("layer", 600_000))
	index := s.index("corp/tool", "1", s.image("corp/tool", "", "amd64"), s.image("corp/tool", "", "arm64"))
	pkg := s.bundle("corp/package", "1", nil, s.ref("corp/app", app), s.ref("corp/tool", index))
	root := s.bundle("corp/repository", "1.0.0", map[string]string{
		"packages/a.yml": packageText("a.corp.com", "1.0.0", s.ref("corp/package", pkg)),
	}, s.ref("corp/package", pkg))
	return host + "/corp/repository:1.0.0", root.Digest.String()
}

// largeLayer is the digest of the layer that breaks, stalls and is too large.
var largeLayer = digestOf([]byte(noise("layer", 600_000)))

// TestHostileSource exports from registries that misbehave. What gets through is what was pushed; what
// does not leaves no archive.
func TestHostileSource(t *testing.T) {
	t.Parallel()
	usual := usualRequests(t, func(s *hostileregistry.Registry) {
		ref, _ := pushHostile(t, s.Addr)
		s.Behave(nil)
		mustRelocate(t, hostileArgs(ordeal{}, "-b", ref, "--to-tar", filepath.Join(t.TempDir(), "r.tar"))...)
	})
	for _, c := range hostileSources(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := hostileregistry.Start(t)
			ref, root := pushHostile(t, s.Addr)
			s.Behave(c.manner)
			dir := t.TempDir()
			archive := filepath.Join(dir, "repository.tar")
			r := runHostile(t, hostileArgs(c, "-b", ref, "--to-tar", archive)...)
			if !judgeHostile(t, c, s, usual, r) {
				assert.NotContains(t, namesIn(t, dir), "repository.tar")
				return
			}
			mustRelocate(t, "verify", archive, "--root", root)
		})
	}
}

// TestHostileDestination imports into registries that misbehave. What gets through is there, to the last
// byte; after what does not, no tag shows the root, and a registry that has come to reason takes the
// same import.
func TestHostileDestination(t *testing.T) {
	t.Parallel()
	source := hostileregistry.Start(t)
	ref, root := pushHostile(t, source.Addr)
	archive := export(t, ref)
	usual := usualRequests(t, func(s *hostileregistry.Registry) {
		mustRelocate(t, hostileArgs(ordeal{}, "--from-tar", archive, "--to-repo", s.Addr+"/all")...)
	})
	for _, c := range hostileDestinations(t, root) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := hostileregistry.Start(t)
			s.Behave(c.manner)
			repo := s.Addr + "/all"
			r := runHostile(t, hostileArgs(c, "--from-tar", archive, "--to-repo", repo)...)
			through := judgeHostile(t, c, s, usual, r)
			s.Behave(nil)
			switch verify := tryRelocate(t, "verify", "--repo", repo, archive, "--level", "deep"); {
			case c.lies:
				assert.Equal(t, statusMissing, verify.status, verify.stdout+verify.stderr)
			case through:
				assert.Zero(t, verify.status, verify.stdout+verify.stderr)
				return
			default:
				assert.False(t, has(t, s.Addr, "/v2/all/manifests/1.0.0"), "the root shows itself")
			}
			mustRelocate(t, "--from-tar", archive, "--to-repo", repo, "--trust-registry", "nothing")
			mustRelocate(t, "verify", "--repo", repo, archive, "--level", "deep")
		})
	}
}

// usualRequests counts the requests of a run with a registry that behaves.
func usualRequests(t *testing.T, f func(s *hostileregistry.Registry)) int {
	t.Helper()
	s := hostileregistry.Start(t)
	f(s)
	require.NotEmpty(t, s.Requests())
	return len(s.Requests())
}

// stranger is a host that a registry may lead to. It notes credentials, which it must never see.
type stranger struct {
	addr string // at localhost, a host of its own
	mu   sync.Mutex
	seen []string
}

// startStranger starts a host with an answer, until the test ends, when it must have seen no credentials.
func startStranger(t *testing.T, h http.HandlerFunc) *stranger {
	t.Helper()
	s := &stranger{}
	server := startMemory(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.seen = append(s.seen, r.Header.Values("Authorization")...)
			s.mu.Unlock()
			h(w, r)
		})
	})
	s.addr = strings.Replace(server, "127.0.0.1", "localhost", 1)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, header := range s.seen {
			assert.NotContains(t, header, "Basic", "credentials for another host")
			assert.NotContains(t, header, "registry-token", "a token for another host")
		}
	})
	return s
}

// tokenManner lets a registry want tokens from a realm, or from itself, each good for so many requests.
// A refusal names no scope.
func tokenManner(realm string, uses int) hostileregistry.Manner {
	var mu sync.Mutex
	left, given := uses, 0
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) {
		mu.Lock()
		defer mu.Unlock() // one request at a time, so that tokens end where they end
		if r.URL.Path == "/token" {
			left, given = uses, given+1
			hostileregistry.Answer(200, `{"token":"registry-token-`+string(rune('a'+given%26))+`"}`)(w, r, 0, next)
			return
		}
		if left--; left < 0 || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer registry-token-") {
			refuseToken(realm, w, r)
			return
		}
		next(w, r)
	}
}

// refuseToken says that a token is not good, and where there are others; the registry itself has them
// where no realm is given.
func refuseToken(realm string, w http.ResponseWriter, r *http.Request) {
	realm = cmp.Or(realm, "http://"+r.Host+"/token")
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="s"`, realm))
	w.WriteHeader(http.StatusUnauthorized)
}

// fifth lets about every fifth request of the whole run fail; not just every fifth, which may be the same
// one of each try, and none as often as the program tries it.
func fifth(m hostileregistry.Manner) hostileregistry.Manner {
	var mu sync.Mutex
	count, failing, gaps, failed := 0, 3, []int{5, 3, 7, 4, 6}, map[string]int{}
	return func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		path, _, _ := strings.Cut(r.URL.Path, "/uploads/") // without the number of the upload
		what := r.Method + " " + path + " " + r.URL.Query().Get("digest")
		mu.Lock()
		count++
		fails := count >= failing && failed[what] < registry.Defaults().Tries-1
		if fails {
			failed[what]++
			failing = count + gaps[0]
			gaps = append(gaps[1:], gaps[0])
		}
		mu.Unlock()
		if fails {
			m(w, r, n, next)
			return
		}
		next(w, r)
	}
}

// TestHostileCatalogue: the catalogue is long, and each name is there once.
func TestHostileCatalogue(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, c := range slices.Concat(hostileSources(t), hostileDestinations(t, "sha256:")) {
		assert.False(t, names[c.name], "twice: %s", c.name)
		names[c.name] = true
	}
	assert.GreaterOrEqual(t, len(names), 100)
}
