package tarball

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// isFAT reports whether the file system is FAT, whose files have at most 4 GiB - 1.
func isFAT(s *unix.Statfs_t) bool { return s.Type == unix.MSDOS_SUPER_MAGIC }

// allocate reserves the blocks of a file of size bytes, so that a full disk is found before
// anything is fetched. On a file system that cannot reserve cheaply it does nothing.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) { // a terminal was resized, for example
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
