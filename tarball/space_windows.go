package tarball

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

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
	limit = math.MaxInt64
	if isFAT(p) {
		limit = math.MaxUint32
	}
	return int64(min(n, math.MaxInt64)), limit, nil
}

// isFAT reports whether the folder at path is on FAT, whose files have at most 4 GiB - 1.
func isFAT(path *uint16) bool {
	var root, system [windows.MAX_PATH + 1]uint16
	if windows.GetVolumePathName(path, &root[0], uint32(len(root))) != nil {
		return false
	}
	err := windows.GetVolumeInformation(&root[0], nil, 0, nil, nil, nil, &system[0], uint32(len(system)))
	return err == nil && strings.HasPrefix(windows.UTF16ToString(system[:]), "FAT")
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
