package child_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
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
	modes := map[string]func() int{
		"echo":    echo,
		"endless": endless,
		"memory":  func() int { fill(); return 0 },
		"stack":   func() int { return descend(0) },
		"output":  print,
		"panic":   func() int { panic("first\nsecond") },
		"dies":    dies,
	}
	maps.Copy(modes, linuxModes)
	child.Main(modes)
	if len(os.Args) > 2 && os.Args[1] == "parent" {
		memory, _ := strconv.ParseInt(os.Args[2], 10, 64)
		_, err := child.Program{Path: os.Args[0], Memory: memory}.Run(context.Background(), "endless", nil)
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

func echo() int {
	_, err := io.Copy(os.Stdout, os.Stdin)
	if err != nil {
		return 1
	}
	return 0
}

func dies() int {
	_, _ = io.Copy(os.Stderr, os.Stdin)
	return 2
}

func endless() int {
	for {
		runtime.Gosched()
	}
}

// linuxModes are modes that only Linux has, and runsOther is another program that only Linux has.
var (
	linuxModes map[string]func() int
	runsOther  func(name string) error
)

var filled [][]byte

func fill() {
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

// print goes on when nobody reads it.
func print() int {
	line := bytes.Repeat([]byte("endless\n"), 1<<10)
	for {
		_, _ = os.Stdout.Write(line)
	}
}

// program is this test binary.
func program(t testing.TB) child.Program {
	path, err := os.Executable()
	require.NoError(t, err)
	return child.Program{Path: path}
}

func TestRun(t *testing.T) {
	input := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for range 4 {
		got, err := program(t).Run(t.Context(), "echo", input)
		require.NoError(t, err)
		require.True(t, bytes.Equal(input, got), "%d bytes of %d", len(got), len(input))
	}
}

func TestConcurrent(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			got, err := program(t).Run(t.Context(), "echo", []byte(fmt.Sprint(i)))
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprint(i), string(got))
		})
	}
	all.Wait()
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
			_, err := c.limits.Run(t.Context(), c.mode, nil)
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
		"runtime: goroutine stack exceeds 67108864-byte limit\nfatal error: stack overflow\n":    "needs more stack than 64 MiB",
		"fatal error: concurrent map writes\n":                                                   "crashes its renderer: fatal error: concurrent map writes",
		"panic: runtime error: index out of range [1] with length 0\n\ngoroutine 7 [running]:\n": "crashes its renderer: panic: runtime error: index out of range [1] with length 0",
		"": "crashes its renderer: exit status 2",
	} {
		_, err := program(t).Run(t.Context(), "dies", []byte(words))
		var limit *child.LimitError
		require.ErrorAs(t, err, &limit, words)
		assert.Equal(t, want, limit.Reason, words)
	}
}

func TestUnknownMode(t *testing.T) {
	_, err := program(t).Run(t.Context(), "nothing", nil)
	require.ErrorContains(t, err, "no mode nothing")
}

func TestNoProgram(t *testing.T) {
	_, err := child.Program{Path: "/nonexistent/relocate"}.Run(t.Context(), "echo", nil)
	require.ErrorContains(t, err, "start a child process")
	var limit *child.LimitError
	require.NotErrorAs(t, err, &limit)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := program(t).Run(ctx, "endless", nil)
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
