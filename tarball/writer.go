package tarball

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// ErrNoSpace says that the archive does not fit where it was to go: the file system is full, or
// cannot hold a file of that size.
var ErrNoSpace = errors.New("no space")

// ErrInProgress says that an unfinished archive of that name is there.
var ErrInProgress = errors.New("another export is under way or was cut off")

// bufferSize is how much of a blob a worker holds: a multiple of blockSize.
const bufferSize = 1 << 20

// Writer writes an archive in place. Its methods are safe for concurrent use, but for Commit and
// Abort, of which exactly one ends it.
type Writer struct {
	path    string
	f       *os.File // path + ".part"
	l       *layout
	seal    v1.Hash
	index   map[v1.Hash]int
	written []atomic.Bool
	buffers sync.Pool
}

// Create begins the archive of plan at path. It looks for enough space and writes all that comes
// before the blobs. Nothing appears under path before Commit; what was there stays until then.
//
// Errors: ErrNoSpace; ErrInProgress when path + ".part" is there.
func Create(path string, plan *bundle.Plan) (_ *Writer, err error) {
	l, err := newLayout(newInventory(plan))
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	if err := CheckTarget(path); err != nil {
		return nil, err
	}
	if err := checkSpace(path, l.size); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	w := &Writer{path: path, l: l, index: map[v1.Hash]int{}, written: make([]atomic.Bool, len(l.inv.Blobs))}
	w.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	for i, b := range l.inv.Blobs {
		w.index[b.Digest] = i
	}
	if w.seal, err = l.sealDigest(); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	w.f, err = os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create %s: %s.part is there: %w", path, path, ErrInProgress)
	}
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, noSpace(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Abort())
		}
	}()
	if err := allocate(w.f, l.size); err != nil {
		return nil, fmt.Errorf("create %s: allocate %d bytes: %w", path, l.size, noSpace(err))
	}
	docs := bufio.NewWriterSize(w.f, bufferSize)
	if err := errors.Join(l.writeDocs(docs), docs.Flush()); err != nil {
		return nil, fmt.Errorf("write %s: %w", w.f.Name(), noSpace(err))
	}
	return w, nil
}

// CheckTarget refuses a path that cannot become an archive: a folder, a device, a symbolic link (which
// would be replaced, and what it points to stay), a file in a folder that is not there, or, with
// ErrInProgress, one whose ".part" is there. Create does so, too; a caller may want to know before it
// has planned anything.
func CheckTarget(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		err = errors.New("it is a folder")
	case err == nil && info.Mode().Type() == fs.ModeSymlink:
		err = errors.New("it is a symbolic link; name the file that it points to")
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("it is not a regular file")
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if _, err := os.Lstat(path + ".part"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create %s: %s.part is there: %w", path, path, ErrInProgress)
	}
	return nil
}

// checkSpace refuses an archive of size bytes that cannot fit beside path.
func checkSpace(path string, size int64) error {
	free, limit, err := space(filepath.Dir(path))
	if err != nil {
		return err
	}
	if size > limit {
		return fmt.Errorf("%w: the archive has %d bytes, and this file system holds no file of more than %d", ErrNoSpace, size, limit)
	}
	if size > free {
		return fmt.Errorf("%w: the archive has %d bytes, %d are free", ErrNoSpace, size, free)
	}
	return nil
}

// PutBlob writes the blob d at its place. What open returns must give an error in place of io.EOF
// when the content is not d's; then the archive cannot be committed.
func (w *Writer) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) (err error) {
	i, ok := w.index[d.Digest]
	if !ok || w.l.inv.Blobs[i].Size != d.Size {
		return fmt.Errorf("write blob %s of %d bytes: is not in the plan", d.Digest, d.Size)
	}
	r, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := w.write(i, r); err != nil {
		return err
	}
	w.written[i].Store(true)
	return nil
}

// write puts header, content and padding of blob i in place, in as few writes as the buffer allows.
func (w *Writer) write(i int, r io.Reader) error {
	buf := w.buffers.Get().(*[]byte)
	defer w.buffers.Put(buf)
	blob := w.l.inv.Blobs[i]
	at := w.l.offsets[i]
	h := header(blobName(blob.Digest), blob.Size)
	n := copy(*buf, h[:])
	for left := blob.Size; ; {
		m, err := fill(r, (*buf)[n:min(int64(len(*buf)), int64(n)+left+1)])
		n, left = n+m, left-int64(m)
		last := err == io.EOF
		switch {
		case left < 0:
			return fmt.Errorf("blob %s: more than %d bytes", blob.Digest, blob.Size)
		case last && left > 0:
			return fmt.Errorf("blob %s: %d bytes too few: %w", blob.Digest, left, io.ErrUnexpectedEOF)
		case last: // the padding fits: the buffer, too, is a multiple of a block
			pad := int(padding(blob.Size))
			clear((*buf)[n : n+pad])
			n += pad
		case err != nil:
			return err
		}
		if _, err := w.f.WriteAt((*buf)[:n], at); err != nil {
			return fmt.Errorf("write %s: %w", w.f.Name(), noSpace(err))
		}
		if last {
			return nil
		}
		at, n = at+int64(n), 0
	}
}

// fill reads until p is full, or r gives an error. Unlike io.ReadFull it returns that error as it is,
// so that an io.ErrUnexpectedEOF of r cannot be taken for its end.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// Size returns the size in bytes of the whole archive.
func (w *Writer) Size() int64 { return w.l.size }

// Seal returns the archive's seal, which is known from the start.
func (w *Writer) Seal() v1.Hash { return w.seal }

// Commit seals the archive, makes it durable and gives it its name. It is an error when a blob was
// not written.
func (w *Writer) Commit() (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("commit %s: %w", w.path, noSpace(err)), w.Abort())
		}
	}()
	for i := range w.written {
		if !w.written[i].Load() {
			return fmt.Errorf("blob %s was not written", w.l.inv.Blobs[i].Digest)
		}
	}
	if _, err := w.f.WriteAt(w.l.end(w.seal), w.l.seal); err != nil {
		return err
	}
	if err := w.f.Truncate(w.l.size); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if err := w.f.Close(); err != nil {
		return err
	}
	if err := os.Rename(w.f.Name(), w.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(w.path))
}

// Abort gives up and removes what was written.
func (w *Writer) Abort() error {
	err := w.f.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if rmErr := os.Remove(w.f.Name()); !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}
