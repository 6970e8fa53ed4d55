package main

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

// emittedFile is a file of emit -d.
type emittedFile struct {
	path     string // below the folder, with slashes
	text     []byte
	skeleton bool // to be filled in by hand: kept when it was
}

// state is what is at the place of an emittedFile.
type state int

const (
	isAbsent  state = iota
	isOurs          // as emit wrote it
	isChanged       // emit wrote it, and someone changed it
	isForeign       // emit never wrote it
)

// signature begins the first line of every emitted file; the digest of what follows that line ends it.
const signature = "# Written by relocate emit, with the digest sha256:"

// signed returns text after its first line.
func signed(text []byte) []byte {
	return append(fmt.Appendf(nil, "%s%x\n", signature, sha256.Sum256(text)), text...)
}

// maxEmitted is the size in bytes of a file that emit may have written.
const maxEmitted = 64 << 20

// stateOf looks at a file, and returns its content when emit wrote it, with the line ends that emit writes: git on Windows
// checks text files out with others, which is nobody's change.
func stateOf(path string) (state, []byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return isAbsent, nil, nil
	case err != nil:
		return isForeign, nil, err
	case !info.Mode().IsRegular() || info.Size() > maxEmitted:
		return isForeign, nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return isForeign, nil, err
	}
	defer func() { _ = f.Close() }()
	first := make([]byte, len(signature))
	if _, err := io.ReadFull(f, first); err != nil || string(first) != signature { // an error is of a short file, or comes again
		return isForeign, nil, nil
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxEmitted))
	if err != nil {
		return isForeign, nil, err
	}
	content := bytes.ReplaceAll(append(first, rest...), []byte("\r\n"), []byte("\n"))
	_, text, _ := bytes.Cut(content, []byte("\n"))
	if !bytes.Equal(signed(text), content) {
		return isChanged, content, nil
	}
	return isOurs, content, nil
}

// emittedPlan is what writeEmitted does with each file.
type emittedPlan struct {
	write   []emittedFile
	kept    map[string][]byte // skeletons that were filled in, by their paths
	refused []string          // reasons to write nothing
}

// planEmitted compares files with those in dir.
func planEmitted(dir string, files []emittedFile) (*emittedPlan, error) {
	p := &emittedPlan{kept: map[string][]byte{}}
	mine := map[string]bool{}
	for _, f := range files {
		mine[f.path] = true
		s, present, err := stateOf(filepath.Join(dir, filepath.FromSlash(f.path)))
		if err != nil {
			return nil, err
		}
		switch {
		case s == isChanged && f.skeleton:
			p.kept[f.path] = present
		case s == isChanged:
			p.refused = append(p.refused, f.path+" was changed since emit wrote it")
		case s == isForeign:
			p.refused = append(p.refused, f.path+" was not written by emit")
		case s == isAbsent || !bytes.Equal(present, signed(f.text)):
			p.write = append(p.write, f)
		}
	}
	others, err := emittedBelow(dir, mine)
	for _, path := range others {
		p.refused = append(p.refused, path+" was written by another emit: remove it if you do not need it")
	}
	return p, err
}

// writeEmitted writes the files below dir, in their order, each whole or not at all. Files that are up to date, and
// skeletons that were filled in, stay unchanged. If another file is in the way, or emit wrote a file that is not in
// files, nothing is written. kept has the skeletons that were filled in.
func writeEmitted(dir string, files []emittedFile, stderr io.Writer) (kept map[string][]byte, err error) {
	p, err := planEmitted(dir, files)
	if err != nil {
		return nil, fmt.Errorf("write to %s: %w", dir, err)
	}
	if len(p.refused) > 0 {
		return nil, usagef("write to %s: %s; nothing was written: name another folder, or move these files away", dir, strings.Join(p.refused, "; "))
	}
	for _, f := range p.write {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil { // less the umask
			return nil, fmt.Errorf("write to %s: %w", dir, err)
		}
		if err := writeFile(path, signed(f.text)); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(p.kept)) {
		fmt.Fprintf(stderr, "note: kept %s, which was changed by hand\n", line(path))
	}
	fmt.Fprintf(stderr, "%s in %s, %d of them written; kubectl apply -k %[2]s\n", count(len(files), "file"), line(dir), len(p.write))
	return p.kept, nil
}

// emittedBelow returns the files that emit wrote to dir, but for those in mine.
func emittedBelow(dir string, mine map[string]bool) ([]string, error) {
	var list []string
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
			if (s == isOurs || s == isChanged) && !mine[path] {
				list = append(list, path)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}
