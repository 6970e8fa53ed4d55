package outfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file of a folder. Files of an earlier call are found in the folder itself and below its
// folder nodes.
type File struct {
	Path     string // below the folder, with slashes
	Text     []byte
	Skeleton bool // to be filled in by hand, and kept from then on
}

// Folder is what WriteFolder did.
type Folder struct {
	Written int               // files
	Kept    map[string][]byte // skeletons that were filled in, by path
}

// RefusedError says that a folder has files that may not be overwritten.
type RefusedError struct {
	Dir     string
	Reasons []string // each begins with the path of a file
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("write to %s: %s; nothing was written: name another folder, or move these files away", e.Dir, strings.Join(e.Reasons, "; "))
}

// WriteFolder writes the files below dir, in their order, each whole or not at all. Each gets a
// first line with the digest of its text, by which a later call sees what it may overwrite. Files
// that are up to date, and skeletons that were filled in, stay unchanged.
//
// Nothing is written where another file is in the way, or where an earlier call wrote a file that
// is not in files.
//
// Errors: *RefusedError.
func WriteFolder(dir string, files []File) (*Folder, error) {
	p, err := planFolder(dir, files)
	if err != nil {
		return nil, fmt.Errorf("write to %s: %w", dir, err)
	}
	if len(p.refused) > 0 {
		return nil, &RefusedError{dir, p.refused}
	}
	for _, f := range p.write {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil { // less the umask
			return nil, fmt.Errorf("write to %s: %w", dir, err)
		}
		if err := Write(path, signed(f.Text)); err != nil {
			return nil, err
		}
	}
	return &Folder{len(p.write), p.kept}, nil
}

// state is what is at the path of a File.
type state int

const (
	absent  state = iota
	ours          // as it was written
	changed       // it was written, and changed later
	foreign       // another program or person wrote it
)

// signature begins the first line of every file; the digest of what follows that line ends it.
const signature = "# Written by relocate emit, with the digest sha256:"

// signed returns text after its first line.
func signed(text []byte) []byte {
	return append(fmt.Appendf(nil, "%s%x\n", signature, sha256.Sum256(text)), text...)
}

// maxSize is the size in bytes up to which a file is read.
const maxSize = 64 << 20

// stateOf returns the state of a file, and its content unless it is foreign. The content has the
// line ends that were written: git on Windows checks out text files with others, which does not
// count as a change.
func stateOf(path string) (state, []byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil, nil
	case err != nil:
		return foreign, nil, err
	case !info.Mode().IsRegular() || info.Size() > maxSize:
		return foreign, nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return foreign, nil, err
	}
	defer func() { _ = f.Close() }()
	first := make([]byte, len(signature))
	if _, err := io.ReadFull(f, first); err != nil || string(first) != signature { // a file that is too short is an error
		return foreign, nil, nil
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return foreign, nil, err
	}
	content := bytes.ReplaceAll(append(first, rest...), []byte("\r\n"), []byte("\n"))
	_, text, _ := bytes.Cut(content, []byte("\n"))
	if !bytes.Equal(signed(text), content) {
		return changed, content, nil
	}
	return ours, content, nil
}

// folderPlan is what WriteFolder does with each file.
type folderPlan struct {
	write   []File
	kept    map[string][]byte
	refused []string // reasons to write nothing
}

// planFolder compares files with those in dir.
func planFolder(dir string, files []File) (*folderPlan, error) {
	p := &folderPlan{kept: map[string][]byte{}}
	planned := map[string]bool{}
	for _, f := range files {
		planned[f.Path] = true
		s, present, err := stateOf(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return nil, err
		}
		switch {
		case s == changed && f.Skeleton:
			p.kept[f.Path] = present
		case s == changed:
			p.refused = append(p.refused, f.Path+" was changed since emit wrote it")
		case s == foreign:
			p.refused = append(p.refused, f.Path+" was not written by emit")
		case s == absent || !bytes.Equal(present, signed(f.Text)):
			p.write = append(p.write, f)
		}
	}
	earlier, err := writtenBelow(dir)
	for _, path := range earlier {
		if !planned[path] {
			p.refused = append(p.refused, path+" was written by another emit: remove it if you do not need it")
		}
	}
	return p, err
}

// writtenBelow returns the files below dir that an earlier call wrote, sorted.
func writtenBelow(dir string) ([]string, error) {
	found := map[string]bool{}
	for _, pattern := range []string{"*", "nodes/*", "nodes/*/*", "nodes/*/*/*", "nodes/*/*/*/*"} {
		paths, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			s, _, err := stateOf(filepath.Join(dir, filepath.FromSlash(path)))
			if err != nil {
				return nil, err
			}
			if s == ours || s == changed {
				found[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}
