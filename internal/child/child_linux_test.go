package child_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
)

func init() {
	linuxModes, runsOther, limitsMemory = map[string]child.Mode{"process": process}, other, !child.RaceDetector
}

// process says what a child may do.
func process([]byte) ([]byte, error) {
	var said bytes.Buffer
	dir, _ := os.Getwd()
	fmt.Fprintln(&said, "environment", os.Environ())
	fmt.Fprintln(&said, "folder", dir)
	for name, resource := range map[string]int{"core": syscall.RLIMIT_CORE, "data": syscall.RLIMIT_DATA, "files": syscall.RLIMIT_NOFILE, "size": syscall.RLIMIT_FSIZE} {
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(resource, &limit)
		fmt.Fprintln(&said, name, limit.Cur, limit.Max)
	}
	_, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	fmt.Fprintln(&said, "socket:", err)
	fmt.Fprintln(&said, "program:", syscall.Exec("/proc/self/exe", []string{"relocate"}, nil))
	_, err = syscall.ForkExec("/proc/self/exe", []string{"relocate"}, nil)
	fmt.Fprintln(&said, "process:", err)
	_, err = syscall.ForkExec("/proc/self/exe", []string{"relocate"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}})
	fmt.Fprintln(&said, "namespace:", err)
	return said.Bytes(), nil
}

// other is what another program does. With a name it leaves a process with that argument, else it
// says what network it has.
func other(name string) error {
	if name != "" {
		left := exec.Command("/proc/self/exe", "relocate-child", "endless", "536870912", name)
		left.SysProcAttr = &syscall.SysProcAttr{Setsid: strings.HasPrefix(name, "session")}
		return left.Start()
	}
	interfaces, err := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			fmt.Println("network", i.Name)
		}
	}
	return err
}

// runOther runs another program, which is this test binary.
func runOther(t *testing.T, name string) string {
	t.Helper()
	by := program(t)
	out, err := by.Exec(t.Context(), child.Command{Path: by.Path, Args: []string{"other", name}})
	require.NoError(t, err)
	return string(out)
}

// running returns the processes with an argument.
func running(t *testing.T, arg string) (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range all {
		line, _ := os.ReadFile(path) // it may have ended
		for _, a := range bytes.Split(line, []byte{0}) {
			if string(a) == arg {
				pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				require.NoError(t, err)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// await waits until as many processes have an argument. The limit of time of all tests ends it.
func await(t *testing.T, n int, arg string) []int {
	for t.Context().Err() == nil {
		if pids := running(t, arg); len(pids) == n {
			return pids
		}
	}
	return nil
}

func TestProcess(t *testing.T) {
	t.Setenv("SECRET", "of the parent")
	got, err := ask(t, program(t), "process", "")
	require.NoError(t, err)
	for _, want := range []string{fmt.Sprintf("environment %v\n", child.Environment), "folder /\n", "core 0 0\n", "files 64 64\n", "size 0 0\n"} {
		assert.Contains(t, got, want)
	}
	if !child.RaceDetector {
		assert.Contains(t, got, "data 536870912 536870912\n")
	}
	if !child.Filters() {
		t.Skip("the kernel has no filters")
	}
	for _, what := range []string{"socket", "program", "process", "namespace"} {
		assert.Contains(t, got, what+": operation not permitted\n")
	}
}

// TestOtherPrograms holds that another program has no network, and runs where the kernel refuses
// namespaces.
func TestOtherPrograms(t *testing.T) {
	if out := runOther(t, ""); child.Namespaces() {
		assert.Empty(t, out)
	}
	t.Cleanup(child.RefuseNamespaces())
	runOther(t, "")
}

func TestMemory(t *testing.T) {
	if child.RaceDetector {
		t.Skip("the race detector maps more than any limit")
	}
	by := program(t)
	by.Time = time.Hour
	_, err := ask(t, by, "memory", "")
	var limit *child.LimitError
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, "the template needs more memory than 512 MiB", err.Error())

	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage))
	assert.Less(t, usage.Maxrss, int64(512<<10), "KiB of the largest child")
}

func TestKilled(t *testing.T) {
	by := program(t)
	by.Memory = 500<<20 + int64(os.Getpid()) // its argument
	failed := make(chan error)
	go func() {
		_, err := ask(t, by, "endless", "")
		failed <- err
	}()
	require.NoError(t, syscall.Kill(await(t, 1, fmt.Sprint(by.Memory))[0], syscall.SIGKILL))
	err := <-failed
	var limit *child.LimitError
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, "the template crashes its renderer: signal: killed", err.Error())
}

// TestNothingIsLeft holds that what a child starts ends with it.
func TestNothingIsLeft(t *testing.T) {
	by := program(t)
	t.Run("session", func(t *testing.T) {
		name := fmt.Sprintf("session-%d", os.Getpid())
		if runOther(t, ""); !child.Namespaces() {
			t.Skip("the kernel refuses namespaces")
		}
		runOther(t, name)
		require.Empty(t, running(t, name))
	})
	t.Run("group", func(t *testing.T) {
		t.Cleanup(child.RefuseNamespaces())
		name := fmt.Sprintf("group-%d", os.Getpid())
		runOther(t, name)
		await(t, 0, name)
	})
	t.Run("canceled", func(t *testing.T) {
		by.Memory = 501<<20 + int64(os.Getpid()) // its argument
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := by.Pool("endless", 1).Run(ctx, nil)
			failed <- err
		}()
		await(t, 1, fmt.Sprint(by.Memory))
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.Empty(t, running(t, fmt.Sprint(by.Memory)))
	})
	t.Run("closed", func(t *testing.T) {
		by.Memory = 503<<20 + int64(os.Getpid()) // its argument
		pool := by.Pool("echo", 2)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := pool.Run(t.Context(), nil)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		idle := len(running(t, fmt.Sprint(by.Memory)))
		require.True(t, idle == 1 || idle == 2, "%d idle children", idle)
		pool.Close()
		require.Empty(t, running(t, fmt.Sprint(by.Memory)))
	})
}

// TestParentDies holds that a child does not outlive its parent.
func TestParentDies(t *testing.T) {
	memory := 502<<20 + int64(os.Getpid())
	parent := exec.Command(program(t).Path, "parent", fmt.Sprint(memory))
	require.NoError(t, parent.Start())
	await(t, 3, fmt.Sprint(memory)) // the parent, a child that is idle, and one that runs
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	await(t, 0, fmt.Sprint(memory))
}
