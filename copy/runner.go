package copy

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// job is something to do. The do functions run concurrently; the others run one at a time: done after
// do returned without error, and it may add jobs; failed after it returned one. Without failed, an error ends
// the run.
type job struct {
	do     func(context.Context) error
	done   func()
	failed func(error)
}

// finished is a job that was done, or failed.
type finished struct {
	job
	err error
}

// runner works off a queue with a fixed number of workers. Only one goroutine at a time touches the
// queue and whatever done functions touch, so neither needs a lock.
type runner struct {
	jobs   int
	urgent []job // first
	queue  []job
	rest   func() (job, bool) // gives what follows the queue, when that is empty, while there is more; may be nil
}

// add queues a job behind all others.
func (r *runner) add(j job) { r.queue = append(r.queue, j) }

// next queues a job before those that were added.
func (r *runner) next(j job) { r.urgent = append(r.urgent, j) }

// run returns when the queue is empty and every job done, or with the first error.
func (r *runner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	todo, results := make(chan job), make(chan finished)
	for range r.jobs {
		g.Go(func() error {
			for j := range todo {
				err := j.do(ctx)
				if err != nil && (j.failed == nil || ctx.Err() != nil) {
					return err
				}
				select {
				case results <- finished{j, err}:
				case <-ctx.Done(): // nobody takes it any more
					return ctx.Err()
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(todo)
		for busy := 0; ; {
			r.refill()
			if busy == 0 && len(r.urgent)+len(r.queue) == 0 {
				return nil
			}
			from := &r.queue
			if len(r.urgent) > 0 {
				from = &r.urgent
			}
			var out chan<- job
			var first job
			if len(*from) > 0 {
				out, first = todo, (*from)[0]
			}
			select {
			case out <- first:
				*from = (*from)[1:]
				busy++
			case j := <-results:
				busy--
				if j.err != nil {
					j.failed(j.err)
				} else {
					j.done()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return g.Wait()
}

// refill takes the next job of the rest when nothing else is queued.
func (r *runner) refill() {
	for r.rest != nil && len(r.urgent)+len(r.queue) == 0 {
		j, more := r.rest()
		if !more {
			r.rest = nil
			return
		}
		r.add(j)
	}
}
