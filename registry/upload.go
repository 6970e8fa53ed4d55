package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bytes of a blob in one request: all, in the PUT that completes the upload or in a PATCH before it, or as
// many as the registry accepts.
const (
	onePut   = math.MaxInt64
	onePatch = onePut - 1

	largestChunk  = 8 << 20 // the first to try if all at once was refused
	smallestChunk = 256 << 10
)

// PutBlob uploads the blob d: a POST, and one PUT with the content (distribution-spec 1.1, pushing
// a blob monolithically). open returns the content; its reader must fail in place of its last bytes
// if the content is not d's. Errors of open and of the reader are returned unchanged.
//
// After an error the upload continues at the byte that the registry reports, with PATCHes, or
// starts over. open may be called several times; each reader is closed before the next call, and
// before PutBlob returns. If the registry refuses the method, the upload starts over with another:
// the content in PATCHes, in smaller pieces.
func (r *Repository) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	u := &upload{ctx: ctx, repo: c, desc: d, content: &content{ctx: ctx, open: open}}
	defer u.content.close()
	tries := [2]*attempt{c.attempt(http.MethodPost), c.attempt(http.MethodPut)} // to begin, and to send the content
	for try := tries[0]; ; {
		err := u.send(try)
		if readErr := u.content.pause(d.Size); readErr != nil {
			return readErr
		}
		if err == nil {
			return nil
		}
		if u.adapt(err) {
			continue
		}
		if try = tries[0]; u.at != "" {
			try = tries[1]
		}
		finally := c.rules.again(ctx, try, err)
		if isTemporary(err) && !isTooMany(err) && u.stored() {
			return nil
		}
		if finally != nil {
			return fmt.Errorf("upload blob %s: %w", d.Digest, finally)
		}
		u.resume(err)
		if u.sent-u.counted >= progress {
			u.counted = u.sent
			c.rules.progress(tries[1])
		}
	}
}

// upload is a blob under way. It is begun (at is set), has sent some or all of the content, and is
// completed by the PUT that names the digest.
type upload struct {
	ctx     context.Context
	held    context.Context // of the requests of send
	repo    *repository
	desc    v1.Descriptor
	content *content
	at      string // URL at which the upload continues; empty: not begun
	sent    int64  // bytes that the registry has
	counted int64  // value of sent when tries were last counted from zero
	resumed bool   // it continues after an error
	most    int64  // most bytes in one request, as far as known
	least   int64  // fewest bytes of a piece that is not the last
}

// send completes the upload, within one slot (limiter).
func (u *upload) send(try *attempt) (err error) {
	u.most = u.repo.most.Load()
	held, release, err := u.repo.rules.hold(u.ctx, try)
	if err != nil {
		return err
	}
	defer release()
	u.held = held
	if u.at == "" {
		if err := u.begin(); err != nil {
			return err
		}
	}
	if u.most == onePut && u.sent == 0 {
		return u.lost(u.complete(u.desc.Size))
	}
	for u.sent < u.desc.Size {
		if err := u.patch(); err != nil {
			return u.lost(err)
		}
	}
	if err := u.content.finish(u.desc.Size); err != nil {
		return err
	}
	return u.lost(u.complete(0))
}

// begin begins the upload, or takes one that was begun before.
func (u *upload) begin() error {
	if b, ok := u.repo.begun.take(u.desc.Digest); ok {
		u.at, u.least, u.sent, u.resumed = b.at, b.least, 0, true
		return nil
	}
	req, err := u.repo.request(noRetry(u.held), http.MethodPost, "/blobs/uploads/")
	if err != nil {
		return err
	}
	res, err := u.repo.do(req, http.StatusAccepted)
	if err != nil {
		return err
	}
	drain(res)
	u.sent, u.resumed = 0, false
	u.least = leastChunk(res)
	u.at, err = location(res, u.repo.rules.redirects)
	return err
}

