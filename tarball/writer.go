package tarball

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/ownfile"
)

// ErrNoSpace says that the archive does not fit: the file system is full, or cannot hold a file of
// that size.
var ErrNoSpace = errors.New("no space")

// ErrPartExists says that a file has the name of the unfinished archive, and no journal shows that
// it is this program's.
var ErrPartExists = errors.New("exists, but has no journal of relocate beside it")

// bufferSize is how much of a blob a worker holds: a multiple of blockSize. What it holds is hashed and
// written from the processor's cache: with 1 MiB, writing takes half as much processor time again.
const bufferSize = 256 << 10

// Writer writes an archive in place. Its methods are safe for concurrent use, except Commit and
// Suspend. Exactly one of these ends it.
type Writer struct {
	path    string
	f       part
	l       *layout
	seal    v1.Hash
	index   map[v1.Hash]int
	done    []atomic.Int64 // bytes of each blob that are written, from its beginning; all only when the digest matches
	whole   []atomic.Bool  // written, or kept and hashed, by this run
	isSmall []bool         // of the small section
	small   atomic.Int64   // blobs of the small section that are not whole
	kept    struct{ blobs, bytes atomic.Int64 }
	journal *journal
	buffers sync.Pool

	// Replacing, if not nil, is called by Commit when all is durable, before anything gets its name.
	Replacing func() error
}

// create begins the archive of d.
func create(path string, d *Draft, jobs int) (_ *Writer, err error) {
	fail := func(err error) (*Writer, error) { return nil, fmt.Errorf("create %s: %w", path, noSpace(err)) }
	if err := CheckTarget(path, d.request); err != nil {
		return nil, err
	}
	if err := Discard(path); err != nil { // Resume would not continue it
		return fail(err)
	}
	if err := checkSpace(path, d.l, d.request, 0); err != nil {
		return fail(err)
	}
	seal, err := d.l.sealDigest()
	if err != nil {
		return fail(err)
	}
	w := newWriter(path, d.l, seal, d.plan, jobs)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Suspend()) // removes what cannot be resumed
		}
	}()
	// The journal comes first: without it a .part is another program's.
	header := journalHeader{Journal: journalVersion, Request: d.request, Seal: seal, Elsewhere: d.l.elsewhere, Unseen: d.l.unseen}
	if d.request.VolumeSize > 0 {
		header.Size = d.l.size
	}
	if err := w.journal.create(path, header); err != nil {
		return fail(err)
	}
	f, err := createPart(path, d.l, seal, d.request)
	if err != nil {
		return fail(err)
	}
	if err := w.begin(f); err != nil {
		return fail(err)
	}
	if w.small.Load() == 0 { // the documents are all that Resume needs
		if err := w.journal.ready(); err != nil {
			return fail(err)
		}
	}
	return w, nil
}

// begin reserves the space of the archive in f, the .part, and writes all that comes before the
// blobs.
func (w *Writer) begin(f part) error {
	w.f, w.journal.data = f, f
	if err := f.each(w.l.size, allocate); err != nil {
		return fmt.Errorf("allocate %d bytes: %w", w.l.size, err)
	}
	docs := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), bufferSize)
	return errors.Join(w.l.writeDocs(docs), docs.Flush())
}

func newWriter(path string, l *layout, seal v1.Hash, plan *bundle.Plan, jobs int) *Writer {
	n := len(l.blobs)
	w := &Writer{path: path, l: l, seal: seal, index: make(map[v1.Hash]int, n),
		done: make([]atomic.Int64, n), whole: make([]atomic.Bool, n), isSmall: make([]bool, n)}
	w.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	for i, b := range l.blobs {
		w.index[b.Digest] = i
	}
	for _, b := range plan.Blobs[:plan.Small] {
		if i, ok := w.index[b.Descriptor.Digest]; ok {
			w.isSmall[i] = true
			w.small.Add(1)
		}
	}
	w.journal = newJournal(jobs, func(i int) int64 { return w.done[i].Load() }, func(i int) int64 { return l.blobs[i].Size })
	return w
}

// journalSpace returns how many bytes the journal of an archive may take: one or two lines for each
// blob, and more for large ones.
func journalSpace(l *layout) int64 { return 64<<10 + 32*int64(len(l.offsets)) }

// ErrFileSize says that the file system cannot hold files that are as large as the archive, or its
// volumes. It wraps ErrNoSpace.
var ErrFileSize = fmt.Errorf("%w in one file", ErrNoSpace)

// checkSpace refuses an archive that does not fit beside path. taken is how many bytes its
// unfinished files have allocated.
func checkSpace(path string, l *layout, request Request, taken int64) error {
	free, limit, err := space(filepath.Dir(path))
	if err != nil {
		return err
	}
	return fits(l, request, taken, free, limit)
}

