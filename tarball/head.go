package tarball

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

const (
	headBlock = 1 << 20 // bytes that are kept or forgotten together
	headRead  = 4       // blocks of a large head that are read with one request
	headKept  = 16      // blocks that are kept; a head of up to that many is read with one request

	scanRead = 4 * blockSize // bytes that are read for a header of another program's tar, with what is around it
)

// head reads what comes before the layers in blocks, and keeps some: the documents and manifests there are small,
// and read in about their order. Behind it, it reads what is asked for.
type head struct {
	r      Ranged
	end    int64 // offset
	known  bool  // end is where the inventory says that the layers begin
	scans  bool  // headers behind end are read one after the other
	mu     sync.Mutex
	blocks map[int64][]byte
	order  []int64 // of blocks, the oldest first
	around []byte  // the last header that was read by a scan, and what is around it
	at     int64   // its offset
}

// guess sets where the head may end before the inventory is known, so that nothing else is read in blocks.
func (h *head) guess() error {
	first := make([]byte, blockSize)
	if _, err := h.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.HasPrefix(first, []byte("oci-layout\x00")) {
		return nil
	}
	end := int64(0)
	if IsImgpkg(first) {
		if n, err := documentSize(h, h.end, 0, imgpkgDocument, maxImgpkgDocument); err == nil {
			end = member(n)
		}
	}
	h.end, h.scans = end, true
	return nil
}

// settle sets where the head of an archive ends: with the last manifest, and the config that follows it.
func (h *head) settle(a *Archive) {
	h.known, h.scans, h.around = true, false, nil
	if a.imgpkg != nil {
		return
	}
	last := 0
	for i, b := range a.l.blobs {
		if a.mediaType[b.Digest] != "" {
			last = i
		}
	}
	for i := last; i < len(a.l.blobs) && (i == last || i <= last+1 && a.l.blobs[i].Size <= headBlock); i++ {
		h.end = a.l.offsets[i] + member(a.l.blobs[i].Size)
	}
}

// ReadAt implements io.ReaderAt.
func (h *head) ReadAt(p []byte, at int64) (n int, err error) {
	switch {
	case at >= 0 && at+int64(len(p)) <= h.end:
		return h.readBlocks(p, at)
	case h.scans && len(p) <= blockSize:
		return h.readAround(p, at)
	}
	return h.r.ReadAt(p, at)
}

// readBlocks fills p from blocks.
func (h *head) readBlocks(p []byte, at int64) (n int, err error) {
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

// block returns a block, and reads it with others when it is not there. The caller holds the lock.
func (h *head) block(i int64) ([]byte, error) {
	if b, ok := h.blocks[i]; ok {
		return b, nil
	}
	first, n := h.together(i)
	b := make([]byte, min(n*headBlock, h.end-first*headBlock))
	if _, err := h.r.ReadAt(b, first*headBlock); err != nil {
		return nil, err
	}
	if h.blocks == nil {
		h.blocks = map[int64][]byte{}
	}
	for k := first; len(b) > 0; k++ {
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

// together returns the first of the blocks that are read with block i, and how many they are. A head that can be
// kept is read to its end. As long as the end is not known, they are as many as come before them.
func (h *head) together(i int64) (first, n int64) {
	switch {
	case !h.known:
		return i, min(max(1, i), headRead)
	case h.end > headKept*headBlock:
		return i, headRead
	}
	for h.blocks[first] != nil {
		first++
	}
	return first, headKept
}

// readAround fills p, of at most a block, with what a scan asks for: the end of a member, its padding and the next
// header come one after the other.
func (h *head) readAround(p []byte, at int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at < h.at || at+int64(len(p)) > h.at+int64(len(h.around)) {
		around := make([]byte, scanRead)
		n, err := h.r.ReadAt(around, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		h.around, h.at = around[:n], at
	}
	n := copy(p, h.around[at-h.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
