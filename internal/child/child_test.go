package child_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
)

// TestMain lets the test binary be the relocate program, with children that do what templates of
// strangers might.
func TestMain(m *testing.M) {
	stdout, stderr = os.Stdout, os.Stderr
	modes := map[string]child.Mode{
		"echo":    func(request []byte) ([]byte, error) { return request, nil },
		"endless": endless,
		"memory":  fill,
		"stack":   func([]byte) ([]byte, error) { return nil, fmt.Errorf("descended %d", descend(0)) },
		"output":  func([]byte) ([]byte, error) { return make([]byte, 33<<20), nil },
		"noise":   noise,
		"silent":  func([]byte) ([]byte, error) { os.Exit(0); return nil, nil },
		"panic":   func([]byte) ([]byte, error) { panic("first\nsecond") },
		"dies":    dies,
		"counts":  counts,
	}
	maps.Copy(modes, linuxModes)
	child.Main(modes)
	if len(os.Args) > 2 && os.Args[1] == "parent" {
		memory, _ := strconv.ParseInt(os.Args[2], 10, 64)
		by := child.Program{Path: os.Args[0], Memory: memory}
		_, err := by.Pool("echo", 1).Run(context.Background(), nil) // and leaves one that is idle
		if err == nil {
			_, err = by.Pool("endless", 1).Run(context.Background(), nil)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == "other" {
		if err := runsOther(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// stdout and stderr are not those that a mode has.
var stdout, stderr *os.File

func dies(words []byte) ([]byte, error) {
	_, _ = stderr.Write(words)
	os.Exit(2)
	return nil, nil
}

func endless([]byte) ([]byte, error) {
	for {
		runtime.Gosched()
	}
}

var counted int

// counts answers which request of its child this is. The first of some requests leaves its child in a
// state in which the next one fails.
func counts(request []byte) ([]byte, error) {
	counted++
	if counted > 1 {
		switch string(request) {
		case "dies":
			os.Exit(2)
		case "memory":
			return fill(nil)
		case "stalls":
			return endless(nil)
		case "output":
			return make([]byte, 33<<20), nil
		}
	}
	return fmt.Append(nil, counted), nil
}

// linuxModes are modes that only Linux has, and runsOther is another program that only Linux has.
// limitsMemory says that memory is limited.
var (
	linuxModes map[string]child.Mode
	runsOther  func(name string) error

	limitsMemory bool
)

var filled [][]byte

func fill([]byte) ([]byte, error) {
	for {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4 << 10 {
			block[i] = 1
		}
		filled = append(filled, block)
	}
}

func descend(n int) int {
	if n < 0 {
		return n
	}
	var frame [1 << 10]byte
	frame[n%len(frame)] = byte(descend(n + 1))
	return int(frame[0])
}

// noise is no answer. It goes on when nobody reads it.
func noise([]byte) ([]byte, error) {
	line := bytes.Repeat([]byte("endless\n"), 1<<10)
	for {
		_, _ = stdout.Write(line)
	}
}

// program is this test binary.
func program(t testing.TB) child.Program {
	path, err := os.Executable()
	require.NoError(t, err)
	return child.Program{Path: path}
}

// pool returns a pool of children that run a mode.
func pool(t testing.TB, by child.Program, mode string, idle int) *child.Pool {
	p := by.Pool(mode, idle)
	t.Cleanup(p.Close)
	return p
}

// ask gives a request to a new child.
func ask(t testing.TB, by child.Program, mode, request string) (string, error) {
	answer, err := pool(t, by, mode, 0).Run(t.Context(), []byte(request))
	return string(answer), err
}

func TestRun(t *testing.T) {
	input := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	by := pool(t, program(t), "echo", 1)
	for _, request := range [][]byte{input, {}, input[:1], input} {
		got, err := by.Run(t.Context(), request)
		require.NoError(t, err)
		require.True(t, bytes.Equal(request, got), "%d bytes of %d", len(got), len(request))
	}
}

func TestConcurrent(t *testing.T) {
	by := pool(t, program(t), "echo", 2)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 4 {
				request := fmt.Sprint(i, j)
				got, err := by.Run(t.Context(), []byte(request))
				assert.NoError(t, err)
				assert.Equal(t, request, string(got))
			}
		})
	}
	all.Wait()
}

// TestReused holds how many requests a child answers.
func TestReused(t *testing.T) {
	by := pool(t, program(t), "counts", 1)
	for _, want := range slices.Repeat([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 2) {
		got, err := by.Run(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(want), string(got))
	}
	by.Close()
	for range 2 {
		got, err := by.Run(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, "1", string(got), "a closed pool keeps no child")
	}
}

// TestTriedAgain holds that what is left of a request makes no later one fail.
func TestTriedAgain(t *testing.T) {
	limits := program(t)
	limits.Time = 6 * time.Second // of which a child that was used has two
	by := pool(t, limits, "counts", 1)
	for _, request := range []string{"dies", "memory", "stalls", "output"} {
		if request == "memory" && !limitsMemory {
			continue
		}
		_, err := by.Run(t.Context(), nil)
		require.NoError(t, err)
		got, err := by.Run(t.Context(), []byte(request))
		require.NoError(t, err, request)
		require.Equal(t, "1", string(got), request)
	}
}

// TestLimits holds that each way to be too much is named, within its limit.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		mode   string
		limits child.Program
		want   string
	}{
		{"endless", child.Program{Time: 100 * time.Millisecond}, "the template did not end within 0.1 s"},
		{"output", child.Program{Output: 1 << 20}, "the template writes more than 1 MiB"},
		{"output", child.Program{}, "the template writes more than 32 MiB"},
		{"noise", child.Program{}, "the template writes more than 32 MiB"},
		{"silent", child.Program{}, "the template crashes its renderer: it ends without an answer"},
		{"stack", child.Program{}, "the template needs more stack than 64 MiB"},
		{"panic", child.Program{}, "the template crashes its renderer: first"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			c.limits.Path = program(t).Path
			if c.limits.Time == 0 {
				c.limits.Time = time.Hour
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ask(t, c.limits, c.mode, "")
			runtime.ReadMemStats(&after)
			var limit *child.LimitError
			require.ErrorAs(t, err, &limit)
			assert.Equal(t, c.want, err.Error())
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "bytes that the parent allocates")
		})
	}
}