// fits is checkSpace where free bytes are free, and a file has at most limit bytes.
func fits(l *layout, request Request, taken, free, limit int64) error {
	what, size, most := "archive has", l.size, l.size
	if request.VolumeSize > 0 {
		cut := request.cut(l.size)
		if err := cut.Check(); err != nil {
			return err
		}
		what, most = "volumes have", min(l.size, request.VolumeSize)
		size += int64(cut.Parity) * most
	}
	if most > limit {
		return fmt.Errorf("%w: the %s %d bytes; this file system holds files of at most %d", ErrFileSize, what, most, limit)
	}
	if need := max(size-taken, 0) + journalSpace(l); need > free {
		return fmt.Errorf("%w: the archive has %d bytes and needs %d more with its journal; %d are free", ErrNoSpace, size, need, free)
	}
	return nil
}

// taken returns how many bytes of disk an unfinished archive takes.
func taken(f part) (n int64) {
	_ = f.each(0, func(f *os.File, _ int64) error { n += allocated(f); return nil })
	return n
}

// PutBlob writes the blob d at its place, unless an earlier run did, or a document holds it. Of a
// blob that was cut off it keeps the beginning, and asks open for the rest, from that byte on. What
// open returns for byte 0 must give an error in place of its last bytes when the content is not
// d's. What it returns for a later byte is checked here, together with what was kept; when they do
// not match d, the whole blob is fetched.
//
// Errors: digest.ErrMismatch, ErrNoSpace; those of open.
func (w *Writer) PutBlob(ctx context.Context, d v1.Descriptor, open func(ctx context.Context, from int64) (io.ReadCloser, error)) error {
	i, ok := w.index[d.Digest]
	if !ok && w.l.has(d) {
		return nil
	}
	if !ok || w.l.blobs[i].Size != d.Size {
		return fmt.Errorf("write blob %s of %d bytes: it is not in the plan", d.Digest, d.Size)
	}
	kept := w.done[i].Load()
	err := w.put(ctx, i, kept, open)
	if kept > 0 && errors.Is(err, digest.ErrMismatch) { // what was kept may be what is wrong
		kept = 0
		err = w.put(ctx, i, 0, open)
	}
	if err != nil {
		return err
	}
	return w.complete(i, kept)
}

// complete counts blob i, of which an earlier run had written kept bytes.
func (w *Writer) complete(i int, kept int64) error {
	if w.whole[i].Swap(true) {
		return nil // it was put before
	}
	if kept > 0 {
		w.kept.blobs.Add(1)
		w.kept.bytes.Add(kept)
	}
	if w.isSmall[i] && w.small.Add(-1) == 0 {
		if err := w.journal.ready(); err != nil {
			return fmt.Errorf("write journal of %s: %w", w.path, noSpace(err))
		}
	}
	return nil
}

