package registry

import (
	"context"
	"net/http"
	"net/url"
)

// mostUncounted is how many requests at once find a connection that is open.
const mostUncounted = 16

// Transport returns what sends requests to a server of files at u, by the rules for registries: plain HTTP,
// certificates, proxies, time limits, retries of temporary failures, and waits after a 429 or 503. Redirects
// lead to the same host and port, or to opt.RedirectHosts. It adds no login, and does not count requests: a
// caller may hold many bodies. It uses no fields of opt about logins, and in place of opt.Named the host of u.
//
// Errors: as New. A request's are *Error for a temporary status that every try got; ErrRedirected, ErrPlainHTTP,
// ErrProxy, ErrTLSRefused.
func Transport(opt Options, u *url.URL) (http.RoundTripper, error) {
	opt.Named, opt.MostJobs = []string{u.Host}, max(opt.MostJobs, mostUncounted) // so many connections are kept
	t, err := newTransport(opt.complete())
	if err != nil {
		return nil, err
	}
	return uncounted{oneHost{t, u, t.redirects}}, nil
}

// uncounted is a RoundTripper whose requests take no slot of their host.
type uncounted struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (u uncounted) RoundTrip(req *http.Request) (*http.Response, error) {
	return u.RoundTripper.RoundTrip(req.WithContext(context.WithValue(req.Context(), heldKey{}, true)))
}
