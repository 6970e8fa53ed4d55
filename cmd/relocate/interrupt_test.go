package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gate is a registry's handler that holds back the requests which match. It drops them when it is
// opened, as the clients have left, and lets later ones pass.
type gate struct {
	matches func(*http.Request) bool
	waiting chan struct{} // has a value for each request that is held back
	pass    chan struct{} // lets one pass
	opened  chan struct{}
}

func newGate(matches func(*http.Request) bool) *gate {
	return &gate{matches: matches, waiting: make(chan struct{}, 1000), pass: make(chan struct{}), opened: make(chan struct{})}
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-g.opened:
			next.ServeHTTP(w, r)
			return
		default:
		}
		if g.matches(r) {
			g.waiting <- struct{}{}
			select {
			case <-g.pass:
			case <-g.opened:
				return
			case <-r.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (g *gate) open() { close(g.opened) }

// wait returns when a request is held back.
func (g *gate) wait(t *testing.T) {
	t.Helper()
	select {
	case <-g.waiting:
	case <-time.After(2 * time.Minute):
		t.Fatal("the request that was to be held back never came")
	}
}

// start runs the program in the background, and returns what cancels it and its result.
func start(t *testing.T, args ...string) (cancel func(), done <-chan result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan result, 1)
	go func() { results <- relocateContext(ctx, args...) }()
	return cancel, results
}

// wait returns what a run left; it must end soon.
func wait(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(2 * time.Minute):
		t.Fatalf("the program does not end:\n%s", stacks())
		return result{}
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// assertNothingRuns fails when code of the program still runs. Only tests that are not parallel can
// tell. A connection that net/http began to make for a request is made, whatever becomes of the request.
func assertNothingRuns(t *testing.T) {
	t.Helper()
	var left []string
	for _, stack := range strings.Split(stacks(), "\n\n") {
		if strings.Contains(stack, "created by net/http.(*Transport).startDialConnForLocked") {
			continue
		}
		for _, pkg := range []string{"bundle", "copy", "registry", "tarball", "verify"} {
			if strings.Contains(stack, "relocate/"+pkg+".") {
				left = append(left, stack)
			}
		}
		if strings.Contains(stack, "main.(*phase)") {
			left = append(left, stack)
		}
	}
	assert.Empty(t, left)
}

// TestInterruptExport stops an export while it walks, and while it fetches.
func TestInterruptExport(t *testing.T) {
	for name, path := range map[string]string{
		"walk":  "/v2/corp/packages/common/manifests/",
		"fetch": "/v2/corp/guestbook/blobs/",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "r.tar")
			var armed bool // is set before the first request of the export
			g := newGate(func(r *http.Request) bool {
				return armed && r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, path) && (name == "walk" || isReady(file))
			})
			root := pushSample(t, startMemory(t, g.wrap))
			armed = true
			require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
			cancel, done := start(t, "-b", root, "--to-tar", file, "--concurrency", "1") // in file order: layers come last
			g.wait(t)
			cancel()
			r := wait(t, done)
			assertFailed(t, r, statusInterrupted, "hint: ", "again")
			assertNothingRuns(t)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "old", string(text))
			kept := []string{"r.tar"}
			if name == "fetch" {
				assertAll(t, r.stderr, "kept: "+file+".part has ")
				kept = []string{"r.tar", "r.tar.part", "r.tar.part.journal"}
			}
			assert.Equal(t, kept, namesIn(t, dir))

			g.open()
			mustRelocate(t, "-b", root, "--to-tar", file)
			mustRelocate(t, "verify", file)
			assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
		})
	}
}

// isReady reports whether the unfinished archive at path can go on.
func isReady(path string) bool {
	text, err := os.ReadFile(path + ".part.journal")
	return err == nil && strings.Contains(string(text), "\nready\n")
}

