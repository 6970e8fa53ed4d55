package registry

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
)

// ErrNotRegistry says that something else answers at the address of a registry: a web server, or
// the login page of a proxy.
var ErrNotRegistry = errors.New("this is not a registry")

// sendsHTML reports whether the Content-Type of an answer is HTML.
func sendsHTML(res *http.Response) bool {
	mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return mediaType == "text/html"
}

// looksLikeHTML reports whether a body is markup, whatever its header says. No JSON begins with <.
func looksLikeHTML(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("<"))
}

// pinging is a RoundTripper for /v2/. A server without that path is not a registry
// (distribution-spec 1.1, determining support).
type pinging struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p pinging) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := p.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode == http.StatusProxyAuthRequired:
		return nil, refusal{fmt.Errorf("%w requires a login: %w", ErrProxy, newError(res))}
	case res.StatusCode == http.StatusNotFound,
		sendsHTML(res) && res.StatusCode > http.StatusBadRequest && !isPermission(res.StatusCode):
		return nil, refusal{fmt.Errorf("%w: %v", ErrNotRegistry, newError(res))}
	}
	return res, nil
}

func isPermission(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}
