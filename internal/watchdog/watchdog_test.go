package watchdog

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWatchdog: a command ends when nothing has moved for Limit, and not before.
func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name string
		cpu  time.Duration // used between two checks
		do   func(ctx context.Context, w *Watchdog)
		ends bool
	}{
		{"nothing moves", 0, func(ctx context.Context, _ *Watchdog) { <-ctx.Done() }, true},
		{"progress", 0, func(_ context.Context, w *Watchdog) {
			for range 10 {
				time.Sleep(Limit * 9 / 10)
				w.Moved()
			}
		}, false},
		{"hashing", busy, func(context.Context, *Watchdog) { time.Sleep(10 * Limit) }, false},
		{"a live line", busy / 2, func(ctx context.Context, _ *Watchdog) { <-ctx.Done() }, true},
		{"standard input", 0, func(_ context.Context, w *Watchdog) { read(w) }, false},
		{"after standard input", 0, func(ctx context.Context, w *Watchdog) {
			read(w)
			<-ctx.Done()
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				abandoned := make(chan error, 1)
				ctx, stop := Watch(t.Context(), func(err error) { abandoned <- err })
				var used atomic.Int64
				w := In(ctx)
				w.cpu = func() time.Duration { return time.Duration(used.Add(int64(c.cpu))) }
				w.Start()
				c.do(ctx, w)
				if !c.ends {
					require.NoError(t, ctx.Err())
					stop()
					return
				}
				var stalled StalledError
				require.True(t, errors.As(context.Cause(ctx), &stalled))
				assert.Contains(t, stalled.Error(), "nothing has moved for 10m0s")
				assert.True(t, strings.HasPrefix(stalled.File, os.Getenv("TMPDIR")), stalled.File)
				stacks, err := os.ReadFile(stalled.File)
				require.NoError(t, err)
				assert.Contains(t, string(stacks), "TestWatchdog")
				info, err := os.Stat(stalled.File)
				require.NoError(t, err)
				assert.Equal(t, os.FileMode(0o600), info.Mode())
				assert.ErrorAs(t, <-abandoned, &stalled, "a command that does not return is abandoned")
				stop()
			})
		})
	}
}

// TestNoWatchdog: a context without a watchdog has one that does nothing.
func TestNoWatchdog(t *testing.T) {
	t.Parallel()
	w := In(t.Context())
	w.Start()
	w.Moved()
	n, err := w.Input(strings.NewReader("text")).Read(make([]byte, 8))
	assert.Equal(t, 4, n)
	assert.NoError(t, err)
}

// read reads standard input, at which nobody types for an hour.
func read(w *Watchdog) { _, _ = w.Input(slow{}).Read(make([]byte, 1)) }

type slow struct{}

func (slow) Read(p []byte) (int, error) { time.Sleep(time.Hour); return len(p), nil }
