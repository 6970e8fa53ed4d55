package copy

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// graph is random work: each job may run when those it waits for are done.
type graph struct {
	r       runner
	waits   []int
	users   [][]int
	took    []time.Duration
	started []bool
	done    []bool
	order   []int
	fails   int // index of the job that fails, or -1
}

func randomGraph(rnd *rand.Rand) *graph {
	n := rnd.IntN(60)
	g := &graph{r: runner{jobs: 1 + rnd.IntN(8)}, waits: make([]int, n), users: make([][]int, n),
		took: make([]time.Duration, n), started: make([]bool, n), done: make([]bool, n), fails: -1}
	for i := range n {
		g.took[i] = time.Duration(rnd.IntN(5)) * time.Second
		for j := range i {
			if rnd.IntN(8) == 0 {
				g.waits[i]++
				g.users[j] = append(g.users[j], i)
			}
		}
	}
	for i := range n {
		if g.waits[i] == 0 {
			g.r.add(g.job(i))
		}
	}
	return g
}

var errJob = errors.New("job")

func (g *graph) job(i int) job {
	return job{
		do: func(ctx context.Context) error {
			g.started[i] = true
			if err := sleep(ctx, g.took[i]); err != nil {
				return err
			}
			if i == g.fails {
				return errJob
			}
			return nil
		},
		done: func() {
			g.done[i] = true
			g.order = append(g.order, i)
			for k, user := range g.users[i] {
				if g.waits[user]--; g.waits[user] == 0 {
					if k%2 == 0 {
						g.r.next(g.job(user))
					} else {
						g.r.add(g.job(user))
					}
				}
			}
		},
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestRunner runs random graphs of jobs: all jobs are done, each after those it waited for; with a
// failing job or a cancelled context, run returns that error, and nothing is left running or blocked,
// which synctest would report.
func TestRunner(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			g := randomGraph(rnd)
			n := len(g.waits)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			how := seed % 3
			switch {
			case n == 0:
				how = 0
			case how == 1:
				g.fails = rnd.IntN(n)
			case how == 2:
				time.AfterFunc(time.Duration(rnd.IntN(5))*time.Second, cancel)
			}
			err := g.r.run(ctx)
			switch {
			case how == 1:
				require.ErrorIs(t, err, errJob, "seed %d", seed)
				assert.False(t, g.done[g.fails])
			case how == 2 && err != nil:
				require.ErrorIs(t, err, context.Canceled, "seed %d", seed)
			default:
				require.NoError(t, err)
				assert.Len(t, g.order, n, "seed %d", seed)
			}
			at := make([]int, n)
			for i, j := range g.order {
				at[j] = i + 1
			}
			for i := range n {
				for _, user := range g.users[i] {
					if g.started[user] {
						assert.True(t, g.done[i], "seed %d: job %d started before %d was done", seed, user, i)
					}
					if g.done[user] {
						assert.Less(t, at[i], at[user], "seed %d", seed)
					}
				}
			}
		})
	}
}

// Workers that finish while nobody takes their results any more do not block.
func TestRunnerCancelledWhileBusy(t *testing.T) {
	t.Parallel()
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		r := runner{jobs: 2}
		for i := range 50 {
			r.add(job{
				do: func(context.Context) error {
					if i == 25 {
						cancel()
					}
					return nil
				},
				done: func() {},
			})
		}
		if err := r.run(ctx); err != nil {
			assert.ErrorIs(t, err, context.Canceled)
		}
		cancel()
	}
}
