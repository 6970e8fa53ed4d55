package tarball

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// space returns the bytes that are free in dir for this user, and the size of the largest file
// that its file system can hold.
func space(dir string) (free, limit int64, err error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var n uint64
	if err := windows.GetDiskFreeSpaceEx(p, &n, nil, nil); err != nil {
		return 0, 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return int64(min(n, math.MaxInt64)), math.MaxInt64, nil
}

// allocate does nothing: the size is checked against the free space.
func allocate(*os.File, int64) error { return nil }

// allocated returns the bytes of disk that a file takes.
func allocated(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// noSpace marks the errors of a full or limited file system with ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_FILE_TOO_LARGE) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
