package manifests

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"relocate/carvel"
)

// Read reads the set that an argument names: NAME=PATH, or PATH, whose last element without its ending is the name
// then. PATH is a file, or a folder, of which the files .yaml, .yml and .json are read, but for hidden ones.
//
// Errors: as New; *fs.PathError.
func Read(arg string) (*Set, error) {
	if strings.Contains(arg, "://") {
		return nil, errors.New("is a URL; download the file, and name that")
	}
	name, file, named := strings.Cut(arg, "=")
	if !named || CheckName(name) != nil && strings.ContainsAny(name, `/\`) {
		file = arg
		whole, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		name = strings.TrimSuffix(filepath.Base(whole), filepath.Ext(whole))
	}
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("%w, as in kapp-controller=%s", err, file)
	}
	files, err := readFiles(file, name)
	if err != nil {
		return nil, err
	}
	return New(name, files)
}

// readFiles reads a file, or the files of a folder, by their paths in the bundle.
func readFiles(file, name string) (map[string][]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	r := reader{files: map[string][]byte{}, left: MaxFiles}
	if info.IsDir() {
		return r.files, filepath.WalkDir(file, func(p string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			inside, err := filepath.Rel(file, p)
			if err != nil {
				return err
			}
			inside = filepath.ToSlash(inside)
			switch {
			case isHidden(inside) && entry.IsDir():
				return filepath.SkipDir
			case isHidden(inside) || entry.IsDir() || !isManifest(inside):
				return nil
			}
			if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() { // a FIFO would not end
				return cmp.Or(err, fmt.Errorf("%s is not a regular file", p))
			}
			return r.read(p, inside)
		})
	}
	base := filepath.Base(file)
	if !isManifest(base) { // of a pipe
		base = name + ".yml"
	}
	return r.files, r.read(file, base)
}

// isHidden reports whether a path in a folder is left out by its name. The lock of a bundle that imgpkg pulled is not.
func isHidden(inside string) bool {
	return inside != "." && inside != ".imgpkg" && inside != carvel.LockFile && strings.HasPrefix(path.Base(inside), ".")
}

// reader reads files up to a limit.
type reader struct {
	files map[string][]byte
	left  int64
}

func (r *reader) read(file, inside string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, r.left+1))
	if r.left -= int64(len(data)); err == nil && r.left < 0 {
		err = fmt.Errorf("%s: the manifests have more than %d bytes", file, MaxFiles)
	}
	r.files[inside] = data
	return err
}
