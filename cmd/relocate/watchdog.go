package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// How long nothing may move, how often that is looked at, how much processor time in between is a sign of
// work, and how long a command that was ended may take to return.
const (
	stillFor  = 10 * time.Minute
	looksEach = stillFor / 20
	working   = 500 * time.Millisecond // a live line takes less
	returnsIn = 10 * time.Second
)

// hangError says that a command was ended because nothing moved.
type hangError struct {
	file string // the goroutines; empty when they could not be written
}

func (e hangError) Error() string {
	s := fmt.Sprintf("nothing has moved for %v", stillFor)
	if e.file != "" {
		s += "; what the program was doing is in " + e.file
	}
	return s
}

// watchdog ends a command in which nothing moves: no byte, no answer, no progress, and nothing is computed:
// to hash a large layer again takes long, and moves nothing. It knows of waits for standard input and output,
// and no wait for a registry is as long as stillFor. It watches from the first phase on.
type watchdog struct {
	ctx    context.Context // of the command
	cancel context.CancelCauseFunc
	give   func(error) // for a command that does not return
	cpu    func() time.Duration
	active atomic.Bool
	held   atomic.Int32 // waits for a person or another program
	last   atomic.Int64 // when something moved, in nanoseconds
}

type watchdogKey struct{}

// watched returns the context of a command that a watchdog watches; stop ends it. What does not return is
// given up by give.
func watched(ctx context.Context, give func(error)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{ctx: ctx, cancel: cancel, give: give, cpu: cpuTime}
	return context.WithValue(ctx, watchdogKey{}, w), func() { cancel(nil) }
}

// watchdogIn returns the watchdog of a command's context; one that does nothing where there is none.
func watchdogIn(ctx context.Context) *watchdog {
	if w, ok := ctx.Value(watchdogKey{}).(*watchdog); ok {
		return w
	}
	return &watchdog{ctx: ctx}
}

// start begins to watch.
func (w *watchdog) start() {
	if w.cancel == nil || w.active.Swap(true) {
		return
	}
	w.moved()
	go func() {
		ticker := time.NewTicker(looksEach)
		defer ticker.Stop()
		for before := w.cpu(); ; {
			select {
			case <-w.ctx.Done():
				return
			case <-ticker.C:
			}
			used := w.cpu()
			if w.held.Load() > 0 || used-before >= working {
				w.moved()
			}
			before = used
			if time.Since(time.Unix(0, w.last.Load())) >= stillFor {
				w.end()
				return
			}
		}
	}()
}

func (w *watchdog) moved() { w.last.Store(time.Now().UnixNano()) }

// end writes down what the program does, and ends it.
func (w *watchdog) end() {
	file, err := writeGoroutines()
	hang := hangError{file}
	w.cancel(errors.Join(hang, err))
	time.AfterFunc(returnsIn, func() { w.give(hang) })
}

// writeGoroutines writes the stacks of all goroutines to a new file.
func writeGoroutines() (file string, err error) {
	f, err := os.CreateTemp("", "relocate-hang-*.txt")
	if err != nil {
		return "", err
	}
	err = errors.Join(pprof.Lookup("goroutine").WriteTo(f, 2), f.Close())
	return f.Name(), err
}

// waiting runs do, in which somebody else is waited for.
func (w *watchdog) waiting(do func() (int, error)) (int, error) {
	w.held.Add(1)
	defer w.held.Add(-1)
	n, err := do()
	if n > 0 {
		w.moved()
	}
	return n, err
}

// watchedInput is standard input, for which a command may wait for ever.
type watchedInput struct {
	io.Reader
	w *watchdog
}

// Name names it in errors of the library.
func (in watchedInput) Name() string { return "standard input" }

func (in watchedInput) Read(p []byte) (int, error) {
	return in.w.waiting(func() (int, error) { return in.Reader.Read(p) })
}