// TestInterruptImport stops an import while it asks, uploads, and puts a manifest. What the
// destination shows is complete, and the same command again goes on.
func TestInterruptImport(t *testing.T) {
	host := startMemory(t, nil)
	root := pushSample(t, host)
	file := export(t, root)
	digest := rootDigest(t, host, "corp/repository", "1.0.0")
	index := rootDigest(t, host, "corp/guestbook", "1.1.0")
	for name, match := range map[string]func(*http.Request) bool{
		"ask": func(r *http.Request) bool { return r.Method == http.MethodHead },
		"upload": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/")
		},
		"manifest": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, selfTag(index))
		},
		"root": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, selfTag(digest))
		},
		"tag": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/1.0.0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(match)
			dst := startMemory(t, g.wrap)
			cancel, done := start(t, "--from-tar", file, "--to-repo", dst+"/x")
			g.wait(t)
			cancel()
			r := wait(t, done)
			assertFailed(t, r, statusInterrupted, "hint: ", "again")
			// net/http may still be about to close the body of the request that was given up.
			assert.Eventually(t, func() bool { return !strings.Contains(stacks(), "relocate/copy.") }, 2*time.Minute, time.Millisecond)
			assertNothingRuns(t)
			g.open()
			assert.False(t, has(t, dst, "/v2/x/manifests/1.0.0"))
			if name != "tag" {
				assert.False(t, has(t, dst, "/v2/x/manifests/"+selfTag(digest)))
				assert.False(t, has(t, dst, "/v2/x/manifests/"+locationsTag(digest)))
			}

			again := mustRelocate(t, "--from-tar", file, "--to-repo", dst+"/x")
			assertAll(t, again.stdout, dst+"/x@"+digest)
			mustRelocate(t, "verify", "--repo", dst+"/x", file, "--level", "deep")
		})
	}
}

// TestKill ends an export with SIGKILL. No archive appears, and the next run goes on.
func TestKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no SIGKILL")
	}
	t.Parallel()
	program, err := program()
	require.NoError(t, err)
	layers := make(chan struct{}) // closed when the sample is pushed
	g := newGate(func(r *http.Request) bool {
		select {
		case <-layers:
			return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/corp/guestbook/blobs/")
		default:
			return false
		}
	})
	root := pushSample(t, startMemory(t, g.wrap))
	close(layers)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar")
	args := []string{"-b", root, "--to-tar", file, "--concurrency", "1"}

	cmd := exec.CommandContext(t.Context(), program, args...)
	require.NoError(t, cmd.Start())
	for { // of this repository's blobs, configs are read before the archive is begun, layers after
		g.wait(t)
		if _, err := os.Stat(file + ".part"); err == nil {
			break
		}
		g.pass <- struct{}{}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	assert.Equal(t, []string{"r.tar.part", "r.tar.part.journal", "r.tar.part.lock"}, namesIn(t, dir))
	g.open()

	r := runProgram(t, program, args...)
	require.Zero(t, r.status, r.stderr)
	assert.Equal(t, []string{"r.tar", "r.tar.seal"}, namesIn(t, dir))
	r = runProgram(t, program, "verify", file)
	require.Zero(t, r.status, r.stderr)
	assertAll(t, r.stdout, "OK: "+file)
}

// TestInterruptSignal: the program itself takes an interrupt for an end with status 130.
func TestInterruptSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no signals to send")
	}
	t.Parallel()
	program, err := program()
	require.NoError(t, err)
	g := newGate(func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/corp/simple-app/blobs/")
	})
	root := pushSample(t, startMemory(t, g.wrap))
	dir := t.TempDir()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "-b", root, "--to-tar", filepath.Join(dir, "r.tar"))
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	g.wait(t)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	assert.Equal(t, statusInterrupted, cmd.ProcessState.ExitCode(), stderr.String())
	assertAll(t, stderr.String(), "hint: ")
	assert.Empty(t, namesIn(t, dir))
}

// build is the command that builds the program. TestMain makes it, before tests change folder and
// environment.
var build *exec.Cmd

// program builds the program, once, in the folder that TestMain removes.
var program = sync.OnceValues(func() (string, error) {
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return build.Args[3], nil
})

// runProgram runs the program that was built.
func runProgram(t *testing.T, program string, args ...string) result {
	t.Helper()
	skipShort(t)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
