package tarball

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"relocate/internal/ownfile"
)

// CheckTarget refuses a path that cannot become an archive: a folder, a device, a symbolic link (which
// would be replaced, and what it points to stay), a file in a folder that is not there, or one whose
// ".part" or journal is another program's (ErrPartExists) or may be another user's (ownfile.ErrUnsafe).
// Create does so, too; a caller may want to know before it has planned anything.
func CheckTarget(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		err = errors.New("it is a folder")
	case err == nil && info.Mode().Type() == fs.ModeSymlink:
		err = errors.New("it is a symbolic link; name the file that it points to")
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("it is not a regular file")
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	for _, name := range []string{path + ".part", journalName(path)} {
		if err := ownfile.Check(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create %s: %w", path, err)
		}
	}
	if _, err := os.Lstat(path + ".part"); err == nil {
		if _, err := os.Lstat(journalName(path)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create %s: %s.part %w", path, path, ErrPartExists)
		}
	}
	return nil
}
