package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// MissingError says that a volume is not in any of the folders, or not all of it.
type MissingError struct {
	Name   string // base name
	Reason string
}

func (e *MissingError) Error() string { return e.Name + " " + e.Reason }

// NotFound is the reason of a volume that none of the folders has.
const NotFound = "is missing"

// ErrOther says that a list is of another file with the same name.
var ErrOther = errors.New("is of another file")

// Set is a set that is read as if it were joined. Its methods are safe for concurrent use, except
// Rebuild and Close.
type Set struct {
	*List
	Notes []string // about copies of the list that cannot be used

	path    string   // of the file
	folders []string // beside its own
	volumes []volume // of all, with parity
}

// volume is a volume that was found, or why it was not.
type volume struct {
	file   *os.File // nil: missing
	info   os.FileInfo
	reason string
}

// Open opens the set of the file at path: its list and its volumes, in the folder of path and in other
// folders. The first folder that has a volume counts. Missing volumes are no error. It hashes nothing:
// see Check.
//
// Errors: fs.ErrNotExist without a list; ErrList, ErrOther; those of opening a file.
func Open(path string, folders ...string) (*Set, error) {
	s := &Set{path: path, folders: folders}
	folders = append([]string{filepath.Dir(path)}, folders...)
	if err := s.findList(folders); err != nil {
		return nil, err
	}
	for i := range s.All() {
		v, err := s.find(i, folders)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.volumes = append(s.volumes, v)
	}
	return s, nil
}

// Elsewhere returns the flags of the program that name the other folders, with a space before each; empty
// without any.
func (s *Set) Elsewhere() string {
	var b strings.Builder
	for _, dir := range s.folders {
		b.WriteString(" --volumes " + dir)
	}
	return b.String()
}

// Exists reports whether there is a list of the file at path, in its folder or in others.
func Exists(path string, folders []string) bool {
	return slices.ContainsFunc(append([]string{filepath.Dir(path)}, folders...), func(dir string) bool {
		_, err := os.Lstat(ListName(filepath.Join(dir, filepath.Base(path))))
		return err == nil
	})
}

// findList reads the lists in all folders, which must be the same but for damaged ones.
func (s *Set) findList(folders []string) error {
	var first string
	var damaged error
	for _, dir := range folders {
		path := ListName(filepath.Join(dir, filepath.Base(s.path)))
		l, err := readList(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, ErrList):
			damaged = errors.Join(damaged, err)
			s.Notes = append(s.Notes, err.Error())
		case err != nil:
			return err
		case s.List == nil:
			s.List, first = l, path
		case !bytes.Equal(l.encode(), s.encode()):
			return fmt.Errorf("%s %w: %s, and that of %s is %s", path, ErrOther, l.Seal, first, s.Seal)
		}
	}
	if s.List == nil && damaged != nil {
		return damaged
	}
	if s.List == nil {
		return &os.PathError{Op: "open", Path: ListName(s.path), Err: fs.ErrNotExist}
	}
	return nil
}

// find opens volume i in the first folder that has all of it.
func (s *Set) find(i int, folders []string) (volume, error) {
	missing := volume{reason: NotFound}
	for _, dir := range folders {
		f, info, err := openFile(s.Name(filepath.Join(dir, filepath.Base(s.path)), i))
		switch size := s.SizeOf(i); {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errKind) || errors.Is(err, syscall.EIO): // what a bad disk makes of a file
			missing.reason = fmt.Sprintf("cannot be read: %v", err)
		case err != nil:
			return volume{}, err
		case info.Size() == size:
			return volume{file: f, info: info}, nil
		default: // it is still being copied, or is of another file
			_ = f.Close() // it was read only
			missing.reason = fmt.Sprintf("has %d bytes; it must have %d", info.Size(), size)
		}
	}
	return missing, nil
}

// Path returns the path of the file that the set is of.
func (s *Set) Path() string { return s.path }

// VolumeName returns the base name of volume i.
func (s *Set) VolumeName(i int) string { return s.Name(filepath.Base(s.path), i) }

// Number returns the number of the volume with that base name; -1 when the set has none.
func (s *Set) Number(name string) int { return s.number(filepath.Base(s.path), name) }

