package main

import (
	"context"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/watchdog"
	"relocate/testdata/hostileregistry"
)

// TestWatchdog: the program ends with a file of stacks when nothing has moved for 10 minutes, but not while there is
// progress, or while it waits for standard input or output.
func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, show *display)
		ends bool
	}{
		{"nothing moves", func(ctx context.Context, _ *display) { <-ctx.Done() }, true},
		{"progress", func(_ context.Context, show *display) {
			ph := show.Begin("read", 0, 0)
			for range 10 {
				time.Sleep(watchdog.Limit * 9 / 10)
				ph.Add(1, 0)
			}
			ph.End()
		}, false},
		{"standard input", func(ctx context.Context, _ *display) {
			_, _ = watchdog.In(ctx).Input(slow{}).Read(make([]byte, 1))
		}, false},
		{"standard output", func(ctx context.Context, _ *display) {
			out := &resultWriter{w: slow{}, dog: watchdog.In(ctx)}
			_, _ = out.Write(make([]byte, 1))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := watchdog.Watch(t.Context(), func(error) {})
				defer stop()
				ctx, show := newProgress(ctx, "none", io.Discard)
				show.Begin("export", 0, 0).End()
				c.do(ctx, show)
				if !c.ends {
					require.NoError(t, ctx.Err())
					return
				}
				status, text, hint := judge(ctx, ctx.Err())
				assert.Equal(t, statusFailed, status)
				assertAll(t, text, "nothing has moved for 10m0s", os.Getenv("TMPDIR"))
				assert.Contains(t, hint, "report this")
			})
		})
	}
}

// slow is a person who takes an hour.
type slow struct{}

func (slow) Read(p []byte) (int, error)  { time.Sleep(time.Hour); return len(p), nil }
func (slow) Write(p []byte) (int, error) { time.Sleep(time.Hour); return len(p), nil }

// TestRetriesAreShown: a wait for a registry is an event, and the end says how many there were.
func TestRetriesAreShown(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	ref, _ := pushHostile(t, s.Addr)
	s.Behave(hostileregistry.First(1, hostileregistry.On("GET blobs", hostileregistry.Answer(503, ""))))
	args := []string{"-b", ref, "--registry-retry-wait", "1ms", "--to-tar"}
	r := mustRelocate(t, append(args, t.TempDir()+"/a.tar", "--progress", "json")...)
	assertAll(t, r.stderr, `"event":"retry"`, `"host":"`+s.Addr+`"`, "503 Service Unavailable")
	s.Behave(hostileregistry.First(1, hostileregistry.On("GET blobs", hostileregistry.Answer(503, ""))))
	r = mustRelocate(t, append(args, t.TempDir()+"/a.tar", "--progress", "plain")...)
	assertAll(t, r.stderr, "for registries that failed or were busy, the last time for "+s.Addr, "503 Service Unavailable")
}
