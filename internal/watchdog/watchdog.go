// Package watchdog ends a command that has stalled: no byte, no answer and no progress for Limit,
// and nothing is computed. Hashing a large layer takes long and moves nothing, but it uses the
// processor.
//
// Begin with Watch, whose context the command runs in. What moves is reported to the watchdog of
// that context. It promises never to end a command that waits for standard input or output, or that
// makes any progress.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// Limit is how long nothing may move. No wait for a registry is as long.
const Limit = 10 * time.Minute

const (
	interval  = Limit / 20             // between two checks
	busy      = 500 * time.Millisecond // processor time in an interval that is a sign of work; a live line uses less
	graceTime = 10 * time.Second       // for a command to return after it was ended
)

// StalledError says that a command was ended because nothing moved.
type StalledError struct {
	File string // with the stacks of all goroutines; empty when it could not be written
}

func (e StalledError) Error() string {
	s := fmt.Sprintf("nothing has moved for %v", Limit)
	if e.File != "" {
		s += "; the stacks of the program are in " + e.File
	}
	return s
}

// Watchdog watches one command. Its methods may be called concurrently.
type Watchdog struct {
	ctx     context.Context // of the command
	cancel  context.CancelCauseFunc
	abandon func(error)
	cpu     func() time.Duration
	active  atomic.Bool
	waits   atomic.Int32 // for a person or another program, now
	last    atomic.Int64 // when something moved, in nanoseconds
}

type contextKey struct{}

// Watch returns a context with a watchdog, which cancels it with a StalledError as its cause. When
// the command has not returned 10 seconds later, abandon is called. stop ends the watchdog, and the
// context.
func Watch(ctx context.Context, abandon func(error)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &Watchdog{ctx: ctx, cancel: cancel, abandon: abandon, cpu: cpuTime}
	return context.WithValue(ctx, contextKey{}, w), func() { cancel(nil) }
}

// In returns the watchdog of a context. Without one it returns a watchdog that does nothing.
func In(ctx context.Context) *Watchdog {
	if w, ok := ctx.Value(contextKey{}).(*Watchdog); ok {
		return w
	}
	return &Watchdog{ctx: ctx}
}

// Start begins to watch. Further calls do nothing.
func (w *Watchdog) Start() {
	if w.cancel == nil || w.active.Swap(true) {
		return
	}
	w.Moved()
	go w.watch()
}

func (w *Watchdog) watch() {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for before := w.cpu(); ; {
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
		}
		used := w.cpu()
		if w.waits.Load() > 0 || used-before >= busy {
			w.Moved()
		}
		before = used
		if time.Since(time.Unix(0, w.last.Load())) >= Limit {
			w.end()
			return
		}
	}
}

// Moved says that something moved.
func (w *Watchdog) Moved() { w.last.Store(time.Now().UnixNano()) }

// end writes the stacks to a file and ends the command.
func (w *Watchdog) end() {
	file, err := writeStacks()
	stalled := StalledError{file}
	w.cancel(errors.Join(stalled, err))
	time.AfterFunc(graceTime, func() { w.abandon(stalled) })
}

// writeStacks writes the stacks of all goroutines to a new file.
func writeStacks() (file string, err error) {
	f, err := os.CreateTemp("", "relocate-hang-*.txt")
	if err != nil {
		return "", err
	}
	err = errors.Join(pprof.Lookup("goroutine").WriteTo(f, 2), f.Close())
	return f.Name(), err
}

// Waiting runs do, which reads from or writes to a person or another program, however long that
// takes.
func (w *Watchdog) Waiting(do func() (int, error)) (int, error) {
	w.waits.Add(1)
	defer w.waits.Add(-1)
	n, err := do()
	if n > 0 {
		w.Moved()
	}
	return n, err
}

// Input returns standard input, for which a command may wait as long as it likes.
func (w *Watchdog) Input(r io.Reader) io.Reader { return input{r, w} }

type input struct {
	io.Reader
	w *Watchdog
}

// Name names it in errors of the library.
func (in input) Name() string { return "standard input" }

// Stat returns what it is, where that is known.
func (in input) Stat() (fs.FileInfo, error) {
	if f, ok := in.Reader.(*os.File); ok {
		return f.Stat()
	}
	return nil, fs.ErrInvalid
}

func (in input) Read(p []byte) (int, error) {
	return in.w.Waiting(func() (int, error) { return in.Reader.Read(p) })
}
