// Package ownfile opens files that the program left for a later run: unfinished archives, journals
// and locks. Their names are known, and they may be in folders that others can write to, such as
// /tmp. So a file is used only when it belongs to the user, nobody else may write to it, and it is
// a regular file that has no other name. No link is followed, and opening never blocks on a FIFO or
// device.
//
// Start with Open. On Windows the owner must be one that the user's token may give to a file. Who
// may write is not checked there, because files inherit that from their folder.
package ownfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrUnsafe says that somebody else may have made or changed a file or folder.
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

// Open opens an existing file with the access that flag names, as os.OpenFile does. It neither
// creates nor truncates a file, because only a safe one may be changed.
//
// Errors: fs.ErrNotExist, ErrUnsafe.
func Open(path string, flag int) (*os.File, error) {
	if err := Check(path); err != nil { // before it is opened, because to open some devices is to use them
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

// owner is what the system says about a file in addition to its mode.
type owner struct {
	own   bool // it belongs to the user
	names int  // hard links
}

func checkFile(path string, info fs.FileInfo, find func() (owner, error)) error {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return refuse(path, errLink)
	case !info.Mode().IsRegular():
		return refuse(path, errKind)
	}
	is, err := find()
	switch {
	case err != nil:
		return fmt.Errorf("find the owner of %s: %w", path, err)
	case !is.own:
		return refuse(path, errOwner)
	case othersWrite(info):
		return refuse(path, errWriters)
	case is.names > 1:
		return refuse(path, errNames)
	}
	return nil
}

// CheckSame checks that the file that was written has its name. Others who can write to its folder may
// have replaced it.
func CheckSame(f *os.File) error {
	written, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := os.Lstat(f.Name())
	if err == nil && !os.SameFile(written, found) {
		err = fmt.Errorf("%s was replaced by another file while it was written", f.Name())
	}
	return err
}

// Folder creates the folders names in base, each inside the one before, and returns the path of the
// last. Each must belong to the user, and nobody else may write to it. base is created if it is
// missing, and trusted.
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
		return fmt.Errorf("find the owner of %s: %w", path, err)
	case !is.own:
		return refuse(path, errOwner)
	case othersWrite(info):
		return refuse(path, errWriters)
	}
	return nil
}
