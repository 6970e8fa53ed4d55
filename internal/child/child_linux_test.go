package child_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
)

func init() { linuxModes = map[string]func() int{"process": process} }

// process says what a child may do. With an input it leaves a process with that argument.
func process() int {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	if name := string(input); name != "" {
		left := exec.Command("/proc/self/exe", "relocate-child", "endless", "536870912", name)
		left.SysProcAttr = &syscall.SysProcAttr{Setsid: strings.HasPrefix(name, "session")}
		if err := left.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
	dir, _ := os.Getwd()
	fmt.Println("environment", os.Environ())
	fmt.Println("folder", dir)
	for name, resource := range map[string]int{"core": syscall.RLIMIT_CORE, "data": syscall.RLIMIT_DATA, "files": syscall.RLIMIT_NOFILE, "size": syscall.RLIMIT_FSIZE} {
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(resource, &limit)
		fmt.Println(name, limit.Cur, limit.Max)
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			fmt.Println("network", i.Name)
		}
	}
	return 0
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
	for _, namespaces := range []bool{true, false} {
		t.Run(fmt.Sprint(namespaces), func(t *testing.T) {
			if !namespaces {
				t.Cleanup(child.RefuseNamespaces())
			}
			t.Setenv("SECRET", "of the parent")
			out, err := program(t).Run(t.Context(), "process", nil)
			require.NoError(t, err)
			got := string(out)
			for _, want := range []string{fmt.Sprintf("environment %v\n", child.Environment), "folder /\n", "core 0 0\n", "files 64 64\n", "size 0 0\n"} {
				assert.Contains(t, got, want)
			}
			if !child.RaceDetector {
				assert.Contains(t, got, "data 536870912 536870912\n")
			}
			if namespaces && child.Namespaces() {
				assert.NotContains(t, got, "network")
			}
		})
	}
}

func TestMemory(t *testing.T) {
	if child.RaceDetector {
		t.Skip("the race detector maps more than any limit")
	}
	by := program(t)
	by.Time = time.Hour
	_, err := by.Run(t.Context(), "memory", nil)
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
		_, err := by.Run(t.Context(), "endless", nil)
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
	t.Run("group", func(t *testing.T) {
		t.Cleanup(child.RefuseNamespaces())
		name := fmt.Sprintf("group-%d", os.Getpid())
		_, err := by.Run(t.Context(), "process", []byte(name))
		require.NoError(t, err)
		await(t, 0, name)
	})
	t.Run("session", func(t *testing.T) {
		if !child.Namespaces() {
			t.Skip("the kernel refuses namespaces")
		}
		name := fmt.Sprintf("session-%d", os.Getpid())
		_, err := by.Run(t.Context(), "process", []byte(name))
		require.NoError(t, err)
		require.Empty(t, running(t, name))
	})
	t.Run("canceled", func(t *testing.T) {
		by.Memory = 501<<20 + int64(os.Getpid()) // its argument
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := by.Run(ctx, "endless", nil)
			failed <- err
		}()
		await(t, 1, fmt.Sprint(by.Memory))
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.Empty(t, running(t, fmt.Sprint(by.Memory)))
	})
}

// TestParentDies holds that a child does not outlive its parent.
func TestParentDies(t *testing.T) {
	memory := 502<<20 + int64(os.Getpid())
	parent := exec.Command(program(t).Path, "parent", fmt.Sprint(memory))
	require.NoError(t, parent.Start())
	await(t, 2, fmt.Sprint(memory)) // the parent and its child
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	await(t, 0, fmt.Sprint(memory))
}
