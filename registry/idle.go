package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// stalled says that the other side sent or took no byte for so long.
type stalled time.Duration

func (s stalled) Error() string { return fmt.Sprintf("no byte for %v", time.Duration(s)) }

// watchedConn is a connection whose other side must go on taking what is written to it. Reading has no
// such limit here: a connection may wait for its next request.
type watchedConn struct {
	net.Conn
	idle time.Duration
}

// Write implements io.Writer. A deadline that passes while some bytes went is no stall.
func (c watchedConn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:])
		written += n
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return written, err
		case n == 0:
			return written, stalled(c.idle)
		}
	}
}

// watchedBody is the body of an answer. It fails with stalled when no byte comes for too long; only time
// inside Read counts, as a slow consumer is no stall. What it holds is given back by Close.
type watchedBody struct {
	io.ReadCloser
	ctx     context.Context // of the request
	idle    time.Duration
	whole   bool // all of it must come in that time: it is small
	timer   *time.Timer
	release func()
}

// watch returns the body of an answer to a request with ctx, which cancel ends.
func watch(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, idle time.Duration, whole bool, release func()) *watchedBody {
	timer := time.AfterFunc(idle, func() { cancel(stalled(idle)) })
	if !whole {
		timer.Stop()
	}
	return &watchedBody{body, ctx, idle, whole, timer, release}
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if !b.whole {
		b.timer.Reset(b.idle)
		defer b.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p) // a server that sees us go may end even a broken body well
	if n > 0 {
		observerIn(b.ctx).moved()
	}
	var stall stalled
	if err != nil && errors.As(context.Cause(b.ctx), &stall) {
		return n, stall
	}
	return n, err
}

// Close implements io.Closer; calling it twice is harmless.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.release()
	return err
}
