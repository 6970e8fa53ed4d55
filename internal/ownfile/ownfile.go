// Package ownfile opens files that the program left for a later run: unfinished archives, journals and
// locks. Their names are known, and they may be in folders that others can write to, such as /tmp. So a
// file is used only when it belongs to the user, nobody else may write to it, and it is a regular file
// that has no other name. Nothing is followed, and no FIFO or device is waited for.
//
// Start with Open. On Windows the owner must be one that the user's token may give to a file; who may
// write is left to the folder, from which files inherit it there.
package ownfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrUnsafe says that a file or folder may be someone else's work.
var ErrUnsafe = errors.New("is not safe to use")

// Reasons for ErrUnsafe.
var (
	errLink    = errors.New("it is a symbolic link")
	errKind    = errors.New("it is not a regular file")
	errFolder  = errors.New("it is not a folder")
	errNames   = errors.New("it has other names (hard links)")
	errOwner   = errors.New("it belongs to another user")
	errWriters = errors.New("other users may write to it")
)

func refuse(path string, reason error) error { return fmt.Errorf("%s %w: %w", path, ErrUnsafe, reason) }

// Open opens an existing file with the access that flag names, as os.OpenFile does. It does not create or
// truncate: only what was found to be safe may be changed.
//
// Errors: fs.ErrNotExist, ErrUnsafe.
func Open(path string, flag int) (*os.File, error) {
	if err := Check(path); err != nil { // before it is opened: to open some devices is to use them
		return nil, err
	}
	f, err := os.OpenFile(path, flag|Flags, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(path, info, func() (owner, error) { return ownerOf(f, info) })
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Check reports whether Open would refuse what is at path now.
//
// Errors: as Open.
func Check(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return checkFile(path, info, func() (owner, error) { return ownerAt(path, info) })
}

// owner is what the system says about a file beyond its mode.
type owner struct {
	own   bool // it is the user's
	names int  // hard links
}

func checkFile(path string, info fs.FileInfo, ask func() (owner, error)) error {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return refuse(path, errLink)
	case !info.Mode().IsRegular():
		return refuse(path, errKind)
	}
	is, err := ask()
	switch {
	case err != nil:
		return fmt.Errorf("ask for the owner of %s: %w", path, err)
	case !is.own:
		return refuse(path, errOwner)
	case othersWrite(info):
		return refuse(path, errWriters)
	case is.names > 1:
		return refuse(path, errNames)
	}
	return nil
}

// Folder makes the folders names, one in the other, in base, and returns the path of the last. Each must be
// a folder of the user's that nobody else may write to; base is made where it is missing, and trusted.
//
// Errors: ErrUnsafe.
func Folder(base string, names ...string) (string, error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", err
	}
	path := base
	for _, name := range names {
		path = filepath.Join(path, name)
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := checkFolder(path); err != nil {
			return "", err
		}
	}
	return path, nil
}

func checkFolder(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return refuse(path, errLink)
	case !info.IsDir():
		return refuse(path, errFolder)
	}
	is, err := ownerAt(path, info)
	switch {
	case err != nil:
		return fmt.Errorf("ask for the owner of %s: %w", path, err)
	case !is.own:
		return refuse(path, errOwner)
	case othersWrite(info):
		return refuse(path, errWriters)
	}
	return nil
}
