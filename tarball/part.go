package tarball

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/ownfile"
	"relocate/volume"
)

// part is an unfinished archive: a file, or the volumes of a set.
type part interface {
	io.ReaderAt
	io.WriterAt
	Name() string // of the file, or of the first volume
	Sync() error
	Close() error

	// each calls do with each file and the size in bytes that it has when the archive has size bytes,
	// until it returns an error.
	each(size int64, do func(f *os.File, size int64) error) error
	// protect computes what a set needs beside its content.
	protect(ctx context.Context, progress func(bytes int64)) error
	// commit makes an archive of size bytes durable, closes it and gives it its name.
	commit(size int64) error
}

// createPart begins the file or the volumes of the archive at path.
func createPart(path string, l *layout, seal v1.Hash, request Request) (part, error) {
	if request.VolumeSize > 0 {
		w, err := volume.Create(path, seal.String(), request.cut(l.size))
		return &split{w}, err
	}
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return &whole{f, path}, err
}

// continuePart opens the unfinished file or volumes of the archive at path, as its journal says.
func continuePart(path string, h journalHeader) (part, error) {
	if h.Request.VolumeSize > 0 {
		w, err := volume.Continue(path, h.Seal.String(), h.Request.cut(h.Size))
		return &split{w}, err
	}
	f, err := ownfile.Open(path+".part", os.O_RDWR)
	return &whole{f, path}, err
}

// cut returns how an archive of size bytes is cut into volumes.
func (r *Request) cut(size int64) volume.Layout {
	return volume.Layout{Size: size, Volume: r.VolumeSize, Parity: r.Parity}
}

// whole is an unfinished archive in one file.
type whole struct {
	*os.File
	path string
}

func (w *whole) each(size int64, do func(*os.File, int64) error) error { return do(w.File, size) }

func (w *whole) protect(context.Context, func(int64)) error { return nil }

func (w *whole) commit(size int64) error {
	if err := w.Truncate(size); err != nil {
		return err
	}
	_ = w.Chmod(0o600) // Resume may have found another; some file systems have no modes
	if err := w.Sync(); err != nil {
		return err
	}
	if err := ownfile.CheckSame(w.File); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.Rename(w.Name(), w.path); err != nil {
		return err
	}
	return ownfile.SyncDir(filepath.Dir(w.path))
}

// split is an unfinished archive in volumes.
type split struct{ *volume.Writer }

func (s *split) each(_ int64, do func(*os.File, int64) error) error { return s.Each(do) }

func (s *split) protect(ctx context.Context, progress func(int64)) error {
	return s.Protect(ctx, progress)
}

func (s *split) commit(int64) error { return s.Commit() }

// unfinished returns the paths of what an unfinished archive at path has in its folder, beside its
// journal.
func unfinished(path string) ([]string, error) {
	list, err := volume.Unfinished(path)
	if err != nil {
		return nil, err
	}
	_, err = os.Lstat(path + ".part")
	switch {
	case err == nil:
		list = append(list, path+".part")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return list, nil
}

// Discard removes an unfinished archive of this program at path, and its journal. Without one it
// does nothing.
func Discard(path string) error {
	if _, err := os.Lstat(journalName(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := volume.Discard(path); err != nil {
		return err
	}
	for _, name := range []string{path + ".part", journalName(path)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