// put writes what follows the kept bytes of blob i. It keeps nothing of wrong content.
func (w *Writer) put(ctx context.Context, i int, kept int64, open func(context.Context, int64) (io.ReadCloser, error)) (err error) {
	r, err := w.openFrom(ctx, i, kept, open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	err = w.write(ctx, i, r, kept)
	if errors.Is(err, digest.ErrMismatch) {
		w.done[i].Store(0)
	}
	return err
}

// openFrom opens blob i, whose first bytes are in the file.
func (w *Writer) openFrom(ctx context.Context, i int, kept int64, open func(context.Context, int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	if kept == 0 {
		return open(ctx, 0)
	}
	blob := w.l.blobs[i]
	var begin io.Reader = io.NewSectionReader(w.f, w.l.offsets[i]+blockSize, kept)
	var rest io.ReadCloser = io.NopCloser(strings.NewReader(""))
	if kept < blob.Size {
		var err error
		if rest, err = open(ctx, kept); err != nil {
			return nil, err
		}
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.Reader(io.MultiReader(begin, rest), blob.Digest, blob.Size), rest}, nil
}

// write puts header, content and padding of blob i in place, in as few writes as the buffer allows.
// The first kept bytes of the content are in the file.
func (w *Writer) write(ctx context.Context, i int, r io.Reader, kept int64) error {
	buf := w.buffers.Get().(*[]byte)
	defer w.buffers.Put(buf)
	blob := w.l.blobs[i]
	h := header(w.l.name(blob.Digest), blob.Size)
	n, at := copy(*buf, h[:]), w.l.offsets[i]
	left := blob.Size - kept
	if kept > 0 {
		if _, err := io.CopyN(io.Discard, r, kept); err != nil { // r hashes them
			return err
		}
		if err := w.writeAt(h[:], at); err != nil {
			return err
		}
		n, at = 0, at+blockSize+kept
	}
	for {
		m, err := fill(r, (*buf)[n:min(int64(len(*buf)), int64(n)+left+1)])
		n, left = n+m, left-int64(m)
		last := err == io.EOF
		if err := checkLeft(blob, left, err); err != nil {
			return err
		}
		if last { // the padding fits: the buffer, too, is a multiple of a block
			pad := int(padding(blob.Size))
			clear((*buf)[n : n+pad])
			n += pad
		}
		if err := w.writeAt((*buf)[:n], at); err != nil {
			return err
		}
		w.done[i].Store(blob.Size - left)
		if err := w.journal.wrote(ctx, i, int64(m)); err != nil || last {
			return err
		}
		at, n = at+int64(n), 0
	}
}

// checkLeft returns an error when a read failed with err, or blob has another size: left bytes are
// missing.
func checkLeft(blob blobEntry, left int64, err error) error {
	switch {
	case left < 0:
		return fmt.Errorf("blob %s: more than %d bytes", blob.Digest, blob.Size)
	case err == io.EOF && left > 0:
		return fmt.Errorf("blob %s: %d bytes too few: %w", blob.Digest, left, io.ErrUnexpectedEOF)
	case err != io.EOF:
		return err
	}
	return nil
}

func (w *Writer) writeAt(p []byte, at int64) error {
	if _, err := w.f.WriteAt(p, at); err != nil {
		return fmt.Errorf("write %s: %w", w.f.Name(), noSpace(err))
	}
	return nil
}

// fill reads until p is full, or r returns an error. Unlike io.ReadFull it returns that error as it
// is, so that an io.ErrUnexpectedEOF of r is not mistaken for its end.
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

// Format returns the format of the archive.
func (w *Writer) Format() Format { return w.l.format() }

// Seal returns the archive's seal, which is known from the start. In imgpkg's format it is the zero
// value.
func (w *Writer) Seal() v1.Hash { return w.l.shown(w.seal) }

// Kept returns how many of the blobs that were put had been begun by an earlier run, and how many
// of their bytes were kept.
func (w *Writer) Kept() (blobs int, bytes int64) {
	return int(w.kept.blobs.Load()), w.kept.bytes.Load()
}

// Written returns how many bytes of blobs are in the file.
func (w *Writer) Written() int64 {
	var sum int64
	for i := range w.done {
		sum += w.done[i].Load()
	}
	for d, size := range w.l.within {
		if _, also := w.index[d]; !also {
			sum += size
		}
	}
	return sum
}

// Protect prepares the commit of an archive in volumes, when every blob was put: it reads all of it once
// from the disk, hashes each volume, and computes those for parity. Of an archive in one file it does
// nothing. progress is called with bytes that were read; it must be safe for concurrent use.
//
// Errors: ErrNoSpace; that of ctx.
func (w *Writer) Protect(ctx context.Context, progress func(bytes int64)) error {
	if err := w.seals(); err != nil {
		return fmt.Errorf("write %s: %w", w.path, noSpace(err))
	}
	if err := w.f.protect(ctx, progress); err != nil {
		return fmt.Errorf("write volumes of %s: %w", w.path, noSpace(err))
	}
	return nil
}

// Commit seals the archive, makes it durable and gives it its name. It is an error when a blob was
// not put. After an error Resume can continue with what is durable.
//
// Errors: ErrNoSpace, and others of the file system.
func (w *Writer) Commit() error {
	if err := w.commit(); err != nil {
		return errors.Join(fmt.Errorf("commit %s: %w", w.path, noSpace(err)), w.close())
	}
	return nil
}

func (w *Writer) commit() error {
	if err := w.seals(); err != nil {
		return err
	}
	if err := w.replacing(); err != nil {
		return err
	}
	if err := w.f.commit(w.l.size); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	return os.Remove(journalName(w.path))
}

// replacing calls Replacing, and makes what it does to the folder durable.
func (w *Writer) replacing() error {
	if w.Replacing == nil {
		return nil
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if err := w.Replacing(); err != nil {
		return err
	}
	return ownfile.SyncDir(filepath.Dir(w.path))
}

// seals writes the seal and the end.
func (w *Writer) seals() error {
	for i := range w.whole {
		if !w.whole[i].Load() {
			return fmt.Errorf("blob %s was not written", w.l.blobs[i].Digest)
		}
	}
	if err := w.journal.end(); err != nil { // the system reports once what it could not write
		return err
	}
	_, err := w.f.WriteAt(w.l.end(w.seal), w.l.seal)
	return err
}

// suspendTime is how long Suspend waits for what is written to become durable.
const suspendTime = 3 * time.Second

// Suspend ends the writing, and keeps what Resume can continue. When it cannot continue anything,
// Suspend removes what was written.
func (w *Writer) Suspend() error {
	if !w.Resumable() {
		return errors.Join(w.close(), Discard(w.path))
	}
	durable := make(chan struct{})
	go func() { // a sync may take long, and an interrupt must not wait for it
		defer close(durable)
		if w.journal.end() == nil {
			w.journal.sync()
		}
	}()
	select {
	case <-durable:
		return w.close()
	case <-time.After(suspendTime):
		return nil
	}
}

// Resumable reports whether Resume can continue what was written.
func (w *Writer) Resumable() bool { return w.journal.began.Load() }

// close closes the files that are open. It may be called again.
func (w *Writer) close() error {
	_ = w.journal.end() // PutBlob or Commit has returned its error
	var errs []error
	if w.f != nil {
		errs = append(errs, w.f.Close())
	}
	if w.journal.file != nil {
		errs = append(errs, w.journal.file.Close())
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, os.ErrClosed) })
	return errors.Join(errs...)
}
