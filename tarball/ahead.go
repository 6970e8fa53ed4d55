package tarball

import (
	"context"
	"io"
	"slices"
	"sync"
)

const (
	smallBlob  = 4 << 20   // bytes of the largest blob that is read together with others
	firstRun   = 256 << 10 // bytes that are read together at first, when blobs are read in file order
	largestRun = 16 << 20  // and at most
	mostRuns   = 3         // that are kept for blobs which nobody has asked for yet

	// mostSkipped is how many blobs may be skipped for each that is asked for, on average: where many are not wanted,
	// as when the destination has them, each is read alone.
	mostSkipped = 1
	nearBlobs   = 8 // of which the average is; so many are read at once, in about their order
)

// ahead opens the blobs of an archive on a server. When small ones are asked for in file order, it asks the server
// for more and more of them at once, as a file system reads ahead. It has no goroutine: who reads a blob reads what
// comes before it.
type ahead struct {
	r    Ranged
	l    *layout
	from int64 // offset of what it may read together: the head is not

	mu      sync.Mutex
	runs    []*run  // with blobs that nobody has asked for, the oldest first
	next    int     // the blob after the last run, and after all that were read alone
	top     int     // the last blob that was asked for, in file order
	skipped float64 // blobs between those that are asked for, a moving average
	window  int64   // bytes of the last run at most
}

// run is a range with several blobs.
type run struct {
	first   int
	waiting []bool // blobs from first on that nobody has asked for
	users   int    // readers that are open; under the lock of ahead
	at      int64  // offset in the file

	mu   sync.Mutex
	body io.ReadCloser // nil: not opened, or closed
	buf  []byte        // all of the range
	have int           // bytes in buf
	err  error         // of reading the rest
}

// open opens blob i.
func (a *ahead) open(ctx context.Context, i int) (io.ReadCloser, error) {
	size := a.l.blobs[i].Size
	at := a.l.offsets[i] + blockSize
	a.mu.Lock()
	of := a.take(i)
	a.mu.Unlock()
	if of == nil {
		return a.r.Range(ctx, at, size)
	}
	return &piece{ctx: ctx, of: a, run: of, at: int(at - of.at), end: int(at - of.at + size)}, nil
}

// take returns the run that has blob i; nil when it is to be read alone.
func (a *ahead) take(i int) *run {
	a.skipped += (float64(min(max(0, i-a.top-1), nearBlobs)) - a.skipped) / nearBlobs
	a.top = max(a.top, i)
	for _, of := range a.runs {
		if k := i - of.first; k >= 0 && k < len(of.waiting) && of.waiting[k] {
			of.waiting[k] = false
			of.users++
			if !slices.Contains(of.waiting, true) {
				a.forget(of)
			}
			return of
		}
	}
	if i < a.next { // it was asked for before, or out of order
		return nil
	}
	last := i
	if a.skipped < mostSkipped {
		a.window = min(max(4*a.window, firstRun), largestRun)
		last = a.last(i)
	} else {
		a.window /= 4
	}
	a.next = last + 1
	if last == i {
		return nil
	}
	of := &run{first: i, waiting: make([]bool, last+1-i), users: 1, at: a.l.offsets[i] + blockSize}
	for k := 1; k < len(of.waiting); k++ {
		of.waiting[k] = true
	}
	if len(a.runs) == mostRuns {
		a.forget(a.runs[0])
	}
	a.runs = append(a.runs, of)
	return of
}

// last returns the last blob of a run from blob i on.
func (a *ahead) last(i int) int {
	at := a.l.offsets[i]
	if a.l.blobs[i].Size > smallBlob || at < a.from {
		return i
	}
	for k := i + 1; k < len(a.l.blobs); k++ {
		size := a.l.blobs[k].Size
		isNext := a.l.offsets[k] == a.l.offsets[k-1]+member(a.l.blobs[k-1].Size) // else it is another program's tar
		if size > smallBlob || !isNext || a.l.offsets[k]+member(size)-at > a.window {
			return k - 1
		}
	}
	return len(a.l.blobs) - 1
}

// forget gives nobody a blob of a run any more. The caller holds the lock.
func (a *ahead) forget(of *run) {
	a.runs = slices.DeleteFunc(a.runs, func(other *run) bool { return other == of })
	if of.users == 0 {
		of.close()
	}
}

// done ends the use of a run by a reader.
func (a *ahead) done(of *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of.users--
	if of.users == 0 && !slices.Contains(a.runs, of) {
		of.close()
	}
}

// fail forgets a run that cannot be read on: its other blobs are to be asked for again.
func (a *ahead) fail(of *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(of)
}

// close closes the range of a run that nobody reads.
func (of *run) close() {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.body != nil {
		_ = of.body.Close() // it was only read
		of.body = nil
	}
}

// read reads the range until buf has more than n bytes, and returns how many it has.
func (of *run) read(ctx context.Context, a *ahead, n int) (int, error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	for of.have <= n && of.err == nil {
		if err := ctx.Err(); err != nil {
			return 0, err // others may read on
		}
		if of.buf == nil {
			of.err = of.begin(ctx, a)
			continue
		}
		var got int
		got, of.err = of.body.Read(of.buf[of.have:min(len(of.buf), of.have+hashBuffer)])
		of.have += got
		if of.have == len(of.buf) {
			of.err = of.body.Close()
			of.body = nil
		}
	}
	if of.have > n {
		return of.have, nil
	}
	return 0, of.err
}

// begin asks for the range. It outlives the reader that begins it.
func (of *run) begin(ctx context.Context, a *ahead) (err error) {
	last := of.first + len(of.waiting) - 1
	size := a.l.offsets[last] + blockSize + a.l.blobs[last].Size - of.at
	if of.body, err = a.r.Range(context.WithoutCancel(ctx), of.at, size); err == nil {
		of.buf = make([]byte, size)
	}
	return err
}

// piece reads a blob of a run.
type piece struct {
	ctx     context.Context
	of      *ahead
	run     *run
	at, end int // in the run's buffer
	closed  bool
}

// Read implements io.Reader.
func (p *piece) Read(b []byte) (int, error) {
	if p.at == p.end {
		return 0, io.EOF
	}
	have, err := p.run.read(p.ctx, p.of, p.at)
	if err != nil {
		if p.ctx.Err() == nil {
			p.of.fail(p.run)
		}
		return 0, err
	}
	n := copy(b, p.run.buf[p.at:min(have, p.end)])
	p.at += n
	return n, nil
}

// Close implements io.Closer.
func (p *piece) Close() error {
	if !p.closed {
		p.closed = true
		p.of.done(p.run)
	}
	return nil
}
