package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// content is the content of an upload. It is read in pieces, one for each request: a connection may
// still read a piece when the registry has answered. To read bytes again, it is opened again.
// Errors of reading are kept apart from errors of sending.
type content struct {
	ctx  context.Context
	open func(context.Context) (io.ReadCloser, error)

	stream io.ReadCloser // nil: not open
	cancel context.CancelFunc
	at     int64  // offset of the stream's next byte
	err    error  // of open or Read
	last   *piece // nil: none, or closed
}

// piece returns size bytes from an offset. It closes the piece before.
func (c *content) piece(from, size int64) (io.ReadCloser, error) {
	if err := c.stop(); err != nil {
		return nil, err
	}
	if err := c.seek(from); err != nil {
		return nil, err
	}
	c.last = &piece{content: c, closed: make(chan struct{})}
	c.last.left.Store(size)
	return c.last, nil
}

// stop waits until the last piece is closed. It returns the error of reading, if there is one.
func (c *content) stop() error {
	if c.last == nil {
		return c.err
	}
	if c.last.left.Load() > 0 {
		c.last.ended.Store(true) // we end it: later errors of reading are not the source's
		c.cancel()
	}
	<-c.last.closed
	if c.last.left.Load() > 0 {
		c.close()
	}
	c.last = nil
	return c.err
}

// pause is stop. It also closes the stream, unless that was read to its end: an open download holds
// a slot (limiter).
func (c *content) pause(size int64) error {
	err := c.stop()
	if c.at < size {
		c.close()
	}
	return err
}

// seek makes from the offset of the next byte of the stream.
func (c *content) seek(from int64) error {
	if c.stream != nil && c.at > from {
		c.close()
	}
	if c.stream == nil {
		ctx, cancel := context.WithCancel(c.ctx)
		stream, err := c.open(ctx)
		if err != nil {
			cancel()
			c.err = err
			return err
		}
		c.stream, c.cancel, c.at = stream, cancel, 0
	}
	n, err := io.CopyN(io.Discard, c.stream, from-c.at)
	c.at += n
	if err != nil {
		c.fail(err)
	}
	return c.err
}

// finish checks that the content ends at size, and without an error.
func (c *content) finish(size int64) error {
	if err := c.stop(); err != nil {
		return err
	}
	if err := c.seek(size); err != nil {
		return err
	}
	var extra [1]byte
	switch n, err := io.ReadFull(c.stream, extra[:]); {
	case n > 0:
		c.err = fmt.Errorf("the content has more than %d bytes", size)
	case err != io.EOF:
		c.err = err
	}
	return c.err
}

// fail keeps an error of reading. An end before the expected size is io.ErrUnexpectedEOF.
func (c *content) fail(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.err = err
}

// close closes the stream. No piece may be reading it.
func (c *content) close() {
	if c.stream != nil {
		_ = c.stream.Close() // its error no longer matters
		c.cancel()
		c.stream = nil
	}
}

// piece is the content of one request.
type piece struct {
	content *content
	left    atomic.Int64
	ended   atomic.Bool
	once    sync.Once
	closed  chan struct{}
}

func (p *piece) Read(b []byte) (int, error) {
	left := p.left.Load()
	if left == 0 {
		return 0, io.EOF
	}
	n, err := p.content.stream.Read(b[:min(int64(len(b)), left)])
	p.content.at += int64(n)
	p.left.Store(left - int64(n))
	if err == nil || errors.Is(err, io.EOF) && left == int64(n) {
		return n, nil
	}
	if !p.ended.Load() {
		p.content.fail(err)
	}
	return n, err
}

// Close implements io.Closer. net/http may call it twice.
func (p *piece) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
