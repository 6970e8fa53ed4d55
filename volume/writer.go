package volume

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"relocate/internal/ownfile"
)

// Writer writes a set in place: any byte, in any order. The volumes have names that end in ".part" until
// Commit. Its methods are safe for concurrent use, except Protect, Commit and Close.
type Writer struct {
	path  string // of the file
	list  *List
	files []*os.File // of all volumes
	dirty []atomic.Bool
	mu    sync.Mutex // held by Sync
}

func newWriter(path, seal string, l Layout) (*Writer, error) {
	if err := errors.Join(l.Check(), CheckName(filepath.Base(path))); err != nil {
		return nil, err
	}
	list := &List{File: filepath.Base(path), Seal: seal, Layout: l}
	return &Writer{path: path, list: list, dirty: make([]atomic.Bool, l.All())}, nil
}

// Create begins a set of the file at path, in the same folder. seal names the content of the file in
// the list. Nothing may have the name of an unfinished volume: see Unfinished.
//
// Errors: ErrLayout, fs.ErrExist.
func Create(path, seal string, l Layout) (*Writer, error) {
	return begin(path, seal, l, func(name string) (*os.File, error) {
		return os.OpenFile(name+partSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	})
}

// Continue opens a set that Create had begun, and that was not closed by Commit.
//
// Errors: ErrLayout, fs.ErrNotExist, ownfile.ErrUnsafe.
func Continue(path, seal string, l Layout) (*Writer, error) {
	_, err := os.Lstat(ListName(path))
	renaming := errors.Is(err, fs.ErrNotExist) // or Commit did not begin
	return begin(path, seal, l, func(name string) (*os.File, error) {
		f, err := ownfile.Open(name+partSuffix, os.O_RDWR)
		if !renaming || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		if err := ownfile.Check(name); err != nil {
			return nil, err
		}
		if err := os.Rename(name, name+partSuffix); err != nil {
			return nil, err
		}
		return ownfile.Open(name+partSuffix, os.O_RDWR)
	})
}

func begin(path, seal string, l Layout, open func(name string) (*os.File, error)) (*Writer, error) {
	w, err := newWriter(path, seal, l)
	if err != nil {
		return nil, err
	}
	for i := range l.All() {
		f, err := open(l.Name(path, i))
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.files = append(w.files, f)
	}
	return w, nil
}

// partSuffix ends the name of a volume that is not complete.
const partSuffix = ".part"

// Unfinished returns the paths of what an unfinished Writer of the file at path has in its folder.
func Unfinished(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	var list []string
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), partSuffix)
		if ok && (File(name) == base || name == ListName(base)) {
			list = append(list, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return list, nil
}

// Strays returns the paths of volumes of the file at path, in its folder, that its list does not name.
func Strays(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	l, err := readList(ListName(path))
	named := err == nil
	base := filepath.Base(path)
	var list []string
	for _, entry := range entries {
		if name := entry.Name(); File(name) == base && !(named && l.number(base, name) >= 0) {
			list = append(list, filepath.Join(filepath.Dir(path), name))
		}
	}
	return list, nil
}

// Discard removes what Unfinished returns, and volumes that Commit gave their names before it ended.
func Discard(path string) error {
	list, err := Unfinished(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(ListName(path)); errors.Is(err, fs.ErrNotExist) {
		if l, err := readList(ListName(path) + partSuffix); err == nil && l.File == filepath.Base(path) {
			for i := range l.All() {
				list = append(list, l.Name(path, i))
			}
		}
	}
	for _, name := range list {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Name returns the path of the first unfinished volume.
func (w *Writer) Name() string { return w.list.Name(w.path, 0) + partSuffix }

// Each calls do with each volume's file and size, until it returns an error.
func (w *Writer) Each(do func(f *os.File, size int64) error) error {
	for i, f := range w.files {
		if err := do(f, w.list.SizeOf(i)); err != nil {
			return err
		}
	}
	return nil
}

// ReadAt implements io.ReaderAt for the whole file.
func (w *Writer) ReadAt(p []byte, offset int64) (n int, err error) {
	return w.list.readAt(p, offset, func(i int) (io.ReaderAt, error) { return w.files[i], nil })
}

// readAt reads a part of the file from its volumes.
func (l Layout) readAt(p []byte, offset int64, open func(i int) (io.ReaderAt, error)) (n int, err error) {
	for _, s := range l.spans(offset, len(p)) {
		r, err := open(s.volume)
		if err != nil {
			return n, err
		}
		m, err := r.ReadAt(p[n:n+s.n], s.at)
		if n += m; m < s.n {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt for the whole file.
func (w *Writer) WriteAt(p []byte, offset int64) (n int, err error) {
	for _, s := range w.list.spans(offset, len(p)) {
		m, err := w.files[s.volume].WriteAt(p[n:n+s.n], s.at)
		w.dirty[s.volume].Store(true)
		if n += m; err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Sync makes durable what WriteAt has written.
func (w *Writer) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, f := range w.files {
		if w.dirty[i].Swap(false) {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Commit makes the set durable, and gives it its names: first the volumes, then the list, without which
// they are no set. Protect must have succeeded. A set that had the name of the file is removed before.
func (w *Writer) Commit() error {
	if len(w.list.Sums) == 0 {
		return errors.New("the volumes were not hashed")
	}
	if err := w.finish(); err != nil {
		return err
	}
	list := ListName(w.path)
	if err := writeDurable(list+partSuffix, w.list.encode()); err != nil {
		return err
	}
	if err := removeSet(w.path, w.list.Layout); err != nil {
		return err
	}
	for i := range w.files {
		name := w.list.Name(w.path, i)
		if err := os.Rename(name+partSuffix, name); err != nil {
			return err
		}
	}
	if err := ownfile.SyncDir(filepath.Dir(w.path)); err != nil {
		return err
	}
	if err := os.Rename(list+partSuffix, list); err != nil {
		return err
	}
	return ownfile.SyncDir(filepath.Dir(w.path))
}

// finish makes each volume durable, with its size and mode, and closes it. Others who can write to the
// folder may have replaced one.
func (w *Writer) finish() error {
	err := w.Each(func(f *os.File, size int64) error {
		if err := f.Truncate(size); err != nil {
			return err
		}
		_ = f.Chmod(0o600) // Continue may have found another; some file systems have no modes
		if err := f.Sync(); err != nil {
			return err
		}
		return ownfile.CheckSame(f)
	})
	return errors.Join(err, w.Close())
}

// removeSet removes the list of a set of the file at path, if there is one, and then the volumes that a
// set of layout l does not replace.
func removeSet(path string, l Layout) error {
	old, err := readList(ListName(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	names := []string{ListName(path)}
	if err == nil {
		for i := range old.All() {
			if name := old.Name(path, i); l.number(path, name) < 0 {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := ownfile.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// writeDurable writes a file that this program alone writes.
func writeDurable(path string, text []byte) error {
	f, err := createOwn(path)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// createOwn creates the file at path, or empties the one that an earlier run left.
func createOwn(path string) (*os.File, error) {
	if err := ownfile.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|ownfile.Flags, 0o600)
}

// Close closes the volumes. It may be called again.
func (w *Writer) Close() error {
	var errs []error
	for _, f := range w.files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
