package tarball

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxAhead is the size in bytes of the largest blob that is fetched into memory before its turn.
const maxAhead = 4 << 20

// StreamWriter writes an archive to a stream: the same bytes as Writer. Small blobs are fetched in
// parallel and wait for their turn in memory. A large one is opened when its turn comes, because a
// source may limit how many are open at once. Its methods are safe for concurrent use, except
// Commit.
type StreamWriter struct {
	w     *bufio.Writer
	l     *layout
	seal  v1.Hash
	index map[v1.Hash]int

	mu      sync.Mutex
	next    int                   // the blob whose turn it is
	waiting map[int]chan struct{} // closed when the turn of a blob comes
	broken  error                 // why a blob failed after its first bytes were written
}

func newStreamWriter(w io.Writer, l *layout) (_ *StreamWriter, err error) {
	s := &StreamWriter{w: bufio.NewWriterSize(w, bufferSize), l: l, index: make(map[v1.Hash]int, len(l.blobs)), waiting: map[int]chan struct{}{}}
	if s.seal, err = l.sealDigest(); err != nil {
		return nil, err
	}
	for i, b := range l.blobs {
		s.index[b.Digest] = i
	}
	if err := l.writeDocs(s.w); err != nil {
		return nil, fmt.Errorf("write the stream: %w", noSpace(err))
	}
	return s, nil
}

// PutBlob writes the blob d when those before it are written. What open returns must give an error
// in place of its last bytes when the content does not match d. A blob that failed can be put
// again, unless some of it is written.
//
// Errors: ErrNoSpace; those of open and of the stream.
func (s *StreamWriter) PutBlob(ctx context.Context, d v1.Descriptor, open func(ctx context.Context, from int64) (io.ReadCloser, error)) (err error) {
	i, ok := s.index[d.Digest]
	if !ok && s.l.has(d) {
		return s.isBroken()
	}
	if !ok || s.l.blobs[i].Size != d.Size {
		return fmt.Errorf("write blob %s of %d bytes: it is not in the plan", d.Digest, d.Size)
	}
	if err := s.isBroken(); err != nil {
		return err
	}
	if d.Size > maxAhead {
		if err := s.await(ctx, i); err != nil {
			return err
		}
		return s.copy(ctx, i, open)
	}
	content, err := fetch(ctx, d.Size, open)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if err := s.await(ctx, i); err != nil {
		return err
	}
	return s.write(i, bytes.NewReader(content))
}

// copy opens blob i, whose turn it is, and writes it.
func (s *StreamWriter) copy(ctx context.Context, i int, open func(context.Context, int64) (io.ReadCloser, error)) (err error) {
	r, err := open(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return s.write(i, r)
}

// fetch reads all of a small blob.
func fetch(ctx context.Context, size int64, open func(context.Context, int64) (io.ReadCloser, error)) (_ []byte, err error) {
	r, err := open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content := make([]byte, size+1)
	n, err := fill(r, content)
	switch {
	case err == nil:
		return nil, fmt.Errorf("more than %d bytes", size)
	case err != io.EOF:
		return nil, err
	case int64(n) < size:
		return nil, io.ErrUnexpectedEOF
	}
	return content[:n], nil
}

func (s *StreamWriter) isBroken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// await returns when it is the turn of blob i.
func (s *StreamWriter) await(ctx context.Context, i int) error {
	s.mu.Lock()
	if s.next == i {
		s.mu.Unlock()
		return ctx.Err()
	}
	turn := make(chan struct{})
	s.waiting[i] = turn
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write writes blob i with its frame, and gives the turn to the next. After an error the stream is
// broken, because some of the blob may be written.
func (s *StreamWriter) write(i int, r io.Reader) error {
	err := s.writeBlob(i, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.broken = err
		return err
	}
	s.next++
	if turn := s.waiting[s.next]; turn != nil {
		close(turn)
		delete(s.waiting, s.next)
	}
	return nil
}

func (s *StreamWriter) writeBlob(i int, r io.Reader) error {
	_, frame := s.l.frame(i)
	if _, err := s.w.Write(frame); err != nil {
		return fmt.Errorf("write the stream: %w", noSpace(err))
	}
	blob := s.l.blobs[i]
	n, err := io.Copy(s.w, r)
	if err == nil && n != blob.Size {
		err = fmt.Errorf("it has %d bytes, want %d", n, blob.Size)
	}
	if err != nil {
		return fmt.Errorf("write blob %s to the stream: %w", blob.Digest, noSpace(err))
	}
	return nil
}

// Size returns the size in bytes of the whole archive.
func (s *StreamWriter) Size() int64 { return s.l.size }

// Format returns the format of the archive.
func (s *StreamWriter) Format() Format { return s.l.format() }

// Seal returns the archive's seal, which is known from the start. In imgpkg's format it is the zero
// value.
func (s *StreamWriter) Seal() v1.Hash { return s.l.shown(s.seal) }

// Commit writes the seal and the end. It is an error when a blob was not put.
func (s *StreamWriter) Commit() error {
	if s.next != len(s.l.blobs) {
		return fmt.Errorf("blob %s was not written", s.l.blobs[s.next].Digest)
	}
	_, frame := s.l.frame(s.next)
	if _, err := s.w.Write(append(frame, s.l.end(s.seal)...)); err != nil {
		return fmt.Errorf("write the stream: %w", noSpace(err))
	}
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("write the stream: %w", noSpace(err))
	}
	return nil
}
