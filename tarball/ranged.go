package tarball

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Ranged is a file that is read in ranges, each of which is a request to a server. An *httpfile.File is one. Its
// errors name it. It is safe for concurrent use.
type Ranged interface {
	io.ReaderAt
	Size() int64 // in bytes
	Name() string

	// Range opens n bytes from at on, with one request.
	Range(ctx context.Context, at, n int64) (io.ReadCloser, error)

	// Unchanged returns an error when the file is no longer the one that was opened. A read does, too.
	Unchanged() error

	Close() error
}

// framesAtOnce is how many frames of an archive on a server are read at once: each is a request.
const framesAtOnce = 16

// IsRanged reports whether OpenRanged opened the archive.
func (a *Archive) IsRanged() bool { return a.ranged != nil }

// OpenRanged opens the archive in r, as Open does. Closing it closes r. What comes before the layers is read in
// few large ranges; a large layer is one range, and many small ones that are read in file order are one. In
// imgpkg's format, to open it takes a request for each layer, one after the other.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; those of r.
func OpenRanged(r Ranged) (*Archive, error) {
	h := &head{r: r, end: r.Size()}
	if err := h.guess(); err != nil {
		return nil, err
	}
	a, err := NewArchive(h, r.Size())
	if isOfFile(err) {
		err = fmt.Errorf("%s %w", r.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	h.settle(a)
	a.ranged, a.ahead = r, &ahead{r: r, l: a.l, from: h.end}
	for a.ahead.next < len(a.l.offsets) && a.l.offsets[a.ahead.next] < h.end {
		a.ahead.next++
	}
	a.ahead.top = a.ahead.next - 1
	return a, nil
}

// open opens the content of blob i, unchecked. The small ones in the head of an archive on a server come from
// its blocks.
func (a *Archive) open(ctx context.Context, i int) (io.ReadCloser, error) {
	at, size := a.l.offsets[i]+blockSize, a.l.blobs[i].Size
	if a.ranged == nil || at < a.ahead.from && (size <= headBlock || a.ahead.from <= headKept*headBlock) {
		return io.NopCloser(io.NewSectionReader(a.r, at, size)), nil
	}
	return a.ahead.open(ctx, i)
}

// forward is content of a Ranged that is read from front to back: a range is read on until another place is asked
// for.
type forward struct {
	r       Ranged
	at, end int64 // of the content

	mu   sync.Mutex
	body io.ReadCloser // nil: none is open
	next int64         // offset in the file of its next byte
}

// ReadAt implements io.ReaderAt. Offsets begin at the content.
func (f *forward) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.at + off
	n := max(0, min(int64(len(p)), f.end-at))
	if n > 0 && (f.body == nil || f.next != at) {
		err := f.close()
		if err == nil {
			f.body, err = f.r.Range(context.Background(), at, f.end-at)
		}
		if err != nil {
			return 0, err
		}
		f.next = at
	}
	if n == 0 {
		return 0, io.EOF
	}
	got, err := io.ReadFull(f.body, p[:n])
	f.next += int64(got)
	if err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

// Close implements io.Closer.
func (f *forward) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

func (f *forward) close() error {
	if f.body == nil {
		return nil
	}
	body := f.body
	f.body = nil
	return body.Close()
}
