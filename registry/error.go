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
	"regexp"
	"strings"
	"time"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxErrorBody is how much of an error's body is read: enough for a list of blobs.
const maxErrorBody = 64 << 10

// ErrNoSpace says that a registry has no room, or allows no more: asking again makes none.
var ErrNoSpace = errors.New("the registry is full")

// ErrTLSRefused says that a registry ended TLS because of what we showed it, such as no certificate.
var ErrTLSRefused = errors.New("the registry refuses us in TLS")

// isTLSRefused matches an alert of the other side.
func isTLSRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// Error is a response that says no. It is ErrNoSpace, fs.ErrNotExist (404), fs.ErrPermission (401, 403)
// or fs.ErrExist (409, 412: a tag that may not be moved) where the status means that.
type Error struct {
	Method  string
	URL     string // without its query, which may hold a signature
	Status  int
	Code    string // of the distribution spec, such as MANIFEST_UNKNOWN; empty when the body has none
	Message string

	retryAfter time.Duration
	blobs      []v1.Hash
	full       bool
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

// Is makes errors.Is see the meaning of the status.
func (e *Error) Is(target error) bool {
	switch {
	case e.full:
		return target == ErrNoSpace
	case e.Status == http.StatusNotFound:
		return target == fs.ErrNotExist
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return target == fs.ErrPermission
	case e.Status == http.StatusConflict, e.Status == http.StatusPreconditionFailed:
		return target == fs.ErrExist
	case e.Status == http.StatusBadRequest && e.Code == "TAG_INVALID": // Amazon ECR's word for it
		return target == fs.ErrExist
	}
	return false
}

// MissingBlobs returns the blobs that a registry named when it refused a manifest for them
// (MANIFEST_BLOB_UNKNOWN).
func (e *Error) MissingBlobs() []v1.Hash { return e.blobs }

// newError reads and closes the response.
func newError(res *http.Response) *Error {
	defer drain(res)
	e := &Error{
		Method: res.Request.Method, URL: plainURL(res.Request.URL), Status: res.StatusCode,
		retryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	e.full = saysFull(res.StatusCode, body)
	if err != nil {
		return e // what is known is said
	}
	var doc struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil || len(doc.Errors) == 0 {
		e.Message = shorten(string(body))
		return e
	}
	e.Code, e.Message = shorten(doc.Errors[0].Code), shorten(doc.Errors[0].Message)
	for _, one := range doc.Errors {
		if d, ok := digestIn(one.Detail); ok && one.Code == "MANIFEST_BLOB_UNKNOWN" {
			e.blobs = append(e.blobs, d)
		}
	}
	return e
}

// fullWords are what registries say for want of room: Harbor and others of a quota, the distribution
// project's in the detail of an UNKNOWN (28 is ENOSPC), others in words of their own.
var fullWords = regexp.MustCompile(`(?i)quota|no space|"Err":28\b|disk full|insufficient storage`)

// saysFull reports whether an answer says that a registry has no room. A 429 may speak of a quota, too: of
// requests.
func saysFull(status int, body []byte) bool {
	switch status {
	case http.StatusInsufficientStorage:
		return true
	case http.StatusBadRequest, http.StatusForbidden, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge,
		http.StatusInternalServerError, http.StatusServiceUnavailable:
		return fullWords.Match(body)
	}
	return false
}

// digestIn returns the digest in an error's detail: the distribution project's registry has it there
// alone, others in an object.
func digestIn(detail json.RawMessage) (v1.Hash, bool) {
	var d v1.Hash
	if json.Unmarshal(detail, &d) == nil {
		return d, d.Hex != ""
	}
	var object struct{ Digest v1.Hash }
	err := json.Unmarshal(detail, &object)
	return object.Digest, err == nil && object.Digest.Hex != ""
}

// shorten makes a line of what a registry sent.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // control characters, and those that turn the direction of writing
			return '�'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func plainURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// explain turns an error of net/http or of go-containerregistry's transport into one of ours: without
// a query in its URL, and with the meaning of its status.
func explain(err error) error {
	var mine *Error
	if errors.As(err, &mine) {
		var u *url.Error
		if errors.As(err, &u) && errors.As(u.Err, &mine) {
			return u.Err
		}
		return mine // of two schemes that were tried, the one that answered
	}
	var status *transport.Error
	if errors.As(err, &status) {
		e := &Error{Status: status.StatusCode, Method: http.MethodGet}
		if status.Request != nil {
			e.Method, e.URL = status.Request.Method, plainURL(status.Request.URL)
		}
		if len(status.Errors) > 0 {
			e.Code, e.Message = shorten(string(status.Errors[0].Code)), shorten(status.Errors[0].Message)
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
