package copy

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// job is something to do. The do functions run concurrently. The others run one at a time: done
// after do returned without error, and it may add jobs; failed after do returned an error. Where
// failed is nil, an error ends the run.
type job struct {
	do     func(context.Context) error
	done   func()
	failed func(error)
}

// outcome is what a job's do returned.
type outcome struct {
	of  job
	err error
}

// runner works off a queue with a fixed number of workers. Only one goroutine at a time touches the
// queue and what done and failed functions touch, so neither needs a lock.
type runner struct {
	jobs   int   // workers
	urgent []job // first
	queue  []job
	rest   func() (job, bool) // gives the jobs after the queue, when it is empty, until it returns false; may be nil
}

// add queues a job behind all others.
func (r *runner) add(j job) { r.queue = append(r.queue, j) }

// next queues a job before those that were added.
func (r *runner) next(j job) { r.urgent = append(r.urgent, j) }

// run returns when the queue is empty and every job done, or with the first error.
func (r *runner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	todo, outcomes := make(chan job), make(chan outcome)
	for range r.jobs {
		g.Go(func() error { return work(ctx, todo, outcomes) })
	}
	g.Go(func() error {
		defer close(todo)
		return r.dispatch(ctx, todo, outcomes)
	})
	return g.Wait()
}

// work does jobs until todo is closed, or one fails whose failure ends the run.
func work(ctx context.Context, todo <-chan job, outcomes chan<- outcome) error {
	for j := range todo {
		err := j.do(ctx)
		if err != nil && (j.failed == nil || ctx.Err() != nil) {
			return err
		}
		select {
		case outcomes <- outcome{j, err}:
		case <-ctx.Done(): // nobody receives any longer
			return ctx.Err()
		}
	}
	return nil
}

// dispatch hands out the queued jobs and settles their outcomes, until nothing is queued or under
// way.
func (r *runner) dispatch(ctx context.Context, todo chan<- job, outcomes <-chan outcome) error {
	for busy := 0; ; {
		r.refill()
		if busy == 0 && len(r.urgent)+len(r.queue) == 0 {
			return nil
		}
		from := &r.queue
		if len(r.urgent) > 0 {
			from = &r.urgent
		}
		var out chan<- job // nil, which blocks, when nothing is queued
		var first job
		if len(*from) > 0 {
			out, first = todo, (*from)[0]
		}
		select {
		case out <- first:
			*from = (*from)[1:]
			busy++
		case o := <-outcomes:
			busy--
			o.settle()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle calls the job's done or failed function.
func (o outcome) settle() {
	if o.err != nil {
		o.of.failed(o.err)
	} else {
		o.of.done()
	}
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
