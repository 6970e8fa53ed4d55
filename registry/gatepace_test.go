package registry

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// far is a registry at a distance, which works on some requests at once and queues the others.
type far struct {
	distance time.Duration // there and back
	work     time.Duration // for each request
	workers  chan struct{}
}

func newFar(distance, work time.Duration, workers int) *far {
	return &far{distance, work, make(chan struct{}, workers)}
}

// ask sends n requests through a gate, 64 at once if the gate allows, and returns how long they take.
func (f *far) ask(t *testing.T, g *gate, n int) time.Duration {
	start := time.Now()
	todo := make(chan struct{}, n)
	for range n {
		todo <- struct{}{}
	}
	close(todo)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range todo {
				s, err := g.enter(t.Context(), false)
				require.NoError(t, err)
				sent := time.Now()
				time.Sleep(f.distance)
				f.workers <- struct{}{}
				time.Sleep(f.work)
				<-f.workers
				g.succeeded()
				g.answered(kind{http.MethodHead, true, http.StatusOK}, time.Since(sent))
				s.release()
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// TestPace: a near registry gets the least, a far one as many requests as it can work on.
func TestPace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		far
		from, to float64
	}{
		"near":          {*newFar(0, 2*time.Millisecond, 2), 8, 8},
		"far and large": {*newFar(20*time.Millisecond, time.Millisecond, 64), 32, 32},
		"far and small": {*newFar(20*time.Millisecond, 2500*time.Microsecond, 2), 12, 26}, // 18 keep it busy
		"slow":          {*newFar(0, 100*time.Millisecond, 64), 32, 32},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.workers = make(chan struct{}, cap(c.workers)) // of the bubble
				g := (&limiter{least: 8, most: 32}).gate("host:443", http.MethodHead)
				c.ask(t, g, 1) // as the first of a run
				c.ask(t, g, 2000)
				assert.GreaterOrEqual(t, g.most, c.from)
				assert.LessOrEqual(t, g.most, c.to)
				assert.LessOrEqual(t, g.peak, 32)
			})
		})
	}
}

// TestPaceOfBusyHost: a host that becomes slow, or says that it is overloaded, gets fewer again.
func TestPaceOfBusyHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := (&limiter{least: 8, most: 32}).gate("host:443", http.MethodHead)
		newFar(20*time.Millisecond, time.Millisecond, 64).ask(t, g, 500)
		require.Equal(t, 32.0, g.most)
		g.refusedIn(g.begin(), true)
		assert.Equal(t, 16.0, g.limit)
		assert.Equal(t, 16.0, g.most, "it gets no more than half at once")
		newFar(20*time.Millisecond, time.Millisecond, 64).ask(t, g, 17)
		assert.LessOrEqual(t, g.most, 18.0, "and then one more after another")
		newFar(20*time.Millisecond, 10*time.Millisecond, 1).ask(t, g, 1000)
		assert.Equal(t, 8.0, g.most)
	})
}

// TestFixedPace: a number that was asked for stays.
func TestFixedPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := (&limiter{least: 5, most: 5}).gate("host:443", http.MethodHead)
		newFar(time.Second, time.Millisecond, 64).ask(t, g, 200)
		assert.Equal(t, 5.0, g.most)
		assert.Equal(t, 5, g.peak)
	})
}
