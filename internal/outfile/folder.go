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
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file of a folder. Files of an earlier call are found in the folder itself, in its folders base and
// sites/*, and below the folder nodes of each.
type File struct {
	Path     string // below the folder, with slashes
	Text     []byte
	Skeleton bool // to be filled in by hand, and kept from then on
}

// Folder is what WriteFolder did.
type Folder struct {
	Written int               // files
	Kept    map[string][]byte // skeletons that were filled in, by path
	Removed []string          // paths of files of an earlier call, sorted
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
// Files of an earlier call that are not in files are removed at the end with prune, unless they were
// changed since. Nothing is written or removed where such a file would remain, and where another
// file is in the way.
//
// Errors: *RefusedError.
func WriteFolder(dir string, files []File, prune bool) (*Folder, error) {
	p, err := planFolder(dir, files, prune)
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
	for _, path := range p.remove {
		if err := remove(dir, path); err != nil {
			return nil, fmt.Errorf("write to %s: %w", dir, err)
		}
	}
	return &Folder{len(p.write), p.kept, p.remove}, nil
}

// remove removes a file below dir, and the folders that this leaves empty.
func remove(dir, file string) error {
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(file))); err != nil {
		return err
	}
	for folder := path.Dir(file); folder != "."; folder = path.Dir(folder) {
		if os.Remove(filepath.Join(dir, filepath.FromSlash(folder))) != nil {
			break // it has other files
		}
	}
	return nil
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

// stateOf returns the state of a file below dir, and its content unless it is foreign. The content has the
// line ends that were written: git on Windows checks out text files with others, which does not
// count as a change. What is behind a link is foreign: it may be outside of dir.
func stateOf(dir, file string) (state, []byte, error) {
	path := filepath.Join(dir, filepath.FromSlash(file))
	info, err := os.Lstat(path)
	switch {
	case isBehindLink(dir, file):
		return foreign, nil, nil
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

// isBehindLink reports whether a folder between dir and a file is none, but a link.
func isBehindLink(dir, file string) bool {
	for folder := path.Dir(file); folder != "."; folder = path.Dir(folder) {
		if info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(folder))); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// folderPlan is what WriteFolder does with each file.
type folderPlan struct {
	write   []File
	kept    map[string][]byte
	remove  []string
	refused []string // reasons to write nothing
}

// planFolder compares files with those in dir.
func planFolder(dir string, files []File, prune bool) (*folderPlan, error) {
	p := &folderPlan{kept: map[string][]byte{}}
	for _, f := range files {
		if err := p.add(dir, f); err != nil {
			return nil, err
		}
	}
	earlier, err := writtenBelow(dir)
	for _, f := range files {
		delete(earlier, f.Path)
	}
	ofSites := len(files) > 0 && isOfSites(files[0].Path)
	for _, path := range slices.Sorted(maps.Keys(earlier)) {
		switch {
		case isOfSites(path) != ofSites:
			p.refuse(path, "belongs to an emit that writes to this folder with --sites, or without: name another folder")
		case !prune:
			p.refuse(path, "was written by another emit: remove it if you do not need it, or all such files with --prune")
		case earlier[path] == changed:
			p.refuse(path, "was changed since emit wrote it, and is no longer needed: remove it yourself")
		default:
			p.remove = append(p.remove, path)
		}
	}
	return p, err
}

// add compares a file with what is in its place.
func (p *folderPlan) add(dir string, f File) error {
	s, present, err := stateOf(dir, f.Path)
	switch {
	case err != nil:
		return err
	case s == changed && f.Skeleton:
		p.kept[f.Path] = present
	case s == changed:
		p.refuse(f.Path, "was changed since emit wrote it")
	case s == foreign:
		p.refuse(f.Path, "was not written by emit")
	case s == absent || !bytes.Equal(present, signed(f.Text)):
		p.write = append(p.write, f)
	}
	return nil
}

func (p *folderPlan) refuse(path, reason string) { p.refused = append(p.refused, path+" "+reason) }

// isOfSites reports whether a file is one of several sites, or of all.
func isOfSites(file string) bool {
	return strings.HasPrefix(file, "base/") || strings.HasPrefix(file, "sites/")
}

// writtenBelow returns the states of the files below dir that an earlier call wrote.
func writtenBelow(dir string) (map[string]state, error) {
	found := map[string]state{}
	for _, pattern := range patterns() {
		paths, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			s, _, err := stateOf(dir, path)
			if err != nil {
				return nil, err
			}
			if s == ours || s == changed {
				found[path] = s
			}
		}
	}
	return found, nil
}

// patterns match all paths that a File can have. What else is in a folder is not looked at: it may be large.
func patterns() (list []string) {
	for _, folder := range []string{"", "base/", "sites/*/"} {
		for _, pattern := range []string{"*", "nodes/*", "nodes/*/*", "nodes/*/*/*", "nodes/*/*/*/*"} {
			list = append(list, folder+pattern)
		}
	}
	return list
}
