package volume

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/reedsolomon"
	"golang.org/x/sync/errgroup"
)

// Protect reads every volume once, from the file, hashes it, and writes the parity volumes. Call it
// after the last WriteAt. progress is called with bytes that were read; it must be safe for concurrent
// use.
func (w *Writer) Protect(ctx context.Context, progress func(bytes int64)) (err error) {
	if w.list.Parity == 0 {
		w.list.Sums, err = hashAll(ctx, w.list.Layout, w.files, progress)
		return err
	}
	s, err := newStripes(w.list.Layout)
	if err != nil {
		return err
	}
	n := w.list.Volumes()
	err = s.each(ctx, func(at int64, size int) error {
		if err := s.read(w.files[:n], at, size, progress); err != nil {
			return err
		}
		if err := s.compute(size, s.code.Encode); err != nil {
			return err
		}
		return s.write(w.files[n:], n, at, size)
	})
	w.list.Sums = s.sums()
	return err
}

// hashBuffer is how many bytes are read and hashed at a time.
const hashBuffer = 256 << 10

// hashAll hashes the volumes of a set.
func hashAll(ctx context.Context, l Layout, files []*os.File, progress func(int64)) ([][sha256.Size]byte, error) {
	var sizes []int64
	for i := range files {
		sizes = append(sizes, l.SizeOf(i))
	}
	sums, errs := hashEach(ctx, files, sizes, progress)
	return sums, errors.Join(errs...)
}

// hashEach hashes files, nil for those to leave out, as many at once as there are processors.
func hashEach(ctx context.Context, files []*os.File, sizes []int64, progress func(int64)) (sums [][sha256.Size]byte, errs []error) {
	sums, errs = make([][sha256.Size]byte, len(files)), make([]error, len(files))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range files {
		if f != nil {
			g.Go(func() error { sums[i], errs[i] = hashOne(ctx, f, sizes[i], progress); return nil })
		}
	}
	_ = g.Wait() // errs has each error
	return sums, errs
}

// hashOne hashes a volume.
func hashOne(ctx context.Context, r io.ReaderAt, size int64, progress func(int64)) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	buf := make([]byte, hashBuffer)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		part := buf[:min(int64(len(buf)), size-at)]
		if n, err := r.ReadAt(part, at); n < len(part) {
			return sum, unexpected(err)
		}
		h.Write(part)
		at += int64(len(part))
		progress(int64(len(part)))
	}
	h.Sum(sum[:0])
	return sum, nil
}

// unexpected makes an error of an end that comes too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stripeMemory is how many bytes of all volumes are in memory at once. Leopard needs two to four times
// as much in addition, and tables of 72 MiB.
const stripeMemory = 24 << 20

// maxStripe is the largest part of a volume in a stripe, in bytes.
const maxStripe = 1 << 20

// shardAlign is what the code wants the size of a shard to be a multiple of.
const shardAlign = 64

// stripes goes through the volumes of a set from front to back: a stripe is the same part of each.
type stripes struct {
	l      Layout
	code   reedsolomon.Encoder
	size   int      // bytes of a volume in a stripe
	buf    [][]byte // of each volume
	lost   []bool   // volumes that are computed
	hashes []hash.Hash
}

func newStripes(l Layout) (*stripes, error) {
	s := &stripes{l: l, size: min(stripeMemory/l.All()/shardAlign*shardAlign, maxStripe)}
	s.size = int(min(int64(s.size), (l.shard()+shardAlign-1)/shardAlign*shardAlign))
	code, err := reedsolomon.New(l.Volumes(), l.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, err
	}
	s.code, s.buf, s.lost = code, reedsolomon.AllocAligned(l.All(), s.size), make([]bool, l.All())
	for range l.All() {
		s.hashes = append(s.hashes, sha256.New())
	}
	return s, nil
}

// each calls do with the offset of each stripe, and the size of a shard in it.
func (s *stripes) each(ctx context.Context, do func(at int64, size int) error) error {
	for at := int64(0); at < s.l.shard(); at += int64(s.size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := int(min(int64(s.size), s.l.shard()-at)+shardAlign-1) / shardAlign * shardAlign
		if err := do(at, size); err != nil {
			return err
		}
	}
	return nil
}

// within returns how many of size bytes at offset at volume i has; the others count as zeros.
func (s *stripes) within(i int, at int64, size int) int {
	return int(max(0, min(int64(size), s.l.SizeOf(i)-at)))
}

// read reads and hashes the stripe at offset at. files are of the first volumes, nil for those that are
// lost.
func (s *stripes) read(files []*os.File, at int64, size int, progress func(int64)) error {
	return parallel(len(files), func(i int) error {
		if s.lost[i] = files[i] == nil; s.lost[i] {
			return nil
		}
		n := s.within(i, at, size)
		part := s.buf[i][:n]
		if m, err := files[i].ReadAt(part, at); m < n {
			return unexpected(err)
		}
		clear(s.buf[i][n:size])
		s.hashes[i].Write(part)
		progress(int64(n))
		return nil
	})
}

// compute calls do with parts of the shards of a stripe, as many at once as there are processors. The
// shards of volumes that are lost are empty, and have room.
func (s *stripes) compute(size int, do func(shards [][]byte) error) error {
	n := runtime.GOMAXPROCS(0)
	part := (size/shardAlign + n - 1) / n * shardAlign
	return parallel((size+part-1)/part, func(p int) error {
		from, to := p*part, min(size, (p+1)*part)
		shards := make([][]byte, len(s.buf))
		for i, b := range s.buf {
			if shards[i] = b[from:to:to]; s.lost[i] {
				shards[i] = b[from:from:to]
			}
		}
		return do(shards)
	})
}

// write writes and hashes the shards from first on into files, nil for those to leave out.
func (s *stripes) write(files []*os.File, first int, at int64, size int) error {
	return parallel(len(files), func(i int) error {
		if files[i] == nil {
			return nil
		}
		part := s.buf[first+i][:s.within(first+i, at, size)]
		s.hashes[first+i].Write(part)
		_, err := files[i].WriteAt(part, at)
		return err
	})
}

// parallel calls do with 0 to n-1, as many at once as there are processors.
func parallel(n int, do func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	return g.Wait()
}

// sums returns the hash of each volume, once each went through every stripe.
func (s *stripes) sums() [][sha256.Size]byte {
	sums := make([][sha256.Size]byte, len(s.hashes))
	for i, h := range s.hashes {
		h.Sum(sums[i][:0])
	}
	return sums
}
