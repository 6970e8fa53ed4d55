package httpfile

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"relocate/internal/text"
)

// identity is what must be the same in all answers.
type identity struct {
	host      string // that answered
	etag      string // a strong one; "" when there is none
	validator string // etag, or the time of the last modification; "" when there is neither
	shown     string // validator for messages
}

func identityOf(res *http.Response) identity {
	i := identity{host: authority(res.Request.URL)}
	if etag := res.Header.Get("ETag"); len(etag) >= 2 && etag[0] == '"' && etag[len(etag)-1] == '"' {
		i.etag, i.validator = etag, "ETag "+etag[1:len(etag)-1]
	} else if modified := res.Header.Get("Last-Modified"); modified != "" {
		i.validator = "Last-Modified " + modified
	}
	return i
}

// show returns a validator for messages.
func (f *File) show(res *http.Response, validator string) string {
	name, value, ok := strings.Cut(validator, " ")
	if !ok {
		return ""
	}
	return name + " " + f.quote(res, value)
}

// quote returns for messages what an answer says. What was secret in the request is hidden before the text is cut, so
// that no part of it is left.
func (f *File) quote(res *http.Response, s string) string { return text.Quote(f.hide(res.Request, s)) }

// check compares an answer with what was asked for. The first one says how large the file is, and what
// identifies it. It reads nothing of the body but an error document.
func (f *File) check(res *http.Response, at, n int64) error {
	if res.StatusCode != http.StatusPartialContent {
		return f.checkOther(res)
	}
	if encoding := res.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fmt.Errorf("%w: it is encoded with %s, which was not asked for; "+
			"switch compression off at the server or proxy for this file", ErrAnswer, f.quote(res, encoding))
	}
	return f.checkRange(res, at, n)
}

// checkOther says what an answer means that is no range. Only an empty file has none.
func (f *File) checkOther(res *http.Response) error {
	switch isOK := res.StatusCode == http.StatusOK; {
	case isOK && res.ContentLength == 0 && f.size < 0:
		f.size = 0
		return nil
	case isOK && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"):
		return ErrPage
	case isOK:
		return ErrNoRanges
	case res.StatusCode == http.StatusPreconditionFailed && f.identity.etag != "":
		return fmt.Errorf("%w: it no longer has the %s", ErrChanged, f.identity.shown)
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return f.checkEnd(res)
	}
	return refusal(res)
}

// checkRange compares the range of an answer with that which was asked for.
func (f *File) checkRange(res *http.Response, at, n int64) error {
	got, ok := parseRange(res.Header.Get("Content-Range"))
	if !ok {
		return fmt.Errorf("%w: its Content-Range is %s", ErrAnswer, f.quote(res, res.Header.Get("Content-Range")))
	}
	i := identityOf(res)
	if f.size < 0 {
		n = min(n, got.total)
	}
	switch {
	case f.size >= 0 && got.total != f.size:
		return fmt.Errorf("%w: it had %d bytes, and has %d now", ErrChanged, f.size, got.total)
	case got.first != at || got.last != at+n-1:
		return fmt.Errorf("%w: asked for bytes %d-%d, got %d-%d", ErrAnswer, at, at+n-1, got.first, got.last)
	case res.ContentLength >= 0 && res.ContentLength != n:
		return fmt.Errorf("%w: it has %d bytes for a range of %d", ErrAnswer, res.ContentLength, n)
	case f.size >= 0 && i.validator != f.identity.validator:
		return fmt.Errorf("%w: it was identified by %s, and is now identified by %s",
			ErrChanged, cmp.Or(f.identity.shown, "nothing"), cmp.Or(f.show(res, i.validator), "nothing"))
	}
	if f.size < 0 {
		i.shown = f.show(res, i.validator)
		f.size, f.identity = got.total, i
	}
	return nil
}

// checkEnd explains a range that the server says it does not have.
func (f *File) checkEnd(res *http.Response) error {
	total, ok := strings.CutPrefix(res.Header.Get("Content-Range"), "bytes */")
	n, err := strconv.ParseInt(total, 10, 63)
	switch {
	case !ok || err != nil || n < 0:
		return refusal(res)
	case f.size < 0 && n == 0:
		f.size = 0
		return nil
	case f.size >= 0 && n != f.size:
		return fmt.Errorf("%w: it had %d bytes, and has %d now", ErrChanged, f.size, n)
	}
	return refusal(res)
}

// contentRange is a range of a file, both ends included.
type contentRange struct{ first, last, total int64 }

// parseRange parses a Content-Range with a known size (RFC 9110, 14.4).
func parseRange(header string) (r contentRange, ok bool) {
	const form = "bytes %d-%d/%d"
	n, _ := fmt.Sscanf(header, form, &r.first, &r.last, &r.total)
	isWhole := n == 3 && header == fmt.Sprintf(form, r.first, r.last, r.total)
	return r, isWhole && 0 <= r.first && r.first <= r.last && r.last < r.total
}
