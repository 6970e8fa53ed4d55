package tarball

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"relocate/internal/ownfile"
	"relocate/volume"
)

// CheckTarget returns an error for a path that cannot become an archive: a folder, a device, a
// symbolic link (which would be replaced, and its target would stay), a file in a folder that does
// not exist, or one whose ".part" or journal belongs to another program (ErrPartExists) or perhaps
// to another user (ownfile.ErrUnsafe). What is there in one file is not replaced by volumes, nor volumes
// by one file, nor a volume, nor volumes that have lost their list. Draft.Create and Resume check this, too; call it to find out before the plan is made.
//
// Errors: ErrPartExists, ErrVolume, fs.ErrNotExist, ownfile.ErrUnsafe, and others.
func CheckTarget(path string, request Request) error {
	err := checkPlace(path)
	if err == nil {
		err = checkOther(path, request.VolumeSize > 0)
	}
	if err == nil {
		err = checkPart(path, request.VolumeSize > 0)
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

// checkOther refuses one file where there are volumes, and volumes where there is one file.
func checkOther(path string, isSplit bool) error {
	if err := checkWhole(path, nil); err != nil {
		return err
	}
	other, what := volume.ListName(path), "there are volumes of that name; remove them with their list, %s,"
	if isSplit {
		other, what = path, "%s is one file; remove it,"
		if err := volume.CheckName(filepath.Base(path)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf(what+" or give the archive another name", other))
	}
	return nil
}

// checkStrays refuses volumes where there are others that no list names, as after a loss of the list: nothing
// would tell them from the new ones.
func checkStrays(path string) error {
	strays, err := volume.Strays(path)
	if err == nil && len(strays) > 0 {
		err = fmt.Errorf("%s is there, and no list names it; remove it, or give the archive another name", strays[0])
	}
	return err
}

// checkPart checks that an unfinished archive and its journal, where they exist, are this program's
// and the user's, and that volumes begin where no others are.
func checkPart(path string, isSplit bool) error {
	parts, err := unfinished(path)
	if err != nil {
		return err
	}
	journal := journalName(path)
	for _, name := range append(parts, journal) {
		if err := ownfile.Check(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err = os.Lstat(journal)
	switch {
	case !errors.Is(err, fs.ErrNotExist): // volumes may have their names, and the list not yet
		return nil
	case len(parts) > 0:
		return fmt.Errorf("%s %w", parts[0], ErrPartExists)
	case isSplit:
		return checkStrays(path)
	}
	return nil
}
