package httpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"relocate/registry"
)

// Counts says what reading a file has cost.
type Counts struct {
	Requests int64 `json:"requests"` // without redirects, and those that were sent again after a wait
	Asked    int64 `json:"asked"`    // bytes of the ranges
	Read     int64 `json:"read"`     // bytes that were read of them
	Resumed  int64 `json:"resumed"`  // ranges that were continued after they had broken off
	Waits    int64 `json:"waits"`    // before a request that was refused, or not answered, was sent again
	Renewed  int64 `json:"renewed"`  // times that a new link was taken
}

// Plus returns the sum of two Counts.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		Requests: c.Requests + o.Requests, Asked: c.Asked + o.Asked, Read: c.Read + o.Read,
		Resumed: c.Resumed + o.Resumed, Waits: c.Waits + o.Waits, Renewed: c.Renewed + o.Renewed,
	}
}

// counts are Counts that change.
type counts struct{ requests, asked, read, resumed, waits, renewed atomic.Int64 }

// Counts returns what reading the file has cost so far.
func (f *File) Counts() Counts {
	c := &f.counts
	return Counts{c.requests.Load(), c.asked.Load(), c.read.Load(), c.resumed.Load(), c.waits.Load(), c.renewed.Load()}
}

// progress is the number of bytes after which the tries of a range are counted again: a large one may need many
// connections. A server that sends one byte on each is given up.
const progress = 64 << 10

// stream reads a range.
type stream struct {
	f     *File
	ctx   context.Context
	stop  func()
	front []byte // comes before the body
	body  io.ReadCloser
	req   *http.Request // for the body
	at    int64         // offset of the next byte
	end   int64         // of the range
	came  int64         // bytes since tries were counted again
	tries int
}

// open asks for a range. Of the first one of a file the end is not known before.
func (f *File) open(ctx context.Context, at, n int64) (*stream, error) {
	ctx, cancel := context.WithCancelCause(registry.Observe(ctx, registry.Observer{
		Retrying: func(string, error, time.Duration) { f.counts.waits.Add(1) },
	}))
	unwatch := context.AfterFunc(f.ctx, func() { cancel(context.Cause(f.ctx)) })
	s := &stream{f: f, ctx: ctx, at: at, stop: func() { unwatch(); cancel(nil) }}
	res, err := f.get(ctx, at, n)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.body, s.req, s.end = res.Body, res.Request, min(at+n, f.size)
	return s, nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.at == s.end {
			return 0, io.EOF
		}
		if n := copy(p, s.front); n > 0 {
			s.front = s.front[n:]
			s.at += int64(n)
			return n, nil
		}
		n, err := s.body.Read(p[:min(int64(len(p)), s.end-s.at)])
		s.at += int64(n)
		s.came += int64(n)
		s.f.counts.read.Add(int64(n))
		if n > 0 || err == nil { // an error comes again
			return n, nil
		}
		if err := s.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume asks for the rest of a range that broke off.
func (s *stream) resume(cause error) error {
	_ = s.body.Close()
	s.body = http.NoBody
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	if s.came >= progress {
		s.tries = 0
	}
	s.came = 0
	s.tries++
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if s.tries >= s.f.opt.Tries {
		return fmt.Errorf("read %s: broke off at byte %d, %d before the end of a range: %w (%d tries)",
			s.f.name, s.at, s.end-s.at, s.f.clean(s.req, cause), s.tries)
	}
	select {
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-time.After(s.f.opt.RetryWait << min(s.tries-1, 5) / 2):
	}
	s.f.counts.resumed.Add(1)
	res, err := s.f.get(s.ctx, s.at, s.end-s.at)
	if err != nil {
		return err
	}
	s.body, s.req = res.Body, res.Request
	return nil
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.stop()
	return s.body.Close()
}
