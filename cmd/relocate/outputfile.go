package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// standard returns standard output or standard error when path leads to the same, as /dev/stdout does, else nil. To open
// such a path once more would write over what is written through the other.
func standard(path string) *os.File {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if there, err := f.Stat(); err == nil && os.SameFile(info, there) {
			return f
		}
	}
	return nil
}

// takesAll reports whether path leads to what takes any number of outputs, one after the other: a pipe, a device such as
// /dev/null, standard output. A rename would replace it.
func takesAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 || standard(path) != nil)
}

// toStream reports whether an archive goes to path from its beginning to its end.
func toStream(path string) bool { return path == stream || takesAll(path) }

// linked returns the file that a symbolic link leads to; path itself when it is none.
func linked(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return path, nil // whoever writes it sees why not
	}
	return filepath.EvalSymlinks(path)
}

// checkOutput rejects a file that cannot be written, and returns its absolute path.
func checkOutput(flag, file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", usagef("%s %s: %w", flag, file, err)
	}
	if err := firstWrong(
		check{strings.Contains(file, "://"), flag + " " + file + ": is a URL; name a file"},
		check{!isFolder(filepath.Dir(path)), flag + " " + file + ": no such folder: " + filepath.Dir(file)},
		check{file == stream, flag + " -: name a file"},
	); err != nil {
		return "", err
	}
	if flag == "--to-tar" {
		return path, checkArchivePath(file, path)
	}
	return path, checkReplaceable(flag, file, path)
}

// checkArchivePath rejects an archive in the place of anything but a file: the final rename would replace a link.
func checkArchivePath(file, path string) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return usagef("--to-tar %s: is not a regular file", file)
	}
	return nil
}

// checkReplaceable rejects a path that writeFile cannot write.
func checkReplaceable(flag, file, path string) error {
	if takesAll(path) {
		return nil
	}
	target, err := linked(path)
	if err != nil {
		return usagef("%s %s: is a symbolic link that leads nowhere: %w", flag, file, err)
	}
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return usagef("%s %s: is not a regular file", flag, file)
	}
	probe, err := os.CreateTemp(filepath.Dir(target), ".relocate-*")
	if err != nil {
		return fmt.Errorf("%s %s: %w", flag, file, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// sameFile reports whether two paths lead to one file, which may not be there yet.
func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX == nil && errY == nil {
		return os.SameFile(x, y)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// writeFile puts text under path, or into the file that a link there leads to, whole or not at all. Into a pipe or a
// device it is written.
func writeFile(path string, text []byte) error {
	write := replaceFile
	if takesAll(path) {
		write = writeThrough
	}
	if err := write(path, text); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// writeThrough writes into what path leads to.
func writeThrough(path string, text []byte) error {
	if f := standard(path); f != nil {
		_, err := f.Write(text)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// replaceFile writes a file beside the one under path, and renames it.
func replaceFile(path string, text []byte) (err error) {
	if path, err = linked(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".relocate-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
