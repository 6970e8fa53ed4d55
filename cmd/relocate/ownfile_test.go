//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPlantedFiles: files that others may have put where an export has its own are refused, with what to
// do, before the registry is asked for anything. They stay as they are.
func TestPlantedFiles(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	for _, name := range []string{"r.tar.part", "r.tar.part.journal", "r.tar.part.lock"} {
		for how, plant := range map[string]func(path string) error{
			"it is not a regular file": func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"it is a symbolic link":    func(path string) error { return os.Symlink("target", path) },
			"other users may write to it": func(path string) error {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					return err
				}
				return os.Chmod(path, 0o666)
			},
		} {
			for _, args := range [][]string{nil, {"--no-resume"}} {
				dir := t.TempDir()
				require.NoError(t, plant(filepath.Join(dir, name)))
				r := tryRelocate(t, append(args, "-b", root, "--to-tar", filepath.Join(dir, "r.tar"))...)
				assertFailed(t, r, statusUsage, filepath.Join(dir, name)+" is not safe to use: "+how, "hint: remove it")
				assert.Equal(t, []string{name}, namesIn(t, dir))
			}
		}
	}
}

// TestLockFolderWithoutHome: without a folder of the user's, locks are in one that is made for the user
// alone. One that another may have made is not used.
func TestLockFolderWithoutHome(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	file := export(t, pushSample(t, registry.Addr))
	imports := func(temp, home string) result {
		p := newProcess(t, "--from-tar", file, "--to-repo", registry.Addr+"/x")
		p.cmd.Env = append(p.cmd.Env, "XDG_CACHE_HOME="+home, "HOME=", "TMPDIR="+temp)
		return p.run(t)
	}
	name := fmt.Sprint("relocate-", os.Getuid())
	says := map[string]func(path string) error{
		"it is a symbolic link": func(path string) error { return os.Symlink("target", path) },
		"other users may write to it": func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chmod(path, 0o777)
		},
	}
	if os.Geteuid() == 0 {
		says["it belongs to another user"] = func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chown(path, 12345, 12345)
		}
	}
	for how, plant := range says {
		temp := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(temp, "target"), 0o700))
		path := filepath.Join(temp, name)
		require.NoError(t, plant(path))
		assertFailed(t, imports(temp, ""), statusUsage, "lock "+registry.Addr+"/x: "+path+" is not safe to use: "+how, "hint: remove it")
		assert.Empty(t, namesIn(t, filepath.Join(temp, "target")))
	}
	temp, planted := t.TempDir(), t.TempDir()
	r := imports(temp, "")
	require.Zero(t, r.status, r.stderr)
	for _, folder := range []string{name, filepath.Join(name, "relocate"), filepath.Join(name, "relocate", "locks")} {
		info, err := os.Stat(filepath.Join(temp, folder))
		require.NoError(t, err)
		assert.Equal(t, os.ModeDir|0o700, info.Mode())
	}
	// A cache folder of another, as sudo leaves it, is left alone.
	require.NoError(t, os.Mkdir(filepath.Join(planted, "relocate"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(planted, "relocate"), 0o777))
	r = imports(temp, planted)
	require.Zero(t, r.status, r.stderr)
	assert.Empty(t, namesIn(t, filepath.Join(planted, "relocate")))
}

// TestResumeRoots: an unfinished archive whose roots are not what is asked for, or which the registry does
// not have, is not gone on with, whatever its journal says.
func TestResumeRoots(t *testing.T) {
	t.Parallel()
	registry := startReal(t)
	m := newMeter(t, registry.Addr)
	s := site{t: t, host: m.host}
	root, _ := pushLarge(s, 12<<20)
	want := rootDigest(t, registry.Addr, "load/repository", "1.0.0")
	file := filepath.Join(t.TempDir(), "r.tar")
	cutExport(t, m, file, 10<<20, "-b", root, "--concurrency", "1")
	behave(m, &m.fault, func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/manifests/"+want) {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	})
	// The tag, too, stands for something else now: a planted file would look so.
	other := s.bundle("load/repository", "1.0.0", map[string]string{"new.txt": "new"}).Digest.String()
	r := newProcess(t, "-b", root, "--to-tar", file).run(t)
	assertFailed(t, r, statusUsage, "the registry does not have its root "+m.host+"/load/repository@"+want, "--no-resume")
	assert.Equal(t, []string{"r.tar.part", "r.tar.part.journal"}, namesIn(t, filepath.Dir(file)))

	behave(m, &m.fault, nil)
	journal, err := os.ReadFile(file + ".part.journal")
	require.NoError(t, err)
	asked := m.host + "/load/repository@" + other
	require.Contains(t, string(journal), `"`+root+`"`)
	journal = []byte(strings.Replace(string(journal), `"`+root+`"`, `"`+asked+`"`, 1))
	require.NoError(t, os.WriteFile(file+".part.journal", journal, 0o600))
	r = newProcess(t, "-b", asked, "--to-tar", file).run(t)
	assertFailed(t, r, statusUsage, asked+" is not one of its roots", "--no-resume")
	mustRun(t, "-b", asked, "--to-tar", file, "--no-resume")
	mustRun(t, "verify", file, "--root", other)
}