// TestLastWords holds what the end of a child means. The words are those that Go's runtime was seen to
// write.
func TestLastWords(t *testing.T) {
	for words, want := range map[string]string{
		"fatal error: runtime: out of memory\n\nruntime stack:\n":                                "needs more memory than 512 MiB",
		"fatal error: runtime: cannot allocate memory\n":                                         "needs more memory than 512 MiB",
		"fatal error: out of memory allocating heap arena metadata\n":                            "needs more memory than 512 MiB",
		"runtime: out of memory: cannot allocate 4194304-byte block (503316480 in use)\n":        "needs more memory than 512 MiB",
		"SIGSEGV: segmentation violation\nPC=0x438d7d m=0 sigcode=1 addr=0x0\n":                  "needs more memory than 512 MiB",
		"runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\n": "needs more memory than 512 MiB",
		"runtime: goroutine stack exceeds 67108864-byte limit\nfatal error: stack overflow\n":    "needs more stack than 64 MiB",
		"fatal error: concurrent map writes\n":                                                   "crashes its renderer: fatal error: concurrent map writes",
		"panic: runtime error: index out of range [1] with length 0\n\ngoroutine 7 [running]:\n": "crashes its renderer: panic: runtime error: index out of range [1] with length 0",
		"": "crashes its renderer: exit status 2",
	} {
		_, err := ask(t, program(t), "dies", words)
		var limit *child.LimitError
		require.ErrorAs(t, err, &limit, words)
		assert.Equal(t, want, limit.Reason, words)
	}
}

func TestUnknownMode(t *testing.T) {
	_, err := ask(t, program(t), "nothing", "")
	require.ErrorContains(t, err, "no mode nothing")
}

func TestNoProgram(t *testing.T) {
	_, err := ask(t, child.Program{Path: "/nonexistent/relocate"}, "echo", "")
	require.ErrorContains(t, err, "start a child process")
	var limit *child.LimitError
	require.NotErrorAs(t, err, &limit)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := program(t).Pool("endless", 0).Run(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestExec(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no shell")
	}
	by := program(t)
	dir := t.TempDir()
	got, err := by.Exec(t.Context(), child.Command{
		Path: sh, Args: []string{"-c", `cat; echo "$1 $A $HOME"; pwd; echo no >&2`, "sh", "b c"}, Env: []string{"A=a"}, Dir: dir, Input: []byte("input\n"),
	})
	require.NoError(t, err)
	assert.Equal(t, "input\nb c a \n"+dir+"\n", string(got))

	_, err = by.Exec(t.Context(), child.Command{Path: sh, Args: []string{"-c", "echo one >&2; echo two >&2; exit 3"}})
	var exit *child.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, child.ExitError{Status: 3, Stderr: "one\ntwo\n"}, *exit)

	_, err = by.Exec(t.Context(), child.Command{Path: "/nonexistent/helm"})
	require.ErrorContains(t, err, "/nonexistent/helm: no such file")

	by.Time = 100 * time.Millisecond
	_, err = by.Exec(t.Context(), child.Command{Path: sh, Args: []string{"-c", "while :; do :; done"}})
	require.EqualError(t, err, "the template did not end within 0.1 s")
}
