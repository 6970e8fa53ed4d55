package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-containerregistry/pkg/name"
)

// heldError says that another run works on the same thing.
type heldError struct {
	what string
	by   string // as the other run wrote it; empty when it cannot be read
}

func (e heldError) Error() string {
	by := e.by
	if by == "" {
		by = "another run"
	}
	return fmt.Sprintf("%s is held by %s", e.what, by)
}

// maxHolder is how much of a lock file is shown, in bytes.
const maxHolder = 200

// lockFile takes the lock in the file at path for what a run works on, and returns what gives it up. The
// system gives it up, too, when the program ends in whatever way. Where files cannot be locked there is no lock.
//
// Errors: heldError.
func lockFile(path, what string) (unlock func(), err error) {
	for {
		l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR))
		locked, err := l.TryLock()
		var badPath *os.PathError
		switch {
		case errors.As(err, &badPath):
			return nil, fmt.Errorf("lock %s: %w", what, err)
		case err != nil:
			_, _ = os.Remove(path), l.Close()
			return func() {}, nil
		case !locked:
			by, _ := os.ReadFile(path) // a message without it is a message, too
			return nil, heldError{what, line(strings.ToValidUTF8(string(by[:min(len(by), maxHolder)]), ""))}
		}
		mine, err := l.Stat()
		there, thereErr := os.Lstat(path)
		switch {
		case err != nil || (thereErr == nil && !there.Mode().IsRegular()):
			return nil, errors.Join(fmt.Errorf("lock %s: %s is not a regular file", what, path), err, l.Close())
		case thereErr == nil && os.SameFile(mine, there):
			_ = os.WriteFile(path, []byte(holder()), 0o600)
			return func() { _ = os.Remove(path); _ = l.Close() }, nil
		}
		_ = l.Close() // who held it before has removed the file since it was opened here
	}
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

// lockRepository keeps other imports of this user on this machine away from repo. Those of others meet it
// in the registry, where nothing worse comes of it than work that is done twice. So there is no lock where no
// file for it can be made.
func lockRepository(repo name.Repository) (unlock func(), err error) {
	dir, err := os.UserCacheDir()
	if err != nil { // no HOME
		dir = filepath.Join(os.TempDir(), fmt.Sprint("relocate-", os.Getuid()))
	}
	dir = filepath.Join(dir, "relocate", "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return func() {}, nil
	}
	unlock, err = lockFile(filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(repo.Name())))), repo.Name())
	if err != nil && !isA[heldError](err) {
		return func() {}, nil
	}
	return unlock, err
}
