package registry

import (
	"context"
	"crypto/tls"
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
	maxRetryAfter = 5 * time.Minute        // a registry that wants more is given up
)

// transportRules is the RoundTripper below all others: it refuses plain HTTP where it was not asked
// for, sends bodies anew, and retries.
type transportRules struct {
	inner     http.RoundTripper
	insecure  bool
	userAgent string
	sleep     func(context.Context, time.Duration) error // returns ctx's error when it ends first
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
		res, err := t.send(req)
		if ctx.Value(onceKey{}) != nil || (req.Body != nil && req.GetBody == nil) {
			return res, err
		}
		if err == nil {
			if !isTemporaryStatus(res.StatusCode) {
				return res, nil
			}
			err = newError(res)
		}
		if err := t.again(ctx, try, err); err != nil {
			return nil, err
		}
	}
}

// send sends the request once.
func (t *transportRules) send(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
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
	return t.inner.RoundTrip(r)
}

// again waits before what failed for the try-th time is tried once more. When it is not worth that, it
// returns cause, with the count of tries. A Retry-After is a floor (RFC 9110 §10.2.3).
func (t *transportRules) again(ctx context.Context, try int, cause error) error {
	if ctx.Err() != nil || try == maxTries || !isTemporary(cause) {
		return afterTries(try, cause)
	}
	wait := time.Duration(rand.Int64N(int64(firstWait << (try - 1))))
	var answer *Error
	if errors.As(cause, &answer) {
		if answer.retryAfter > maxRetryAfter {
			return afterTries(try, fmt.Errorf("%w; it asks to wait %v, and %v is the most", cause, answer.retryAfter.Round(time.Second), maxRetryAfter))
		}
		wait = max(wait, answer.retryAfter)
	}
	return t.sleep(ctx, wait)
}

func afterTries(try int, err error) error {
	if try == 1 {
		return err
	}
	return fmt.Errorf("%w (%d tries)", err, try)
}

// refusal is an error of ours about what a registry wants or says: asking again changes nothing.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// isTemporary reports whether an error of a request may go away. What a context ended is not asked
// here: to errors.Is, net's own timeouts are context.DeadlineExceeded, too.
func isTemporary(err error) bool {
	var (
		answer      *Error
		refused     refusal
		dns         *net.DNSError
		notTLS      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &answer):
		return isTemporaryStatus(answer.Status)
	case errors.As(err, &dns) && dns.IsNotFound:
		return false
	}
	return !errors.As(err, &refused) && !errors.As(err, &notTLS) && !errors.As(err, &certificate) &&
		!errors.Is(err, ErrPlainHTTP) && !errors.Is(err, http.ErrSchemeMismatch)
}

func isTemporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
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
