package tarball

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"relocate/volume"
)

// openSet opens the archive in volumes at path; nil when there is none.
func openSet(path string, folders []string) (*Archive, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	hasList := func(dir string) bool {
		_, err := os.Lstat(volume.ListName(filepath.Join(dir, filepath.Base(path))))
		return err == nil
	}
	if !slices.ContainsFunc(append([]string{filepath.Dir(path)}, folders...), hasList) {
		return nil, nil
	}
	set, err := volume.Open(path, folders...)
	if err != nil {
		return nil, err
	}
	a, err := OpenSet(set)
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return a, nil
}

// OpenSet opens the archive that is in the volumes of set, as Open does. Closing it closes the set.
func OpenSet(set *volume.Set) (*Archive, error) {
	a, err := NewArchive(set, set.Size)
	if isOfFile(err) {
		return nil, fmt.Errorf("%s %w", set.Path(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", set.Path(), err)
	}
	if seal := a.Seal().String(); seal != set.Seal {
		return nil, fmt.Errorf("%s %w: the list of its volumes has the seal %s, its documents have %s", set.Path(), ErrDamaged, set.Seal, seal)
	}
	a.set = set
	return a, nil
}

// isOfFile reports whether an error says what is wrong with a file.
func isOfFile(err error) bool {
	return errors.Is(err, ErrNotArchive) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrDamaged)
}

// Volumes returns the volumes that Open opened; nil of an archive in one file.
func (a *Archive) Volumes() *volume.Set { return a.set }

// volumesUnchanged is Unchanged of an archive in volumes.
func (a *Archive) volumesUnchanged() error {
	name, err := a.set.Changed()
	if err == nil && name != "" {
		err = fmt.Errorf("%s %w: it was changed while it was read", name, ErrDamaged)
	}
	return err
}
