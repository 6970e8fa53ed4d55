//go:build unix

package tarball

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// space returns the bytes that are free in dir for this user, and the size of the largest file
// that its file system can hold.
func space(dir string) (free, limit int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	limit = math.MaxInt64
	if isFAT(&s) {
		limit = math.MaxUint32
	}
	return int64(s.Bavail) * int64(s.Bsize), limit, nil
}

// allocated returns the bytes of disk that a file takes.
func allocated(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512 // st_blocks counts 512 bytes on every file system
	}
	return info.Size()
}

// noSpace marks the errors of a full or limited file system with ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
