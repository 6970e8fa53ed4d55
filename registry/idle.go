package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// stalled is the error of a transfer in which no byte came or went for that long.
type stalled time.Duration

func (s stalled) Error() string { return fmt.Sprintf("no data for %v", time.Duration(s)) }

// watchedConn is a connection that fails when the other side accepts no data for idle. Reading has
// no such limit: a connection may wait for its next request.
type watchedConn struct {
	net.Conn
	idle time.Duration
}

// Write implements io.Writer. It sets a new deadline whenever some bytes were written.
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

// ReadFrom implements io.ReaderFrom: the transport sends the body of a request through it, in larger
// pieces than its own.
func (c watchedConn) ReadFrom(r io.Reader) (int64, error) {
	buffer := sendBuffers.Get().(*[sendSize]byte)
	defer sendBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c}, r, buffer[:])
}

// sendSize is how many bytes of a blob are sent at a time.
const sendSize = 256 << 10

var sendBuffers = sync.Pool{New: func() any { return new([sendSize]byte) }}

// watchedBody is the body of an answer. Read fails with stalled when no byte comes for idle. Only
// the time inside of Read counts: a slow consumer is no stall. Close calls release.
type watchedBody struct {
	io.ReadCloser
	ctx     context.Context // of the request
	idle    time.Duration
	whole   bool // the whole body, which is small, must come within idle
	timer   *time.Timer
	release func()
}

// watch returns the body of an answer to a request with ctx. cancel ends that request.
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
	n, err := b.ReadCloser.Read(p) // when we cancel, a server may end even an incomplete body without an error
	if n > 0 {
		observerIn(b.ctx).moved()
	}
	var stall stalled
	if err != nil && errors.As(context.Cause(b.ctx), &stall) {
		return n, stall
	}
	return n, err
}

// Close implements io.Closer. It may be called twice.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.release()
	return err
}
