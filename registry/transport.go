package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Retries: how often a request is sent, and how long is waited in between.
const (
	maxTries      = 5
	firstWait     = 500 * time.Millisecond // doubled each time; the wait is drawn between 0 and it
	maxWait       = 30 * time.Second
	maxRetryAfter = 5 * time.Minute // a registry that wants more is given up
)

// transportRules is the RoundTripper below all others: it refuses plain HTTP where it was not asked
// for, sends bodies anew, and retries.
type transportRules struct {
	inner     http.RoundTripper
	insecure  bool
	userAgent string
}

// onceKey marks the context of a request whose repetition is its sender's affair.
type onceKey struct{}

func once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// ErrPlainHTTP says that a host would be spoken to without encryption.
var ErrPlainHTTP = errors.New("plain HTTP is not allowed")

// RoundTrip implements http.RoundTripper. A status that was retried in vain is returned as an *Error.
func (t *transportRules) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !t.insecure && !isLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, ErrPlainHTTP)
	}
	ctx := req.Context()
	for try := 1; ; try++ {
		r := req.Clone(ctx)
		if t.userAgent != "" {
			r.Header.Set("User-Agent", t.userAgent)
		}
		if req.GetBody != nil { // a token may have been refused after the body was read
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			r.Body = body
		}
		res, err := t.inner.RoundTrip(r)
		wait, again := retry(try, res, err)
		if !again || ctx.Value(onceKey{}) != nil || (req.Body != nil && req.GetBody == nil) {
			return res, err
		}
		if try == maxTries || wait > maxRetryAfter {
			if err == nil {
				defer drain(res)
				err = newError(res, try)
			}
			return nil, fmt.Errorf("%w (%d tries)", err, try)
		}
		if err == nil {
			drain(res)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// retry reports whether a request that was sent for the try-th time is worth another one, and
// after what wait. Retry-After is a floor (RFC 9110 §10.2.3).
func retry(try int, res *http.Response, err error) (time.Duration, bool) {
	wait := time.Duration(rand.Int64N(int64(min(firstWait<<(try-1), maxWait))))
	if err != nil {
		return wait, isTemporary(err)
	}
	switch res.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return max(wait, retryAfter(res.Header.Get("Retry-After"), time.Now())), true
	}
	return 0, false
}

// retryAfter reads a Retry-After header: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// isTemporary reports whether a connection's error may go away.
func isTemporary(err error) bool {
	var dns *net.DNSError
	var tlsErr tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &dns) && dns.IsNotFound:
		return false
	case errors.As(err, &tlsErr), errors.As(err, &certificate), errors.As(err, &unknown):
		return false
	case err.Error() == "http: server gave HTTP response to HTTPS client": // has no type
		return false
	}
	return true
}

// sleep waits, or returns ctx's error when it ends first.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
