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
	"sync/atomic"
	"time"
)

// Retries, if Options does not say otherwise: how often a request is sent, and the longest wait before
// it is sent again for the first time, which is doubled each time.
const (
	DefaultTries     = 5
	DefaultRetryWait = 500 * time.Millisecond
)

// maxRetryAfter is the longest wait; a registry that wants more is given up.
const maxRetryAfter = 5 * time.Minute

// retries says whether and when something is tried again. It is one for all requests of a client.
type retries struct {
	tries  int
	wait   time.Duration                              // the most before the second try
	sleep  func(context.Context, time.Duration) error // returns ctx's error when it ends first
	budget budget
}

// again waits before what failed for the try-th time is tried once more. When it is not worth that, it
// returns cause, with the count of tries. The wait is drawn between 0 and its limit; a Retry-After is a
// floor (RFC 9110 §10.2.3).
func (r *retries) again(ctx context.Context, try int, cause error) error {
	if ctx.Err() != nil || try >= r.tries || !isTemporary(cause) {
		return afterTries(try, cause)
	}
	wait := time.Duration(rand.Int64N(int64(min(min(r.wait, maxRetryAfter)<<min(try-1, 10), maxRetryAfter))))
	var answer *Error
	if errors.As(cause, &answer) {
		if answer.retryAfter > maxRetryAfter {
			return afterTries(try, fmt.Errorf("%w; it asks to wait %v, and %v is the most", cause, answer.retryAfter.Round(time.Second), maxRetryAfter))
		}
		wait = max(wait, answer.retryAfter)
	}
	if !r.budget.take() {
		return afterTries(try, fmt.Errorf("%w; no more retries: too many requests of this run failed", cause))
	}
	return r.sleep(ctx, wait)
}

func afterTries(try int, err error) error {
	if try == 1 {
		return err
	}
	return fmt.Errorf("%w (%d tries)", err, try)
}

// budget bounds the retries of a run: a reserve, and one for every second request that was answered. A
// registry that fails every third request gets through; one that is dead is asked little more often
// than there are requests, however many go on to try it.
type budget struct {
	reserve  int64
	answered atomic.Int64
	taken    atomic.Int64
}

func (b *budget) take() bool {
	if b.taken.Add(1) <= b.reserve+b.answered.Load()/2 {
		return true
	}
	b.giveBack()
	return false
}

// giveBack undoes a take.
func (b *budget) giveBack() { b.taken.Add(-1) }

// refusal is an error of ours about what a registry wants or says: asking again changes nothing.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// isTemporary reports whether an error of a request may go away. What a context ended is not asked
// here: to errors.Is, net's own timeouts are context.DeadlineExceeded, too.
func isTemporary(err error) bool {
	var (
		answer      *Error
		lost        lostUpload
		refused     refusal
		dns         *net.DNSError
		notTLS      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &lost):
		return true
	case errors.As(err, &answer):
		return isTemporaryStatus(answer.Status) && answer.says == nil && !answer.final
	case errors.As(err, &dns) && dns.IsNotFound, isTLSRefused(err):
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
