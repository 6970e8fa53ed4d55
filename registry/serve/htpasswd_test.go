package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// comparing is how long a comparison takes in these tests, in a synctest bubble.
const comparing = 300 * time.Millisecond

// slow returns passwords of a user "right" and others. It compares one at a time, and counts
// comparisons.
func slow(t *testing.T) (p *Passwords, compared *atomic.Int32) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	p, err = ReadPasswords(fmt.Appendf(nil, "right:%s\nother:%s\n", hash, hash))
	require.NoError(t, err)
	compared = new(atomic.Int32)
	p.turns.free = 1
	p.matches = func(_, password []byte) error {
		compared.Add(1)
		time.Sleep(comparing)
		if !bytes.Equal(password, []byte("secret")) {
			return errors.New("wrong")
		}
		return nil
	}
	return p, compared
}

// request is a request from an address, on a connection of its own.
func request(ctx context.Context, address, name, password string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil).WithContext(countFailures(ctx, nil))
	r.RemoteAddr = address + ":1234"
	r.SetBasicAuth(name, password)
	return r
}

// TestWrongLogins: however many wrong logins clients try, a right one waits for a few comparisons
// at most, and one that was right before for none.
func TestWrongLogins(t *testing.T) {
	t.Parallel()
	const clients = 100
	for how, try := range map[string]func(ctx context.Context, client, n int, last *http.Request) *http.Request{
		"one wrong password": func(ctx context.Context, _, _ int, _ *http.Request) *http.Request {
			return request(ctx, "10.0.0.1", "right", "wrong")
		},
		"always another, on one connection": func(ctx context.Context, client, n int, last *http.Request) *http.Request {
			if last == nil {
				last = request(ctx, "10.0.0.1", "right", "")
			}
			last.SetBasicAuth("right", fmt.Sprint(client, n))
			return last
		},
		"always another, on a new connection": func(ctx context.Context, client, n int, _ *http.Request) *http.Request {
			return request(ctx, "10.0.0.1", "right", fmt.Sprint(client, n))
		},
		"another name": func(ctx context.Context, client, n int, _ *http.Request) *http.Request {
			return request(ctx, "10.0.0.1", "other", fmt.Sprint(client, n))
		},
		"names that are not there": func(ctx context.Context, client, n int, _ *http.Request) *http.Request {
			return request(ctx, "10.0.0.1", fmt.Sprint(client, n), "secret")
		},
		"another address": func(ctx context.Context, client, n int, _ *http.Request) *http.Request {
			return request(ctx, fmt.Sprint("10.0.1.", client), "right", fmt.Sprint(n))
		},
	} {
		for _, after := range []time.Duration{10 * time.Millisecond, 7 * time.Second, 100 * time.Second} {
			t.Run(fmt.Sprint(how, ", after ", after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, _ := slow(t)
					ctx, stop := context.WithCancel(t.Context())
					var running sync.WaitGroup
					for client := range clients {
						running.Go(func() {
							var last *http.Request
							for n := 0; ctx.Err() == nil; n++ {
								last = try(ctx, client, n, last)
								right, _ := p.allows(last)
								assert.False(t, right)
							}
						})
					}
					time.Sleep(after)
					for range 2 {
						start := time.Now()
						right, err := p.allows(request(t.Context(), "10.0.0.1", "right", "secret"))
						require.NoError(t, err)
						assert.True(t, right)
						assert.LessOrEqual(t, time.Since(start), 10*comparing)
						start = time.Now()
						right, err = p.allows(request(t.Context(), "10.0.0.1", "right", "secret"))
						require.NoError(t, err)
						assert.True(t, right)
						assert.Zero(t, time.Since(start))
						p.mu.Lock()
						clear(p.right) // again, as if it were the first
						p.mu.Unlock()
					}
					stop()
					running.Wait()
				})
			})
		}
	}
}

// TestSameLoginTogether: of many requests with one login, one is compared, and none waits longer.
func TestSameLoginTogether(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]bool{"secret": true, "wrong": false} {
		synctest.Test(t, func(t *testing.T) {
			p, compared := slow(t)
			var running sync.WaitGroup
			for range 100 {
				running.Go(func() {
					start := time.Now()
					right, err := p.allows(request(t.Context(), "10.0.0.1", "right", password))
					assert.NoError(t, err)
					assert.Equal(t, want, right)
					assert.LessOrEqual(t, time.Since(start), max(comparing, minHold))
				})
			}
			running.Wait()
			assert.Equal(t, int32(1), compared.Load())
		})
	}
}

// TestLoginsTakeTheSame: the time of a wrong login does not show which names exist, whatever the
// cost of their hashes, nor whether it was tried before.
func TestLoginsTakeTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := slow(t)
		p.matches = func(hash, _ []byte) error {
			time.Sleep(comparing)
			if bytes.Equal(hash, p.decoy) {
				time.Sleep(comparing)
			}
			return errors.New("wrong")
		}
		for _, name := range []string{"right", "nobody", "right", "nobody"} {
			start := time.Now()
			right, err := p.allows(request(t.Context(), "10.0.0.1", name, "wrong"))
			require.NoError(t, err)
			assert.False(t, right)
			assert.Equal(t, minHold, time.Since(start), name)
			time.Sleep(time.Minute)
		}
	})
}

// TestLoginsAreBounded: however many wrong logins arrive, few wait and few are remembered. The
// others get 429, and clients that leave use no memory.
func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, compared := slow(t)
		var running sync.WaitGroup
		var crowded, refused atomic.Int32
		ctx, leave := context.WithCancel(t.Context())
		h := p.protect(http.NotFoundHandler())
		for n := range 2 * maxWaiting {
			running.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request(ctx, "10.0.0.1", "right", fmt.Sprint(n)))
				switch w.Code {
				case http.StatusTooManyRequests:
					assert.Equal(t, "1", w.Header().Get("Retry-After"))
					crowded.Add(1)
				case http.StatusUnauthorized:
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		assert.Equal(t, int32(maxWaiting-1), crowded.Load(), "one is compared, and as many as may wait do")
		assert.Len(t, p.turns.waiting, maxWaiting)
		leave()
		running.Wait()
		assert.Empty(t, p.turns.waiting)
		assert.Equal(t, int32(1), compared.Load())
		right, err := p.allows(request(t.Context(), "10.0.0.1", "right", "secret"))
		require.NoError(t, err)
		assert.True(t, right, "the turn was given back")

		p.matches = func(_, _ []byte) error { return errors.New("wrong") }
		for n := range 2 * maxRecent {
			gone, leave := context.WithCancel(t.Context())
			leave()
			_, _ = p.allows(request(gone, fmt.Sprint(n), fmt.Sprint(n), "wrong"))
		}
		assert.Len(t, p.wrong.times, maxRecent)
		assert.Len(t, p.failing.times, maxRecent)
		assert.Len(t, p.right, 1)
	})
}
