package interop

import (
	"archive/tar"
	"bytes"
	"fmt"
	"sync/atomic"
)

// Ends is an archive of which only the first and the last bytes exist: the rest must not be read.
type Ends struct {
	Head, Tail []byte
	Size       int64
	Read       atomic.Int64 // bytes
}

// slack is how many bytes behind the head may be read with it. They are zero.
const slack = 64 << 10

// ArchiveEnd returns the end of an archive with that seal: the seal's member and two blocks of zeros.
func ArchiveEnd(seal string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	content := seal + "\n"
	if err := w.WriteHeader(&tar.Header{Name: "seal", Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func (e *Ends) ReadAt(p []byte, at int64) (int, error) {
	e.Read.Add(int64(len(p)))
	clear(p)
	end, tail := at+int64(len(p)), e.Size-int64(len(e.Tail))
	switch {
	case end <= int64(len(e.Head))+slack:
		copy(p, e.Head[min(at, int64(len(e.Head))):])
	case at >= tail-511 && end <= e.Size: // with the padding before it
		copy(p[max(tail-at, 0):], e.Tail[max(at-tail, 0):])
	default:
		return 0, fmt.Errorf("read %d bytes at %d, between the head of %d and the tail at %d", len(p), at, len(e.Head), tail)
	}
	return len(p), nil
}