// Missing returns what is missing, in order.
func (s *Set) Missing() []int {
	var list []int
	for i, v := range s.volumes {
		if v.file == nil {
			list = append(list, i)
		}
	}
	return list
}

// Has reports whether the volumes are there that hold n bytes of the file from offset on.
func (s *Set) Has(offset, n int64) bool {
	first, last := s.Of(offset, n)
	return !slices.ContainsFunc(s.volumes[first:min(last+1, s.Volumes())], func(v volume) bool { return v.file == nil })
}

// Where names the volumes that hold n bytes of the file from offset on.
func (s *Set) Where(offset, n int64) string {
	first, last := s.Of(offset, n)
	if first == last {
		return s.VolumeName(first)
	}
	return s.VolumeName(first) + " to " + s.VolumeName(min(last, s.Volumes()-1))
}

// ReadAt implements io.ReaderAt for the whole file.
//
// Errors: *MissingError.
func (s *Set) ReadAt(p []byte, offset int64) (int, error) {
	return s.readAt(p, offset, s.open)
}

func (s *Set) open(i int) (io.ReaderAt, error) {
	if f := s.volumes[i].file; f != nil {
		return f, nil
	}
	return nil, s.Lack(i)
}

// Lack returns an error about volume i, which is missing.
func (s *Set) Lack(i int) *MissingError {
	return &MissingError{s.VolumeName(i), s.volumes[i].reason}
}

// Changed returns the path of a volume whose size or modification time is not what it was when the set
// was opened; "" when there is none.
func (s *Set) Changed() (string, error) {
	for _, v := range s.volumes {
		if v.file == nil {
			continue
		}
		info, err := v.file.Stat()
		if err != nil {
			return "", err
		}
		if info.Size() != v.info.Size() || !info.ModTime().Equal(v.info.ModTime()) {
			return v.file.Name(), nil
		}
	}
	return "", nil
}

// Close closes all volumes.
func (s *Set) Close() error {
	var errs []error
	for _, v := range s.volumes {
		if v.file != nil {
			errs = append(errs, v.file.Close())
		}
	}
	return errors.Join(errs...)
}

// Wrong is a volume that is not as the list says.
type Wrong struct {
	Number  int
	Missing bool
	Reason  string // such as "is missing" or "does not have the SHA-256 of its list"
}

// Check hashes volumes and returns those that are not as the list says, in order; missing ones, too. A
// volume that cannot be read is wrong. progress is called with bytes that were read; it must be safe for
// concurrent use.
//
// Errors: that of ctx.
func (s *Set) Check(ctx context.Context, numbers []int, progress func(bytes int64)) ([]Wrong, error) {
	var files []*os.File
	var sizes []int64
	for _, i := range numbers {
		files, sizes = append(files, s.volumes[i].file), append(sizes, s.SizeOf(i))
	}
	sums, errs := hashEach(ctx, files, sizes, progress)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var wrong []Wrong
	for at, i := range numbers {
		switch {
		case files[at] == nil:
			wrong = append(wrong, Wrong{i, true, s.volumes[i].reason})
		case errs[at] != nil:
			wrong = append(wrong, Wrong{i, false, fmt.Sprintf("cannot be read: %v", errs[at])})
		case sums[at] != s.Sums[i]:
			wrong = append(wrong, Wrong{i, false, s.explain(i, sums[at])})
		}
	}
	return wrong, nil
}

// explain says what volume i is, which has the hash sum.
func (s *Set) explain(i int, sum [32]byte) string {
	reason := "does not have the SHA-256 of the list"
	if at := slices.Index(s.Sums, sum); at >= 0 {
		return fmt.Sprintf("%s: it is %s", reason, s.VolumeName(at))
	}
	dir := filepath.Dir(s.volumes[i].file.Name())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return reason
	}
	for _, entry := range entries {
		file, isList := strings.CutSuffix(entry.Name(), ListName(""))
		if !isList {
			continue
		}
		l, err := readList(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue
		}
		if at := slices.Index(l.Sums, sum); at >= 0 {
			return fmt.Sprintf("%s: it is %s, of another file (%s)", reason, l.Name(file, at), l.Seal)
		}
	}
	return reason
}
