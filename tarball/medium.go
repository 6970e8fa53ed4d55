package tarball

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrOnce says that what has an archive's name can be read only once, from front to back: OpenStream reads it.
var ErrOnce = errors.New("can be read only once, from front to back")

// maxZeros is how many zero bytes may follow the end of an archive. GNU tar, dd and data diodes fill
// the last block, which has a few MiB at most.
const maxZeros = 1 << 30

// IsOnce reports whether what info describes can be read only once, from front to back: a FIFO, a tape.
func IsOnce(info fs.FileInfo) bool {
	return info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0
}

// checkKind refuses what is neither a file nor a block device.
func checkKind(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("%w: it is a folder", ErrNotArchive)
	case IsOnce(info):
		return ErrOnce
	}
	return nil
}

// isDevice reports whether an archive's end is not that of what it is on.
func isDevice(info fs.FileInfo) bool { return info.Mode()&fs.ModeDevice != 0 }

// openMedium reads the inventory of an archive in a file, or on a block device.
func openMedium(f *os.File, info fs.FileInfo) (*Archive, error) {
	if !isDevice(info) {
		return NewArchive(f, info.Size())
	}
	a, err := readArchive(f, math.MaxInt64) // not all systems say how large a device is
	if err != nil {
		return nil, err
	}
	a.unread = true
	if _, err := f.ReadAt(make([]byte, 1), a.l.size-1); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the device ends before byte %d, where the archive ends", ErrTruncated, a.l.size)
	} else if err != nil {
		return nil, err
	}
	return a, nil
}

// After says what is behind the archive's end: how many zero bytes, which were ignored; or that nothing
// there was read, because the archive is on a device.
func (a *Archive) After() (zeros int64, unread bool) { return a.zeros, a.unread }

// Sum returns the SHA-256 of the file that Open opened, which it reads; zero where the file is larger than limit
// bytes or has more in it than the archive, and for volumes.
//
// Errors: ErrDamaged when the file was changed.
func (a *Archive) Sum(limit int64) (v1.Hash, error) {
	if a.f == nil || a.unread || a.zeros > 0 || a.l.size > limit {
		return v1.Hash{}, nil
	}
	d, _, err := v1.SHA256(io.NewSectionReader(a.r, 0, a.l.size))
	return d, errors.Join(err, a.Unchanged())
}

// checkZeros checks that only zero bytes follow the end of an archive, up to byte size.
func checkZeros(r io.ReaderAt, end, size int64) error {
	if size-end > maxZeros {
		return fmt.Errorf("%w: %d bytes follow its end at %d, more than the limit of %d", ErrDamaged, size-end, end, maxZeros)
	}
	buf := make([]byte, min(size-end, 1<<20))
	for at := end; at < size; {
		part := buf[:min(int64(len(buf)), size-at)]
		if _, err := r.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read what follows its end: %w", err)
		}
		if err := onlyZeros(part, at, end); err != nil {
			return err
		}
		at += int64(len(part))
	}
	return nil
}

// onlyZeros refuses other bytes than zeros in what was read at an offset behind the end.
func onlyZeros(b []byte, at, end int64) error {
	if bytes.Count(b, []byte{0}) == len(b) {
		return nil
	}
	i := len(b) - len(bytes.TrimLeft(b, "\x00"))
	return fmt.Errorf("%w: other bytes than zeros follow its end at %d, from byte %d on", ErrDamaged, end, at+int64(i))
}
