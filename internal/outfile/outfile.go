// Package outfile writes the files that a user names: results, reports, and folders of files that
// are written again later.
//
// Begin with Write, and with Check before hours of work whose result goes to a file. A file appears
// whole or not at all, and a symbolic link stays a link. A path that accepts any number of outputs,
// such as a pipe or /dev/stdout, is written to and never replaced. WriteFolder updates what it
// wrote before, and overwrites nothing else.
package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular says that a path names something that is neither a regular file nor a stream.
var ErrNotRegular = errors.New("is not a regular file")

// Standard returns standard output or standard error when path names the same file, as /dev/stdout
// does; else nil. Opening such a path again would overwrite what is written through the other.
func Standard(path string) *os.File {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if open, err := f.Stat(); err == nil && os.SameFile(info, open) {
			return f
		}
	}
	return nil
}

// IsStream reports whether path names something that accepts any number of outputs, one after the
// other: a pipe, a device such as /dev/null, standard output. A rename would replace it.
func IsStream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 || Standard(path) != nil)
}

// IsSame reports whether two paths name one file, which may not exist yet.
func IsSame(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX == nil && errY == nil {
		return os.SameFile(x, y)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// Check reports whether Write can write to path now.
//
// Errors: ErrNotRegular.
func Check(path string) error {
	if IsStream(path) {
		return nil
	}
	target, err := linked(path)
	if err != nil {
		return fmt.Errorf("%w but a broken symbolic link: %w", ErrNotRegular, err)
	}
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return ErrNotRegular
	}
	probe, err := os.CreateTemp(filepath.Dir(target), ".relocate-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// linked returns the file that a symbolic link points to, or path itself when it is not a link.
func linked(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return path, nil // writing to it shows the error
	}
	return filepath.EvalSymlinks(path)
}

// Write writes text to the file at path, or to the file that a link at path points to, whole or not
// at all. A stream is written to in place.
func Write(path string, text []byte) error {
	write := replace
	if IsStream(path) {
		write = writeStream
	}
	if err := write(path, text); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeStream(path string, text []byte) error {
	if f := Standard(path); f != nil {
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

// replace writes a file beside the one at path, and renames it.
func replace(path string, text []byte) (err error) {
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
