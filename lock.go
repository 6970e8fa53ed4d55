package relocate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"relocate/internal/ownfile"
	"relocate/internal/text"
)

// heldError is an ErrHeld that says who holds the lock.
type heldError struct {
	what string
	by   string // as the other run wrote it; empty when it cannot be read
}

func (e heldError) Error() string {
	by := e.by
	if by == "" {
		by = "another run"
	}
	return fmt.Sprintf("%s %v by %s", e.what, ErrHeld, by)
}

func (e heldError) Is(target error) bool { return target == ErrHeld }

// maxHolder is how much of a lock file is shown, in bytes.
const maxHolder = 200

// lockFile takes the lock in the file at path for what a run works on, and returns a function that
// releases it. The system releases it, too, however the program ends. Where files cannot be locked
// nothing is locked.
//
// Errors: ErrHeld.
func lockFile(path, what string) (unlock func(), err error) {
	for {
		if err := ownfile.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock %s: %w", what, err)
		}
		l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|ownfile.Flags))
		locked, err := l.TryLock()
		var badPath *os.PathError
		switch {
		case errors.As(err, &badPath):
			return nil, fmt.Errorf("lock %s: %w", what, err)
		case err != nil:
			_, _ = os.Remove(path), l.Close()
			return func() {}, nil
		case !locked:
			return nil, heldError{what, readHolder(path)}
		}
		is, err := writeHolder(path, l)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", what, err), l.Close())
		case is:
			return func() { _ = os.Remove(path); _ = l.Close() }, nil
		}
		_ = l.Close() // its previous holder has removed the file since it was opened here
	}
}

// readHolder returns what another run wrote into its lock file. A message makes sense without it,
// too.
func readHolder(path string) string {
	f, err := ownfile.Open(path, os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was read only
	by, _ := io.ReadAll(io.LimitReader(f, maxHolder))
	return text.Line(strings.ToValidUTF8(string(by), ""))
}

// writeHolder describes this run in the file at path, and reports whether that is the one that l
// locks.
func writeHolder(path string, l *flock.Flock) (is bool, err error) {
	mine, err := l.Stat()
	if err != nil {
		return false, err
	}
	f, err := ownfile.Open(path, os.O_WRONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // its content is for people
	there, err := f.Stat()
	if err != nil || !os.SameFile(mine, there) {
		return false, err
	}
	_ = f.Truncate(0)
	_, _ = f.WriteString(holder())
	return true, nil
}

// holder describes this run to another one.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	return fmt.Sprintf("process %d on %s since %s\n", os.Getpid(), host, time.Now().Format(time.DateTime))
}

// lockArchive keeps other exports away from the archive at path.
func lockArchive(path string) (unlock func(), err error) {
	return lockFile(path+".part.lock", path)
}

// lockRepository keeps other runs of this user on this machine away from what they fill: a repository, or
// one shard of it. Those of other users meet it in the registry, where the worst result is work that is
// done twice. So where no file for the lock can be made, nothing is locked.
func lockRepository(what string) (unlock func(), err error) {
	dir, err := lockFolder()
	if err == nil {
		unlock, err = lockFile(filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(what)))), what)
	}
	switch {
	case errors.Is(err, ownfile.ErrUnsafe):
		return nil, fmt.Errorf("lock %s: %w", what, err)
	case err != nil && !errors.Is(err, ErrHeld):
		return func() {}, nil
	}
	return unlock, err
}

// lockFolder returns the folder for the locks of repositories: in the user's cache folder, or in
// the one for temporary files if the cache folder is missing (no HOME) or is not the user's (sudo
// with the HOME of another).
//
// Errors: ownfile.ErrUnsafe.
func lockFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err == nil {
		dir, err = ownfile.Folder(dir, "relocate", "locks")
		if !errors.Is(err, ownfile.ErrUnsafe) {
			return dir, err
		}
	}
	return ownfile.Folder(os.TempDir(), fmt.Sprint("relocate-", os.Getuid()), "relocate", "locks")
}
