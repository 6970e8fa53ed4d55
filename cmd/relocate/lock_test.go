package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTwoAtOnce: of two exports to one file, or imports to one repository, the second says who holds it and
// changes nothing. After a kill the lock is free; after a normal end there is none.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	file := filepath.Join(t.TempDir(), "whole.tar")
	pushed := pushSample(t, registry.Addr)
	mustRun(t, "-b", pushed, "--to-tar", file)
	for name, c := range map[string]struct {
		holds func(*http.Request) bool // the request at which the first is held
		args  func(host, dir string) []string
		what  func(host, dir string) string
		lock  func(host, dir string) string
	}{
		"export": {
			func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/corp/repository/blobs/") },
			func(host, dir string) []string {
				return []string{"-b", host + "/corp/repository:1.0.0", "--to-tar", filepath.Join(dir, "r.tar")}
			},
			func(_, dir string) string { return filepath.Join(dir, "r.tar") },
			func(_, dir string) string { return filepath.Join(dir, "r.tar.part.lock") },
		},
		"import": {
			func(r *http.Request) bool { return r.Method == http.MethodPost },
			func(host, _ string) []string {
				return []string{"--from-tar", file, "--to-repo", host + "/x", "--concurrency", "1"}
			},
			func(host, _ string) string { return host + "/x" },
			func(host, _ string) string {
				return filepath.Join(cacheHome(), "relocate", "locks", digestOf(host + "/x")[7:])
			},
		},
		"copy": {
			func(r *http.Request) bool { return r.Method == http.MethodPost },
			func(host, _ string) []string { return []string{"-b", pushed, "--to-repo", host + "/y"} },
			func(host, _ string) string { return host + "/y" },
			func(host, _ string) string {
				return filepath.Join(cacheHome(), "relocate", "locks", digestOf(host + "/y")[7:])
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t, registry.Addr)
			g := newGate(c.holds)
			behave(m, &m.fault, func(w http.ResponseWriter, r *http.Request) (answered bool) {
				answered = true
				g.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = false })).ServeHTTP(w, r)
				return answered
			})
			dir := t.TempDir()
			args := c.args(m.host, dir)
			require.NoError(t, os.MkdirAll(filepath.Dir(c.lock(m.host, dir)), 0o700))
			require.NoError(t, os.WriteFile(c.lock(m.host, dir), []byte("process 1 on elsewhere"), 0o600)) // of one that was killed
			first := newProcess(t, args...)
			first.start(t)
			g.wait(t)
			before := namesIn(t, dir)
			m.asked("")
			second := newProcess(t, args...).run(t)
			assertFailed(t, second, statusFailed, fmt.Sprintf("%s is locked by process %d on ", c.what(m.host, dir), first.cmd.Process.Pid), "hint: wait")
			assert.Equal(t, before, namesIn(t, dir))
			if name != "copy" {
				assert.Empty(t, m.asked(""), "it asks the registry for nothing")
			}
			first.kill()
			g.open()
			assert.FileExists(t, c.lock(m.host, dir))
			mustRun(t, args...)
			assert.NoFileExists(t, c.lock(m.host, dir))
			mustRun(t, "verify", file)
		})
	}
}

// TestLockWithoutPlace: an import goes on where no file can be made for its lock.
func TestLockWithoutPlace(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	file := export(t, pushSample(t, registry.Addr))
	cache := mountTemp(t, "size=4k,nr_inodes=4")
	require.NoError(t, os.MkdirAll(filepath.Join(cache, "relocate", "locks"), 0o700))
	p := newProcess(t, "--from-tar", file, "--to-repo", registry.Addr+"/x")
	p.cmd.Env = append(p.cmd.Env, "XDG_CACHE_HOME="+cache)
	require.NoError(t, os.WriteFile(filepath.Join(cache, "last"), nil, 0o600))
	r := p.run(t)
	require.Zero(t, r.status, r.stderr)
}
