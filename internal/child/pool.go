package child

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// maxRequests is how many requests one child answers. A start costs about as much as a request, so
// that more would save little, and a template that takes over its child could answer for more of them.
const maxRequests = 16

// Pool runs a mode of the relocate program in children that answer several requests, one after
// another. A child that exceeds a limit, dies or answers wrongly is not used again, and so is one that
// has answered maxRequests. Safe for concurrent use.
type Pool struct {
	program Program
	mode    string
	most    int // idle children

	mu     sync.Mutex
	idle   []*worker
	closed bool
}

// Pool returns a pool of children that run a mode (Main), and keeps at most as many that are idle. The
// caller closes it.
func (p Program) Pool(mode string, idle int) *Pool {
	return &Pool{program: p.withDefaults(), mode: mode, most: idle}
}

// Run gives a request to a child, and returns what it answers. The answer is untrusted: a template of
// this request, or of one before it, may have taken over the child.
//
// What an earlier request does to a child cannot make a later one exceed a limit: where that happens
// in a child that was used before, the request is tried once more in a new one.
//
// Errors: *LimitError; that of ctx; others say that the child could not be started.
func (p *Pool) Run(ctx context.Context, request []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if w := p.take(); w != nil {
		// Less time than it may have, so that there is enough for another try.
		answer, err := p.ask(ctx, w, request, p.program.Time/3)
		if err == nil || ctx.Err() != nil {
			return answer, err
		}
	}
	w, err := p.start()
	if err != nil {
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	return p.ask(ctx, w, request, p.program.Time)
}

// Close ends the idle children. Those that run end with their request.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range idle {
		w.end()
	}
}

// take returns an idle child, or nil.
func (p *Pool) take() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	w := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return w
}

// give makes a child idle, or ends it.
func (p *Pool) give(w *worker) {
	p.mu.Lock()
	kept := !p.closed && len(p.idle) < p.most && w.answered < maxRequests
	if kept {
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
	if !kept {
		w.end()
	}
}

func (p *Pool) ask(ctx context.Context, w *worker, request []byte, limit time.Duration) ([]byte, error) {
	ctx, stop := context.WithTimeoutCause(ctx, limit, &LimitError{"did not end within " + seconds(limit)})
	defer stop()
	answer, err := w.ask(ctx, request)
	if err == nil {
		p.give(w)
	}
	return answer, err
}

// worker is a child that answers requests.
type worker struct {
	program  Program
	cmd      *exec.Cmd
	ctx      context.Context // with its end, the child is killed
	cancel   context.CancelCauseFunc
	stdin    io.Writer
	stdout   io.ReadCloser
	stderr   *head
	answered int
}

func (p *Pool) start() (*worker, error) {
	w := &worker{program: p.program, stderr: &head{limit: stderrHead}}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	var pipes error
	var err error
	w.cmd, err = start(func() *exec.Cmd {
		cmd := p.program.command(w.ctx, Command{Args: []string{p.mode}})
		cmd.Stderr = w.stderr
		var failed [2]error
		w.stdin, failed[0] = cmd.StdinPipe()
		w.stdout, failed[1] = cmd.StdoutPipe()
		pipes = errors.Join(failed[:]...)
		return cmd
	}, false)
	if err = errors.Join(pipes, err); err != nil {
		w.cancel(err)
		return nil, err
	}
	return w, nil
}

// ask returns the answer to a request. With an error, the child has ended.
func (w *worker) ask(ctx context.Context, request []byte) ([]byte, error) {
	undo := context.AfterFunc(ctx, func() {
		w.cancel(context.Cause(ctx))
		_ = w.stdout.Close() // another process may hold it
	})
	defer undo()
	answer, err := w.exchange(request)
	if err == nil && undo() {
		w.answered++
		return answer, nil
	}
	if limit := (*LimitError)(nil); errors.As(err, &limit) {
		w.cancel(limit)
	}
	return nil, w.failure(ctx)
}

// exchange writes a request, and reads the answer.
func (w *worker) exchange(request []byte) ([]byte, error) {
	if err := writeFrame(w.stdin, request); err != nil {
		return nil, err
	}
	size, err := readSize(w.stdout)
	if err != nil {
		return nil, err
	}
	if size > uint64(w.program.Output) {
		return nil, &LimitError{"writes more than " + mebibytes(w.program.Output)}
	}
	answer := &head{limit: int(size)} // grows with what comes, whatever the size says
	if _, err := io.CopyN(answer, w.stdout, int64(size)); err != nil {
		return nil, err
	}
	return slices.Concat(answer.parts...), nil
}

// failure waits for a child that does not answer, and says why.
func (w *worker) failure(ctx context.Context) error {
	err := w.cmd.Wait()
	end(w.cmd)
	for _, of := range []context.Context{ctx, w.ctx} {
		if cause := context.Cause(of); cause != nil {
			return cause
		}
	}
	w.cancel(nil)
	return w.program.ended(err, false, w.stderr)
}

// end kills a child.
func (w *worker) end() {
	w.cancel(nil)
	_ = w.cmd.Wait() // it was killed
	end(w.cmd)
}

// writeFrame writes data behind its size.
func writeFrame(w io.Writer, data []byte) error {
	if _, err := w.Write(binary.BigEndian.AppendUint64(nil, uint64(len(data)))); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// readSize reads the size of a frame.
func readSize(r io.Reader) (uint64, error) {
	var size [8]byte
	_, err := io.ReadFull(r, size[:])
	return binary.BigEndian.Uint64(size[:]), err
}
