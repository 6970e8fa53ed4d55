// Package child runs parts of this program, and other programs, in child processes with limits on
// time, memory and output.
//
// A child has an empty environment and no folder of its own. It is ended with all that it has
// started. On Linux it has limits on memory, open files and the size of files that it writes, and it
// dies with its parent. It has no network and no other processes: a mode of this program where the
// kernel filters system calls, another program where it allows a namespace of its own. On macOS and
// other Unix systems memory and network are not limited, on Windows neither are files and what a
// child starts: there, time and output are.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Program is the relocate program that runs as a child, and its limits. The zero limits are the
// default ones.
type Program struct {
	Path   string        // of a relocate program, absolute; empty: there is none
	Time   time.Duration // of one child
	Memory int64         // bytes of one child
	Output int64         // bytes that one child may write
}

// The default limits of a child.
const (
	DefaultTime   = 30 * time.Second
	DefaultMemory = 512 << 20
	DefaultOutput = 32 << 20
)

// Command is a program that is not relocate's own.
type Command struct {
	Path  string // absolute
	Args  []string
	Env   []string // all of it
	Dir   string   // empty: the root folder
	Input []byte
}

// LimitError says that a child was ended by a limit, or died.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return "the template " + e.Reason }

// ExitError says that a command failed.
type ExitError struct {
	Status int
	Stderr string // its first 64 KiB
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d: %s", e.Status, e.Stderr) }

// marker is the first argument of a child. The second is its mode, the third its limit of memory.
const marker = "relocate-child"

// modeExec is the mode in which a child limits itself, and then becomes another program.
const modeExec = "exec"

const (
	statusPanic     = 3 // of a child whose mode panics
	statusNoProgram = 4 // of a child that cannot become another program

	stderrHead = 64 << 10
)

// Exec runs another program with the limits, and returns what it writes.
//
// Errors: *LimitError; *ExitError; that of ctx; others say that the child could not be started.
func (p Program) Exec(ctx context.Context, c Command) ([]byte, error) {
	p = p.withDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timed, stop := context.WithTimeoutCause(ctx, p.Time, &LimitError{"did not end within " + seconds(p.Time)})
	defer stop()
	stdout := &head{limit: int(p.Output), full: func() { cancel(&LimitError{"writes more than " + mebibytes(p.Output)}) }}
	stderr := &head{limit: stderrHead}

	cmd, err := start(func() *exec.Cmd {
		cmd := p.command(timed, c)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Input), stdout, stderr
		return cmd
	}, true)
	if err != nil {
		if timed.Err() != nil {
			return nil, context.Cause(timed)
		}
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	err = cmd.Wait()
	end(cmd)
	if cause := context.Cause(timed); cause != nil {
		return nil, cause
	}
	if err == nil {
		return slices.Concat(stdout.parts...), nil
	}
	return nil, p.ended(err, true, stderr)
}

// ended says what the end of a child means that was not asked to end: err is that of Wait.
func (p Program) ended(err error, foreign bool, stderr *head) error {
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return &LimitError{"crashes its renderer: it ends without an answer"}
	case errors.Is(err, exec.ErrWaitDelay):
		return &LimitError{"left a process that holds its output"}
	case errors.As(err, &exit):
		return p.judge(exit, foreign, string(slices.Concat(stderr.parts...)))
	default:
		return fmt.Errorf("child process: %w", err)
	}
}

func (p Program) withDefaults() Program {
	if p.Time == 0 {
		p.Time = DefaultTime
	}
	if p.Memory == 0 {
		p.Memory = DefaultMemory
	}
	if p.Output == 0 {
		p.Output = DefaultOutput
	}
	return p
}

// command returns the child that runs c, or the mode that c's argument is when it has no path.
func (p Program) command(ctx context.Context, c Command) *exec.Cmd {
	memory := strconv.FormatInt(p.Memory, 10)
	var cmd *exec.Cmd
	switch {
	case c.Path == "":
		cmd = exec.CommandContext(ctx, p.Path, marker, c.Args[0], memory)
	case canExec:
		cmd = exec.CommandContext(ctx, p.Path, append([]string{marker, modeExec, memory, c.Path}, c.Args...)...)
	default:
		cmd = exec.CommandContext(ctx, c.Path, c.Args...)
	}
	cmd.Env = append(environment[:len(environment):len(environment)], c.Env...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = filepath.VolumeName(os.TempDir()) + string(filepath.Separator)
	}
	cmd.Cancel = func() error { end(cmd); return cmd.Process.Kill() }
	cmd.WaitDelay = 5 * time.Second // for what holds the output of a child that has ended
	return cmd
}

// judge says what the end of a child means: a limit of its own runtime, a signal, or its own status.
func (p Program) judge(exit *exec.ExitError, foreign bool, stderr string) error {
	line, rest, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	for _, prefix := range []string{"fatal error: ", "runtime: ", "runtime/cgo: ", crashed} {
		if strings.HasPrefix(line, prefix) {
			return &LimitError{p.fatal(line, rest)}
		}
	}
	switch {
	case exit.ExitCode() == statusNoProgram && strings.HasPrefix(line, marker+": "):
		return errors.New(strings.TrimPrefix(line, marker+": "))
	case foreign && exit.ExitCode() > 0:
		return &ExitError{exit.ExitCode(), stderr}
	case line == "":
		line = exit.String()
	}
	return &LimitError{"crashes its renderer: " + line}
}

// crashed are the last words of Go's runtime when a signal hits itself. Its garbage collector uses a
// nil pointer when the system refuses it memory.
const crashed = "SIGSEGV: segmentation violation"

// fatal says what the last words of Go's runtime mean.
func (p Program) fatal(line, rest string) string {
	switch {
	case strings.Contains(line+rest, "stack overflow"):
		return "needs more stack than " + mebibytes(maxStack)
	case line == crashed, strings.Contains(line, "memory"), strings.Contains(line, "failed to create new OS thread"), strings.Contains(line, "pthread_create failed"), strings.Contains(line, "cannot map pages"):
		return "needs more memory than " + mebibytes(p.Memory)
	}
	return "crashes its renderer: " + line
}

func mebibytes(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}

// head keeps the first bytes of what is written, and calls full when there are more. It keeps them in
// parts, each as large as all before it: nothing is copied while they grow.
type head struct {
	parts [][]byte
	n     int // bytes in parts
	limit int
	full  func() // nil: the rest is dropped
}

func (h *head) Write(p []byte) (int, error) {
	kept := min(len(p), h.limit-h.n)
	for rest := p[:kept]; len(rest) > 0; {
		last := len(h.parts) - 1
		if last < 0 || len(h.parts[last]) == cap(h.parts[last]) {
			h.parts = append(h.parts, make([]byte, 0, max(h.n, 32<<10)))
			continue
		}
		part := h.parts[last]
		n := copy(part[len(part):cap(part)], rest)
		h.parts[last], h.n, rest = part[:len(part)+n], h.n+n, rest[n:]
	}
	if kept < len(p) && h.full != nil {
		h.full()
		return kept, errors.New("too much output")
	}
	return len(p), nil
}
