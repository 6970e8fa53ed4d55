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

// How many bytes of a blob one request has: all, in the PUT that ends the upload or in a PATCH before it,
// or as many as a registry did not refuse.
const (
	onePut   = math.MaxInt64
	onePatch = onePut - 1

	largestChunk  = 8 << 20 // the first that is tried when all at once was refused
	smallestChunk = 256 << 10
)

// PutBlob uploads the blob d: a POST, and one PUT with what open returns. What open returns must
// fail in place of its last bytes when the content is not d's; its errors are returned as they are.
//
// A broken upload goes on where the registry says that it has the content, with PATCHes, or begins
// anew; open is called again then, and what it returned before is closed, as it is when PutBlob returns.
// So is an upload whose way the registry refuses: without content in the PUT, in smaller pieces.
func (r *Repository) PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	u := &upload{ctx: ctx, repo: c, desc: d, content: &content{ctx: ctx, open: open}}
	defer u.content.close()
	tries := [2]*attempt{c.attempt(http.MethodPost), c.attempt(http.MethodPut)} // of beginning it, and of sending the content
	for try := tries[0]; ; {
		err := u.send(try)
		if readErr := u.content.pause(d.Size); readErr != nil {
			return readErr
		}
		if err == nil {
			return nil
		}
		if u.otherWay(err) {
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

// upload is a blob on its way. It is begun (at is known), has sent some of the content, or all, and ends
// with the PUT that names the digest.
type upload struct {
	ctx     context.Context
	held    context.Context // of the requests of send
	repo    *repository
	desc    v1.Descriptor
	content *content
	at      string // where the upload goes on; empty: it has to be begun
	sent    int64  // bytes that the registry has
	counted int64  // of these, when tries were counted anew
	resumed bool   // it goes on after a break
	most    int64  // bytes of a request, as far as is known of the repository
	least   int64  // bytes of a piece but the last
}

// send brings the upload to its end, in one slot (limiter).
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
		return u.lost(u.end(u.desc.Size))
	}
	for u.sent < u.desc.Size {
		if err := u.patch(); err != nil {
			return u.lost(err)
		}
	}
	if err := u.content.finish(u.desc.Size); err != nil {
		return err
	}
	return u.lost(u.end(0))
}

// begin asks for an upload.
func (u *upload) begin() error {
	if b, ok := u.repo.begun.take(u.desc.Digest); ok {
		u.at, u.least, u.sent, u.resumed = b.at, b.least, 0, true
		return nil
	}
	req, err := u.repo.request(once(u.held), http.MethodPost, "/blobs/uploads/")
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

// patch sends the next piece. Where the registry says how much it has, that counts.
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
			return lostUpload{fmt.Errorf("PATCH %s: the registry has %d bytes, of %d", plainURL(res.Request.URL), end, u.sent)}
		}
		u.sent = end
	}
	return nil
}

// end sends the PUT that ends the upload, with all of the content or none.
func (u *upload) end(size int64) error {
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
	if err := u.content.pause(u.desc.Size); err != nil { // it may hold what the next request needs
		return err
	}
	return checkStored(res, u.desc.Digest, false, func() (bool, error) { return u.repo.hasBlob(u.ctx, u.desc) })
}

// piece sends size bytes of the content, from u.sent on.
func (u *upload) piece(method, at string, header http.Header, size int64, want ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(once(u.held), method, at, nil)
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
		req.Body = http.NoBody // replaced by GetBody's
	}
	res, err := u.repo.do(req, want...)
	if err != nil {
		return nil, err
	}
	drain(res)
	return res, nil
}

// lostUpload is an error after which an upload can only begin anew.
type lostUpload struct{ error }

func (l lostUpload) Unwrap() error { return l.error }

// lost marks an error that says that the registry does not know the upload any more, or does not go on
// with it where it said.
func (u *upload) lost(err error) error {
	var answer *Error
	switch {
	case !errors.As(err, &answer):
		return err
	case answer.Status == http.StatusNotFound, answer.Status == http.StatusRequestedRangeNotSatisfiable,
		answer.Code == "BLOB_UPLOAD_UNKNOWN", answer.Code == "BLOB_UPLOAD_INVALID": // 400 at olareg, after a restart
		return lostUpload{err}
	case u.resumed && !errors.Is(answer, fs.ErrPermission) && !errors.Is(answer, ErrNoSpace):
		return lostUpload{err}
	}
	return err
}

// wantsPatch are the answers of registries that know no upload in one PUT.
var wantsPatch = []int{http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusUnsupportedMediaType,
	http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented}

// otherWay reports whether the registry refused the way in which the blob was sent, and there is
// another. That is remembered for the repository.
func (u *upload) otherWay(err error) bool {
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

// chunkBelow returns a size for pieces where size was too large, or 0.
func chunkBelow(size int64) int64 {
	for chunk := int64(largestChunk); chunk >= smallestChunk; chunk /= 2 {
		if chunk < size {
			return chunk
		}
	}
	return 0
}

// stored reports whether the registry has the blob after all: its answer may have been lost.
func (u *upload) stored() bool {
	if u.at == "" {
		return false
	}
	req, err := u.repo.request(once(u.ctx), http.MethodHead, "/blobs/"+u.desc.Digest.String())
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

// resume asks how much the registry has of an upload that err ended. What it does not say for certain
// lets the upload begin anew.
func (u *upload) resume(err error) {
	at := u.at
	sent := u.sent
	u.at, u.sent = "", 0
	var lost lostUpload
	if at == "" || errors.As(err, &lost) || sent == 0 && isTooMany(err) {
		return
	}
	req, err := http.NewRequestWithContext(once(u.ctx), http.MethodGet, at, nil)
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

// received returns how many bytes of an upload an answer says that the registry has: more than one. 0-0
// says one byte or none, and counts for nothing.
func received(res *http.Response) (int64, bool) {
	var last int64
	n, _ := fmt.Sscanf(strings.TrimPrefix(res.Header.Get("Range"), "bytes="), "0-%d", &last)
	return last + 1, n == 1 && last > 0 && last < math.MaxInt64
}

// location returns where an upload continues: on the same host, or one that the operator named.
func location(res *http.Response, named hostList) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", refusal{fmt.Errorf("%s %s: %w", res.Request.Method, plainURL(res.Request.URL), fmt.Errorf(format, args...))}
	}
	header := res.Header.Get("Location")
	u, err := res.Request.URL.Parse(header)
	switch {
	case header == "":
		return fail("the answer has no Location to go on with")
	case err != nil:
		header, _, _ = strings.Cut(header, "?") // the query may hold a secret
		return fail("the answer's Location %q is no URL", oneLine(header))
	}
	u.Scheme = res.Request.URL.Scheme // a registry behind a proxy may not know its own
	if !sameAuthority(u, res.Request.URL) && !named.has(u) {
		return fail("the upload was %w to another host, %s", ErrRedirected, u.Host)
	}
	return u.String(), nil
}
