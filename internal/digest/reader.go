// Package digest checks content against its descriptor while it is read.
//
// The check cannot be forgotten: it stands where the reader expects io.EOF. And it comes in
// time: the last bytes are handed out only after the digest was found right, so a receiver
// that counts bytes (an HTTP server behind a Content-Length) never completes wrong content.
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

// ErrMismatch says that content is not what its descriptor promises: another digest, too few
// bytes or too many.
var ErrMismatch = errors.New("content does not match its descriptor")

// Reader returns a reader of exactly the content that want and size (in bytes) describe.
// It returns an error that wraps ErrMismatch in place of the last bytes when the digest differs or
// bytes follow, in place of io.EOF when bytes are missing. Errors of r are passed on as they are:
// only io.EOF itself is r's end.
// Only sha256 is known; another algorithm is an error at the first read.
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
	if d.err != nil {
		return 0, d.err
	}
	if d.want.Algorithm != "sha256" {
		return 0, d.fail(fmt.Errorf("digest %s: only sha256 is supported", d.want))
	}
	if d.size < 0 {
		return 0, d.fail(fmt.Errorf("%w: %s cannot have %d bytes", ErrMismatch, d.want, d.size))
	}
	if d.left == 0 {
		if !d.done { // empty content: nothing was read that could have been checked
			if err := d.finish(); err != nil {
				return 0, err
			}
		}
		return 0, d.fail(io.EOF)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > d.left {
		p = p[:d.left]
	}
	n, err := d.r.Read(p)
	d.sum.Write(p[:n])
	d.left -= int64(n)
	switch {
	case err != nil && err != io.EOF:
		if d.left == 0 {
			n = 0
		}
		return n, d.fail(err)
	case d.left == 0:
		if err := d.finish(); err != nil {
			return 0, err
		}
	case err == io.EOF:
		return n, d.fail(fmt.Errorf("%w: %s ends after %d of %d bytes", ErrMismatch, d.want, d.size-d.left, d.size))
	}
	return n, nil
}

// finish checks the digest and that nothing follows.
func (d *reader) finish() error {
	d.done = true
	if got := hex.EncodeToString(d.sum.Sum(nil)); got != d.want.Hex {
		return d.fail(fmt.Errorf("%w: %s has the digest sha256:%s", ErrMismatch, d.want, got))
	}
	var extra [1]byte
	switch n, err := io.ReadFull(d.r, extra[:]); {
	case n > 0:
		return d.fail(fmt.Errorf("%w: %s has more than %d bytes", ErrMismatch, d.want, d.size))
	case err != io.EOF:
		return d.fail(err)
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
