package tarball

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"relocate/internal/ownfile"
)

// CheckTarget returns an error for a path that cannot become an archive: a folder, a device, a
// symbolic link (which would be replaced, and its target would stay), a file in a folder that does
// not exist, or one whose ".part" or journal belongs to another program (ErrPartExists) or perhaps
// to another user (ownfile.ErrUnsafe). Draft.Create and Resume check this, too; call it to find out
// before the plan is made.
//
// Errors: ErrPartExists, fs.ErrNotExist, ownfile.ErrUnsafe, and others.
func CheckTarget(path string) error {
	err := checkPlace(path)
	if err == nil {
		err = checkPart(path)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// checkPlace checks that a regular file can have the name path.
func checkPlace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(path))
		return err
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	case info.Mode().Type() == fs.ModeSymlink:
		return errors.New("it is a symbolic link; name the file that it points to")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// checkPart checks that an unfinished archive and its journal, where they exist, are this program's
// and the user's.
func checkPart(path string) error {
	part, journal := path+".part", journalName(path)
	for _, name := range []string{part, journal} {
		if err := ownfile.Check(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, err := os.Lstat(part); err == nil {
		if _, err := os.Lstat(journal); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s %w", part, ErrPartExists)
		}
	}
	return nil
}