// patch sends the next piece. If the registry reports how much it has, that counts.
func (u *upload) patch() error {
	size := min(max(u.most, u.least), u.desc.Size-u.sent)
	header := http.Header{}
	if size < u.desc.Size {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", u.sent, u.sent+size-1))
	}
	res, err := u.piece(http.MethodPatch, u.at, header, size, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	if err != nil {
		return err
	}
	if u.at, err = location(res, u.repo.rules.redirects); err != nil {
		return err
	}
	before := u.sent
	u.sent += size
	if end, ok := received(res); ok && end != u.sent {
		if end <= before || end > u.sent {
			return lostUpload{fmt.Errorf("PATCH %s: the registry reports %d bytes after %d were sent", plainURL(res.Request.URL), end, u.sent)}
		}
		u.sent = end
	}
	return nil
}

// complete sends the PUT that completes the upload, with all of the content or none.
func (u *upload) complete(size int64) error {
	at, err := url.Parse(u.at)
	if err != nil {
		return err
	}
	if at.RawQuery != "" {
		at.RawQuery += "&"
	}
	at.RawQuery += "digest=" + url.QueryEscape(u.desc.Digest.String())
	res, err := u.piece(http.MethodPut, at.String(), nil, size, http.StatusCreated, http.StatusNoContent, http.StatusOK)
	if err != nil {
		return err
	}
	if err := u.content.pause(u.desc.Size); err != nil { // an open download may hold a slot that the next request needs
		return err
	}
	return checkStored(res, u.desc.Digest, false, func() (bool, error) { return u.repo.hasBlob(u.ctx, u.desc) })
}

// piece sends size bytes of the content, from the offset u.sent.
func (u *upload) piece(method, at string, header http.Header, size int64, want ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(noRetry(u.held), method, at, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if size > 0 {
		from := u.sent
		req.ContentLength = size
		req.GetBody = func() (io.ReadCloser, error) { return u.content.piece(from, size) }
		req.Body = http.NoBody // the transport replaces it by GetBody's
	}
	res, err := u.repo.do(req, want...)
	if err != nil {
		return nil, err
	}
	drain(res)
	return res, nil
}

// lostUpload is an error after which an upload must start over.
type lostUpload struct{ error }

func (l lostUpload) Unwrap() error { return l.error }

// lost marks an error which says that the registry no longer knows the upload, or does not continue
// it where it said.
func (u *upload) lost(err error) error {
	var answer *Error
	switch {
	case !errors.As(err, &answer):
		return err
	case answer.Status == http.StatusNotFound, answer.Status == http.StatusRequestedRangeNotSatisfiable,
		answer.Code == "BLOB_UPLOAD_UNKNOWN", answer.Code == "BLOB_UPLOAD_INVALID": // olareg answers this with a 400 after a restart
		return lostUpload{err}
	case u.resumed && !errors.Is(answer, fs.ErrPermission) && !errors.Is(answer, ErrNoSpace):
		return lostUpload{err}
	}
	return err
}

// wantsPatch are the answers of registries that do not support an upload in one PUT.
var wantsPatch = []int{http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusUnsupportedMediaType,
	http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented}

// adapt reports whether the registry refused the method of the upload, and another one is left. It
// selects that one, also for later uploads to the repository.
func (u *upload) adapt(err error) bool {
	var answer *Error
	if u.at == "" || !errors.As(err, &answer) || errors.Is(answer, ErrNoSpace) {
		return false
	}
	var most int64
	switch {
	case answer.Status == http.StatusRequestEntityTooLarge:
		most = chunkBelow(min(u.most, u.desc.Size))
	case u.most == onePut && answer.Method == http.MethodPut && slices.Contains(wantsPatch, answer.Status):
		most = onePatch
	}
	if most == 0 {
		return false
	}
	for known := u.repo.most.Load(); most < known && !u.repo.most.CompareAndSwap(known, most); known = u.repo.most.Load() {
	}
	u.at = ""
	return true
}

// chunkBelow returns a size of pieces below one that was refused; 0 if none is left.
func chunkBelow(size int64) int64 {
	for chunk := int64(largestChunk); chunk >= smallestChunk; chunk /= 2 {
		if chunk < size {
			return chunk
		}
	}
	return 0
}

// stored reports whether the registry has the blob: the answer to the PUT may have been lost.
func (u *upload) stored() bool {
	if u.at == "" {
		return false
	}
	req, err := u.repo.request(noRetry(u.ctx), http.MethodHead, "/blobs/"+u.desc.Digest.String())
	if err != nil {
		return false
	}
	res, err := u.repo.do(req, slices.Concat(redirects, []int{http.StatusOK})...)
	if err != nil {
		return false
	}
	drain(res)
	return res.StatusCode != http.StatusOK || res.ContentLength == u.desc.Size
}

// resume asks how much the registry has of an upload that ended with err. Without a certain answer,
// the upload starts over.
func (u *upload) resume(err error) {
	at := u.at
	sent := u.sent
	u.at, u.sent = "", 0
	var lost lostUpload
	if at == "" || errors.As(err, &lost) || sent == 0 && isTooMany(err) {
		return
	}
	req, err := http.NewRequestWithContext(noRetry(u.ctx), http.MethodGet, at, nil)
	if err != nil {
		return
	}
	res, err := u.repo.do(req, http.StatusNoContent)
	if err != nil {
		return
	}
	drain(res)
	if next, err := location(res, u.repo.rules.redirects); err == nil {
		at = next
	}
	if end, ok := received(res); ok && end <= u.desc.Size {
		u.at, u.sent, u.resumed = at, end, true
	}
}

// received returns how many bytes of an upload the registry reports to have, if more than one. The
// range 0-0 means one byte or none, and does not count.
func received(res *http.Response) (int64, bool) {
	var last int64
	n, _ := fmt.Sscanf(strings.TrimPrefix(res.Header.Get("Range"), "bytes="), "0-%d", &last)
	return last + 1, n == 1 && last > 0 && last < math.MaxInt64
}

// location returns the URL at which an upload continues: on the same host, or on one that the
// operator named.
func location(res *http.Response, named hostList) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", refusal{fmt.Errorf("%s %s: %w", res.Request.Method, plainURL(res.Request.URL), fmt.Errorf(format, args...))}
	}
	header := res.Header.Get("Location")
	u, err := res.Request.URL.Parse(header)
	switch {
	case header == "":
		return fail("the answer has no Location header")
	case err != nil:
		header, _, _ = strings.Cut(header, "?") // the query may contain a secret
		return fail("the answer's Location %q is not a URL", oneLine(header))
	}
	u.Scheme = res.Request.URL.Scheme // a registry behind a proxy may not know its own scheme
	if !sameAuthority(u, res.Request.URL) && !named.has(u) {
		return fail("the upload was %w to another host, %s", ErrRedirected, u.Host)
	}
	return u.String(), nil
}
