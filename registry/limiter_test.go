package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/hostileregistry"
)

func request(t *testing.T, method, url string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	return req
}

// TestLimiter: refusals of requests under way together halve the limit once; successful answers
// raise it; requests that failed before go first.
func TestLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &limiter{least: 8, most: 8}
		g := l.gate("host:443", http.MethodGet)
		enter := func(again bool) *slot {
			s, err := g.enter(t.Context(), again)
			require.NoError(t, err)
			return s
		}
		together := []*slot{enter(false), enter(false), enter(false), enter(false)}
		wave := g.begin()
		for i := range together {
			assert.Equal(t, i == 0, g.refusedIn(wave, true) > 0)
		}
		assert.Equal(t, 4.0, g.limit)
		assert.Equal(t, 1, g.condition().refused)
		for _, want := range []float64{4.25, 4.25 + 1/4.25} {
			g.succeeded()
			assert.Equal(t, want, g.limit)
		}
		assert.Zero(t, g.condition().refused)
		g.limit = 4

		var order []int
		var lock sync.Mutex
		for i := range 4 {
			go func() {
				s := enter(i == 3)
				lock.Lock()
				order = append(order, i)
				lock.Unlock()
				s.release()
			}()
			synctest.Wait()
		}
		assert.Empty(t, order, "all slots are taken")
		write, err := l.gate("host:443", http.MethodPut).enter(t.Context(), false)
		require.NoError(t, err, "writing has its own")
		write.release()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = g.enter(ctx, false)
		assert.ErrorIs(t, err, context.Canceled)
		together[0].release()
		together[0].release()
		synctest.Wait()
		assert.Equal(t, []int{3, 0, 1, 2}, order)
		assert.Equal(t, 3, g.busy)
		for _, s := range together {
			s.release()
		}
		assert.Zero(t, g.busy)
		for range 20 {
			g.refusedIn(g.begin(), true)
		}
		assert.Equal(t, 1.0, g.limit)
		for range 100 {
			g.succeeded()
		}
		assert.Equal(t, 8.0, g.limit)
	})
}

// TestOneSlot: copying within a registry that allows one request at a time uses one slot for
// writing and one for reading. All slots are given back.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	c, _ := client(t, Options{Jobs: 1})
	from, to := c.Writer(parseRepo(t, s.Addr+"/from")), c.Writer(parseRepo(t, s.Addr+"/to"))
	require.NoError(t, from.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
	s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		switch {
		case n == 1 && r.Method == http.MethodPut:
			hostileregistry.Take(1000)(w, r, n, next)
		case n == 1 && r.Method == http.MethodGet:
			hostileregistry.Cut(5000)(w, r, n, next)
		case n == 2 && r.Method == http.MethodGet:
			w.WriteHeader(429)
		default:
			next(w, r)
		}
	})
	require.NoError(t, to.PutBlob(t.Context(), blobDesc, func(ctx context.Context) (io.ReadCloser, error) {
		return from.Blob(ctx, from.name, blobDesc)
	}))
	assert.True(t, s.HasBlob("to", blobDesc.Digest.String()))
	allGivenBack(t, c)
}

// answers is a RoundTripper that answers with a status.
func answers(status func() int) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status(), Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
	}
}

// TestBudget: a registry that is down does not get five times the requests, and one that fails
// every fifth request is usable.
func TestBudget(t *testing.T) {
	t.Parallel()
	const requests = 3000
	run := func(status func() int) (sent int, failed []error) {
		c, _ := client(t, Options{})
		c.base.inner = answers(func() int { sent++; return status() })
		for i := range requests {
			res, err := c.base.RoundTrip(request(t, http.MethodGet, fmt.Sprint("https://host/", i)))
			if err != nil {
				failed = append(failed, err)
				continue
			}
			require.NoError(t, res.Body.Close())
		}
		return sent, failed
	}
	sent, failed := run(func() int { return 503 })
	assert.Equal(t, requests+100, sent)
	assert.ErrorContains(t, failed[0], "(5 tries)")
	assert.ErrorContains(t, failed[requests-1], "503 Service Unavailable; not retried: too many requests of this run failed")

	chance := rand.New(rand.NewPCG(1, 2))
	sent, failed = run(func() int {
		if chance.IntN(5) == 0 {
			return 500
		}
		return 200
	})
	assert.Less(t, sent, requests*4/3)
	assert.Less(t, len(failed), 5, "five failures in a row are rare")
	for _, err := range failed {
		assert.ErrorContains(t, err, "(5 tries)")
	}

	dead := false
	sent, _ = run(func() int {
		if dead = dead || chance.IntN(1000) == 0; dead {
			return 502
		}
		return 200
	})
	assert.Less(t, sent, requests+100+requests/2)
}
