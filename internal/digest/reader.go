// Package digest checks content against its descriptor while it is read.
//
// Start with Reader. The check cannot be forgotten: its error comes in place of io.EOF. It comes in
// time: the last bytes are returned only when the digest matches, so a receiver that counts bytes
// (an HTTP server behind a Content-Length) never completes wrong content.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrMismatch says that content does not match its descriptor: another digest, too few bytes or too
// many.
var ErrMismatch = errors.New("content does not match its descriptor")

// Reader returns a reader of exactly the content that want and size (in bytes) describe. It returns
// an error that wraps ErrMismatch in place of the last bytes when the digest differs or bytes
// follow, in place of io.EOF when bytes are missing. It returns errors of r as they are; only
// io.EOF itself ends the content. An algorithm other than sha256 is an error of the first read.
func Reader(r io.Reader, want v1.Hash, size int64) io.Reader {
	return &reader{r: r, want: want, size: size, left: size, sum: sha256.New()}
}

type reader struct {
	r    io.Reader
	want v1.Hash
	size int64
	left int64
	sum  hash.Hash
	done bool
	err  error
}

func (d *reader) Read(p []byte) (int, error) {
	if err := d.before(); err != nil {
		return 0, d.fail(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.r.Read(p[:min(int64(len(p)), d.left)])
	d.sum.Write(p[:n])
	d.left -= int64(n)
	switch {
	case err != nil && err != io.EOF:
		if d.left == 0 { // the last bytes are not checked
			n = 0
		}
		return n, d.fail(err)
	case d.left == 0:
		if err := d.finish(); err != nil {
			return 0, d.fail(err)
		}
	case err == io.EOF:
		return n, d.fail(fmt.Errorf("%w: %s ends after %d of %d bytes", ErrMismatch, d.want, d.size-d.left, d.size))
	}
	return n, nil
}

// before returns why nothing can be read: an earlier error, a descriptor that cannot be checked, or
// the end.
func (d *reader) before() error {
	switch {
	case d.err != nil:
		return d.err
	case d.want.Algorithm != "sha256":
		return fmt.Errorf("digest %s: only sha256 is supported", d.want)
	case d.size < 0:
		return fmt.Errorf("%w: %s cannot have %d bytes", ErrMismatch, d.want, d.size)
	case d.left > 0:
		return nil
	}
	if !d.done { // empty content: no read could check it
		if err := d.finish(); err != nil {
			return err
		}
	}
	return io.EOF
}

// finish checks the digest and that nothing follows.
func (d *reader) finish() error {
	d.done = true
	if got := hex.EncodeToString(d.sum.Sum(nil)); got != d.want.Hex {
		return fmt.Errorf("%w: %s has the digest sha256:%s", ErrMismatch, d.want, got)
	}
	var extra [1]byte
	switch n, err := io.ReadFull(d.r, extra[:]); {
	case n > 0:
		return fmt.Errorf("%w: %s has more than %d bytes", ErrMismatch, d.want, d.size)
	case err != io.EOF:
		return err
	}
	return nil
}

func (d *reader) fail(err error) error {
	d.err = err
	return err
}

// Of returns the sha256 digest of b.
func Of(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// Check returns an error that wraps ErrMismatch when b is not what want describes.
func Check(b []byte, want v1.Hash) error {
	if got := Of(b); got != want {
		return fmt.Errorf("%w: %s has the digest %s", ErrMismatch, want, got)
	}
	return nil
}
