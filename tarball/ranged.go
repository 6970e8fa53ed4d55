package tarball

import (
	"bytes"
	"context"
	"errors"
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

// OpenRanged opens the archive in r, as Open does. Closing it closes r. What comes before the layers is read in
// few large ranges; a large layer is one range, and many small ones that are read in file order are one.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; those of r.
func OpenRanged(r Ranged) (*Archive, error) {
	h := &head{r: r, end: r.Size()}
	h.end = h.guess()
	a, err := NewArchive(h, r.Size())
	if isOfFile(err) {
		err = fmt.Errorf("%s %w", r.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	for i, b := range a.l.blobs {
		if a.mediaType[b.Digest] != "" && a.imgpkg == nil {
			h.end = a.l.offsets[i] + member(b.Size)
		}
	}
	next := 0
	for next < len(a.l.offsets) && a.l.offsets[next] < h.end {
		next++
	}
	a.ranged, a.ahead = r, &ahead{r: r, l: a.l, from: h.end, next: next}
	return a, nil
}

const (
	headBlock = 1 << 20 // bytes that are kept or forgotten together
	headRead  = 4       // blocks that are read with one request
	headKept  = 16      // blocks that are kept
)

// head reads what comes before the layers in blocks, and keeps some: the documents and manifests there are small,
// and read in about their order. Behind it, it reads what is asked for.
type head struct {
	r   Ranged
	end int64 // offset

	mu     sync.Mutex
	blocks map[int64][]byte
	order  []int64 // of blocks, the oldest first
}

// guess returns where the head may end before the inventory is known, so that nothing else is read in blocks.
func (h *head) guess() int64 {
	first := make([]byte, blockSize)
	if _, err := h.ReadAt(first, 0); err != nil {
		return 0
	}
	switch {
	case bytes.HasPrefix(first, []byte("oci-layout\x00")):
		return h.end
	case IsImgpkg(first):
		if n, err := documentSize(h, h.end, 0, imgpkgDocument, maxImgpkgDocument); err == nil {
			return member(n)
		}
	}
	return 0
}

// ReadAt implements io.ReaderAt.
func (h *head) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 || at+int64(len(p)) > h.end {
		return h.r.ReadAt(p, at)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for n < len(p) {
		b, err := h.block((at + int64(n)) / headBlock)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[(at+int64(n))%headBlock:])
	}
	return n, nil
}

// block returns a block, and reads it and those after it when it is not there. The caller holds the lock.
func (h *head) block(i int64) ([]byte, error) {
	if b, ok := h.blocks[i]; ok {
		return b, nil
	}
	n := min(headRead*headBlock, h.end-i*headBlock)
	if i == 0 {
		n = min(headBlock, h.end) // which the file may have read when it was opened
	}
	b := make([]byte, n)
	if _, err := h.r.ReadAt(b, i*headBlock); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if h.blocks == nil {
		h.blocks = map[int64][]byte{}
	}
	for k := i; len(b) > 0; k++ {
		n := min(headBlock, len(b))
		if _, has := h.blocks[k]; !has {
			h.order = append(h.order, k)
		}
		h.blocks[k], b = b[:n:n], b[n:]
	}
	for len(h.order) > headKept {
		delete(h.blocks, h.order[0])
		h.order = h.order[1:]
	}
	return h.blocks[i], nil
}

// open opens the content of blob i, unchecked. In the head, a small one is read from its blocks.
func (a *Archive) open(ctx context.Context, i int) (io.ReadCloser, error) {
	at, size := a.l.offsets[i]+blockSize, a.l.blobs[i].Size
	if a.ranged == nil || at < a.ahead.from && size <= headBlock {
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
