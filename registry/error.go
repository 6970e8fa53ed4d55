package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"relocate/internal/digest"
	"relocate/internal/text"
)

// maxErrorBody is the most that is read of the body of a refusal, in bytes: enough for a list of
// blobs.
const maxErrorBody = 64 << 10

// ErrTLSRefused says that a registry ended the TLS handshake, as when it requires a client
// certificate.
var ErrTLSRefused = errors.New("the registry refused the TLS connection")

// isTLSRefused matches a TLS alert of the other side.
func isTLSRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// Error is a response whose status is an error. errors.Is finds its meaning, from the text and the
// status: ErrNoSpace, ErrReadOnly, ErrPolicy, ErrPath, fs.ErrNotExist (404), fs.ErrPermission (401,
// 403), fs.ErrExist (a tag that cannot be moved), or digest.ErrMismatch (an upload that arrived
// damaged).
type Error struct {
	Method  string
	URL     string // without its query, which may hold a signature
	Status  int
	Code    string // such as MANIFEST_UNKNOWN (distribution-spec 1.1, error codes); empty if the body has none
	Message string // of all errors in the body, on one line

	retryAfter   time.Duration
	blobs        []v1.Hash
	blobsMissing bool
	reason       error // the meaning of the text, whatever the status; nil: unknown
	final        bool  // the registry refuses the manifest for good, although its status is a server error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += fmt.Sprintf(" (%s)", e.Message)
	}
	return s
}

// Is reports whether target is the meaning of e.
func (e *Error) Is(target error) bool {
	if e.reason != nil && target == e.reason {
		return true
	}
	switch {
	case e.isDamage():
		return target == digest.ErrMismatch
	case e.reason != nil && e.reason != ErrPath: // with ErrPath the status counts, too: a search continues in the next place
		return false
	case e.Status == http.StatusNotFound:
		return target == fs.ErrNotExist
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

// MissingBlobs reports whether a registry refused a manifest because blobs are missing
// (MANIFEST_BLOB_UNKNOWN), and returns the ones that the answer names.
func (e *Error) MissingBlobs() (named []v1.Hash, missing bool) { return e.blobs, e.blobsMissing }

// Refused reports whether the registry refuses this one request. A missing login, and a registry
// that is full, too busy or unreachable, are about all requests.
func (e *Error) Refused() bool {
	switch e.reason {
	case ErrNoSpace, ErrReadOnly:
		return false
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return e.Status >= 400 && !e.isDamage()
}

// isDamage reports whether a blob arrived at the registry with another digest than its own.
func (e *Error) isDamage() bool {
	return e.Method == http.MethodPut && e.Code == "DIGEST_INVALID" && !strings.Contains(e.URL, "/manifests/")
}

// statusOf returns an Error without the body of the response.
func statusOf(res *http.Response) *Error {
	return &Error{
		Method: res.Request.Method, URL: plainURL(res.Request.URL), Status: res.StatusCode,
		retryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
}

// newError returns the Error of a response, whose body it reads and closes.
func newError(res *http.Response) *Error {
	defer drain(res)
	e := statusOf(res)
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	text := string(body)
	if err == nil {
		var doc errorDocument
		if json.Unmarshal(body, &doc) == nil && len(doc.Errors) > 0 {
			text = e.read(doc)
		} else {
			e.Message = oneLine(text)
		}
	}
	e.reason = e.meaning(text)
	return e
}

// errorDocument is the body of a refusal (distribution-spec 1.1, error codes).
type errorDocument struct {
	Errors []errorEntry `json:"errors"`
}

type errorEntry struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Detail  json.RawMessage `json:"detail"`
}

// text returns the message, and the detail where it adds something.
func (e errorEntry) text() string {
	detail := strings.Trim(string(e.Detail), `"`)
	if slices.Contains([]string{"", "null", "{}", "[]"}, detail) || strings.Contains(e.Message, detail) {
		detail = ""
	}
	return strings.Trim(e.Message+": "+detail, ": ")
}

// blobUnknown are the codes for a manifest whose blobs are missing. The second is Gitea's.
var blobUnknown = []string{"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}

// mostErrors is how many errors of one answer a message has.
const mostErrors = 3

// read fills e from a document, and returns all of the document's text.
func (e *Error) read(doc errorDocument) string {
	var shown, all []string
	for i, one := range doc.Errors {
		all = append(all, one.Code, one.Message, string(one.Detail))
		if slices.Contains(blobUnknown, one.Code) && e.Method == http.MethodPut {
			e.blobsMissing = true
			if d, ok := digestIn(one.Detail); ok {
				e.blobs = append(e.blobs, d)
			}
		}
		e.final = e.final || e.Method == http.MethodPut && strings.HasPrefix(one.Code, "MANIFEST_")
		text := one.text()
		if i > 0 {
			text = strings.TrimSpace(one.Code + " " + text)
		}
		if text = oneLine(text); text != "" && !slices.Contains(shown, text) {
			shown = append(shown, text)
		}
	}
	e.Code = oneLine(doc.Errors[0].Code)
	if more := len(shown) - mostErrors; more > 0 {
		shown = append(shown[:mostErrors], fmt.Sprintf("and %d more", more))
	}
	e.Message = strings.Join(shown, "; ")
	return strings.Join(all, "\n")
}

// digestIn returns the digest in an error's detail. The distribution project's registry writes the
// digest alone, others an object with it.
func digestIn(detail json.RawMessage) (v1.Hash, bool) {
	var d v1.Hash
	if json.Unmarshal(detail, &d) == nil {
		return d, d.Hex != ""
	}
	var object struct{ Digest v1.Hash }
	err := json.Unmarshal(detail, &object)
	return object.Digest, err == nil && object.Digest.Hex != ""
}

// oneLine makes one line of at most 200 characters of what a registry sent.
func oneLine(s string) string { return text.Clip(text.Line(s), 200) }

func plainURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// explain turns an error of net/http or of go-containerregistry's transport into one without a
// query in its URL; a status becomes an *Error.
func explain(err error) error {
	var mine *Error
	if errors.As(err, &mine) {
		var u *url.Error
		if errors.As(err, &u) && errors.As(u.Err, &mine) {
			return u.Err
		}
		return mine // two schemes were tried, and this one answered
	}
	var status *transport.Error
	if errors.As(err, &status) {
		e := &Error{Status: status.StatusCode, Method: http.MethodGet}
		if status.Request != nil {
			e.Method, e.URL = status.Request.Method, plainURL(status.Request.URL)
		}
		if len(status.Errors) > 0 {
			e.Code, e.Message = oneLine(string(status.Errors[0].Code)), oneLine(status.Errors[0].Message)
		}
		return e
	}
	var u *url.Error
	if errors.As(err, &u) {
		if parsed, parseErr := url.Parse(u.URL); parseErr == nil {
			return fmt.Errorf("%s %s: %w", strings.ToUpper(u.Op), plainURL(parsed), u.Err)
		}
		return u.Err
	}
	return err
}
