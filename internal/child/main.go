package child

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"

	"relocate/internal/heap"
)

// maxStack is the limit of bytes of a goroutine's stack in a child.
const maxStack = 64 << 20

// growth is how much a child's heap may grow before memory is collected. A child lives briefly: with Go's
// own percentage, ytt takes a third more time.
var growth = heap.Growth{Bytes: 8 << 20, Least: 50, Most: 400}

// Mode answers a request. An error is one of this program, not of the request: the child ends with it.
type Mode func(request []byte) (answer []byte, err error)

// Main turns this process into the child that its arguments describe, and exits when there are no more
// requests. In any other process it returns. A program calls it before anything else.
func Main(modes map[string]Mode) {
	if len(os.Args) < 4 || os.Args[1] != marker {
		return
	}
	memory, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err == nil {
		err = limit(memory)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "limit a child process:", err)
		os.Exit(1)
	}
	if os.Args[2] == modeExec && len(os.Args) > 4 {
		err := become(os.Args[4], os.Args[4:], append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", softLimit(memory))))
		fmt.Fprintf(os.Stderr, "%s: %s: %v\n", marker, os.Args[4], err)
		os.Exit(statusNoProgram)
	}
	mode := modes[os.Args[2]]
	if mode == nil {
		fmt.Fprintf(os.Stderr, "%s: no mode %s\n", marker, os.Args[2])
		os.Exit(statusNoProgram)
	}
	debug.SetMemoryLimit(softLimit(memory))
	growth.Set()
	debug.SetMaxStack(maxStack)
	confine()
	os.Exit(guarded(mode))
}

// softLimit is the size of the heap from which on memory is collected at any cost.
func softLimit(memory int64) int64 { return memory / 10 * 6 }

// guarded answers requests, and returns the exit status.
func guarded(mode Mode) (status int) {
	stderr := os.Stderr
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintln(stderr, v)
			status = statusPanic
		}
	}()
	if err := serve(mode); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// serve answers the requests on standard input until its end. What else a mode prints is dropped. The
// runtime's own last words go to the descriptor.
func serve(mode Mode) (err error) {
	in, out := os.Stdin, os.Stdout
	if os.Stdout, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
		return err
	}
	os.Stderr = os.Stdout
	for {
		size, err := readSize(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		request := make([]byte, size)
		if _, err := io.ReadFull(in, request); err != nil {
			return err
		}
		answer, err := mode(request)
		if err != nil {
			return err
		}
		if err := writeFrame(out, answer); err != nil {
			return err
		}
	}
}
