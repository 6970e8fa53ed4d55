package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/hostileregistry"
)

// TestWatchdog: a command ends when nothing has moved for so long, and not before.
func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, show *progress)
		ends bool
	}{
		{"nothing moves", func(ctx context.Context, _ *progress) { <-ctx.Done() }, true},
		{"progress", func(_ context.Context, show *progress) {
			ph := show.begin("read", 0, 0)
			for range 10 {
				time.Sleep(stillFor * 9 / 10)
				ph.add(1, 0)
			}
			ph.end()
		}, false},
		{"hashing", func(context.Context, *progress) { time.Sleep(10 * stillFor) }, false},
		{"a live line", func(ctx context.Context, _ *progress) { <-ctx.Done() }, true},
		{"standard input", func(ctx context.Context, _ *progress) {
			in := watchedInput{slowly{}, watchdogIn(ctx)}
			_, _ = in.Read(make([]byte, 1))
		}, false},
		{"standard output", func(ctx context.Context, _ *progress) {
			out := &resultWriter{w: slowly{}, dog: watchdogIn(ctx)}
			_, _ = out.Write(make([]byte, 1))
		}, false},
		{"after standard input", func(ctx context.Context, _ *progress) {
			in := watchedInput{slowly{}, watchdogIn(ctx)}
			_, _ = in.Read(make([]byte, 1))
			<-ctx.Done()
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				gave := make(chan error, 1)
				ctx, stop := watched(t.Context(), func(err error) { gave <- err })
				ctx, show := newProgress(ctx, "none", io.Discard)
				each := map[string]time.Duration{"hashing": working, "a live line": working / 2}[c.name]
				var used atomic.Int64
				watchdogIn(ctx).cpu = func() time.Duration { return time.Duration(used.Add(int64(each))) }
				show.begin("export", 0, 0).end()
				c.do(ctx, show)
				if !c.ends {
					require.NoError(t, ctx.Err())
					stop()
					return
				}
				status, text, hint := judge(ctx, ctx.Err())
				assert.Equal(t, statusFailed, status)
				assertAll(t, text, "nothing has moved for 10m0s", os.Getenv("TMPDIR"))
				assert.Contains(t, hint, "report this")
				var hang hangError
				require.True(t, errors.As(context.Cause(ctx), &hang))
				stacks, err := os.ReadFile(hang.file)
				require.NoError(t, err)
				assert.Contains(t, string(stacks), "TestWatchdog")
				info, err := os.Stat(hang.file)
				require.NoError(t, err)
				assert.Equal(t, os.FileMode(0o600), info.Mode())
				assert.ErrorAs(t, <-gave, &hang, "a command that does not return is given up")
				stop()
			})
		})
	}
}

// slowly is a person who takes an hour.
type slowly struct{}

func (slowly) Read(p []byte) (int, error)  { time.Sleep(time.Hour); return len(p), nil }
func (slowly) Write(p []byte) (int, error) { time.Sleep(time.Hour); return len(p), nil }

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
