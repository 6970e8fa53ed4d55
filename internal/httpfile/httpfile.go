// Package httpfile reads a file on a server of HTTP in ranges, without a copy of it.
//
// Begin with Open. A File is an io.ReaderAt, and Range streams a part of it with one request, which is
// continued where it breaks off. Put uploads a small file.
//
// What it promises:
//
//   - To read, it sends GET, with one range that has a beginning and an end, and nothing else: links that are
//     signed for GET work, and servers that know no other ranges.
//   - What the server answers is the range that was asked for, of the file that was opened, unencoded, or it
//     is an error. A server can lie about all three: only digests prove content.
//   - Nothing that it returns or prints has the query, user name or password of a URL, nor a header.
//   - Headers and login go to the host of the URL, and to no host that it redirects to.
package httpfile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"relocate/registry"
)

// What is wrong with a server, a link or a file.
var (
	// ErrNoRanges says that a server sends whole files only.
	ErrNoRanges = errors.New("the server answers without ranges")

	// ErrPage says that a server sends a web page, as one to log in at.
	ErrPage = errors.New("the server sent a web page in place of the file")

	// ErrChanged says that the file is no longer the one that was opened.
	ErrChanged = errors.New("was changed while it was read")

	// ErrExpired says that a server refuses a link that it accepted before, or that has expired.
	ErrExpired = errors.New("the link may have expired")

	// ErrAnswer says that an answer is not what was asked for.
	ErrAnswer = errors.New("the server sent a wrong answer")

	// ErrURL says that a URL cannot be used, or no URL was found.
	ErrURL = errors.New("is not a URL that can be read")
)

// Source says where a file is: by its URL, or by a file that holds the URL, or both when that was read before.
type Source struct {
	URL  string
	File string // is read again when the server refuses the URL in it (401, 403, 410)
}

// Options say how the server is reached. Of the embedded options, Username and Password, or Token, are
// a login for the host of the URL; those about certificates, plain HTTP, redirects, retries and time limits
// mean what they mean for registries.
type Options struct {
	registry.Options
	Header http.Header // for the host of the URL
}

// frontSize is how many bytes the first request asks for. What an archive begins with is often in it.
const frontSize = 1 << 20

// File is an open file. Its methods are safe for concurrent use.
type File struct {
	ctx       context.Context // of Open: io.ReaderAt has none
	cancel    context.CancelFunc
	opt       Options
	transport http.RoundTripper
	link      *link
	name      string
	size      int64
	front     []byte // the first bytes
	identity  identity
	counts    counts
	accepted  atomic.Int64 // when the link was accepted last, in seconds since 1970; 0: never
}

// Open asks for the beginning of the file at src. Reading ends with ctx.
//
// Errors: ErrURL, ErrNoRanges, ErrPage, ErrAnswer, ErrExpired; *registry.Error, of which errors.Is finds the meaning,
// as fs.ErrNotExist; those of registry.Transport.
func Open(ctx context.Context, src Source, opt Options) (*File, error) {
	l, err := newLink(ctx, src)
	if err != nil {
		return nil, err
	}
	u := l.current()
	f := &File{opt: opt, link: l, name: Redacted(u), size: -1}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.opt.Tries = cmp.Or(opt.Tries, registry.Defaults().Tries)
	f.opt.RetryWait = cmp.Or(opt.RetryWait, registry.Defaults().RetryWait)
	if f.transport, err = registry.Transport(opt.Options, u); err != nil {
		return nil, err
	}
	if err := f.readFront(); err != nil {
		f.cancel()
		return nil, err
	}
	return f, nil
}

// readFront reads the first bytes of the file, and with them its size and what identifies it.
func (f *File) readFront() error {
	r, err := f.open(f.ctx, 0, frontSize)
	if err != nil {
		return err
	}
	f.front = make([]byte, min(f.size, frontSize))
	_, err = io.ReadFull(r, f.front)
	return errors.Join(err, r.Close())
}

// Size returns the size of the file in bytes.
func (f *File) Size() int64 { return f.size }

// Name returns the URL without user name, password and query.
func (f *File) Name() string { return f.name }

// Validator returns what the server identifies the content by, a strong ETag or the time of the last
// modification; "" when there is neither, so that a change may go unnoticed until digests differ.
func (f *File) Validator() string { return f.identity.shown }

// ReadAt implements io.ReaderAt, with a request unless the bytes are among the first of the file.
//
// Errors: ErrChanged, ErrExpired, ErrNoRanges, ErrAnswer; *registry.Error.
func (f *File) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("read %s at %d", f.name, at)
	}
	n := max(0, min(int64(len(p)), f.size-at))
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	r, err := f.Range(f.ctx, at, n)
	if err != nil {
		return 0, err
	}
	got, err := io.ReadFull(r, p[:n])
	if err = errors.Join(err, r.Close()); err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

// Range opens n bytes from at on, with one request for what is not among the first of the file. When the connection
// breaks, another asks for the rest. Reading ends with ctx, and with that of Open. The caller closes what it returns.
//
// Errors: as ReadAt.
func (f *File) Range(ctx context.Context, at, n int64) (io.ReadCloser, error) {
	if at < 0 || n < 0 || at > f.size-n {
		return nil, fmt.Errorf("read %d bytes from byte %d of %s: it has %d", n, at, f.name, f.size)
	}
	front := f.front[min(at, int64(len(f.front))):min(at+n, int64(len(f.front)))]
	rest := n - int64(len(front))
	if rest == 0 {
		return io.NopCloser(bytes.NewReader(front)), ctx.Err()
	}
	s, err := f.open(ctx, at+n-rest, rest)
	if err != nil {
		return nil, err
	}
	s.at, s.front = at, front
	return s, nil
}

// Unchanged asks for one byte, and compares what identifies the file, as every answer to a read is compared.
//
// Errors: ErrChanged; as ReadAt.
func (f *File) Unchanged() error {
	if f.size == 0 {
		return nil
	}
	r, err := f.open(f.ctx, 0, 1)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// Close ends reading, of ranges, too.
func (f *File) Close() error {
	f.cancel()
	return nil
}

// Redacted returns a URL without what may be secret: its login, its query and its fragment.
func Redacted(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
