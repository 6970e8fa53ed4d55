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

// maxRetryAfter is the longest wait. A registry that asks for more is given up.
const maxRetryAfter = 5 * time.Minute

// Multiples of the first wait: the most that it grows to, and how long a host that answered before
// may refuse everything, or be away, before it is given up. With the default wait that is 15
// seconds and two minutes: a registry that restarts takes less.
const (
	longestWaits = 30
	outageWaits  = 240
)

// retries decides whether and when a request is sent again. All requests of a client share it.
type retries struct {
	tries  int
	wait   time.Duration                              // the most before the second try
	sleep  func(context.Context, time.Duration) error // returns ctx's error when it ends first
	now    func() time.Time
	budget budget
}

// attempt is something that is tried until it succeeds. A failed try counts if the host answers
// other requests of the kind meanwhile, has never answered any, or fails in a way that is about
// this request. A host that refuses everything, or is away, has until the end of an outage, which
// is the same for all attempts.
type attempt struct {
	host    string
	gate    *gate
	tries   int // failed ones
	counted int // failed ones that count
	taken   int // from the budget
	good    int // the host's successful answers at the last failure
}

// again waits before a failed request is sent once more. If it is not worth another try, again
// returns cause, with the number of tries. A host that refuses all requests is waited for before
// the next request to it, whichever that is.
func (r *retries) again(ctx context.Context, a *attempt, cause error) error {
	a.tries++
	if ctx.Err() != nil || r.tries == 1 || !isTemporary(cause) {
		return afterTries(a.tries, cause)
	}
	after := askedWait(cause)
	if after > maxRetryAfter {
		return afterTries(a.tries, fmt.Errorf("%w; it asks to wait %v, more than the limit of %v", cause, after.Round(time.Second), maxRetryAfter))
	}
	now := a.gate.condition()
	away := now.known && isOutage(cause)
	if err := r.count(a, cause, now, away); err != nil {
		return err
	}
	a.good = now.answers(cause)
	if away && pauses(cause) {
		return nil
	}
	wait := max(r.backOff(a.tries), after)
	observerIn(ctx).retrying(a.host, cause, wait)
	return r.sleep(ctx, wait)
}

// count counts a failed try against its attempt and the budget, but not in an outage in which the host
// answers nothing else either. It returns an error when the request is not sent again.
func (r *retries) count(a *attempt, cause error, now condition, away bool) error {
	switch {
	case away && r.isOver(now):
		return fmt.Errorf("%w (no successful answer for %v)", cause, now.waited.Round(time.Second))
	case away && a.tries > 1 && now.answers(cause) == a.good:
		return nil
	}
	a.counted++
	switch {
	case a.counted >= r.tries:
		return afterTries(a.tries, cause)
	case isTooMany(cause): // it needs time, and costs the host nothing
		return nil
	case !r.budget.take():
		return afterTries(a.tries, fmt.Errorf("%w; not retried: too many requests of this run failed", cause))
	}
	a.taken++
	return nil
}

// progress resets the count of tries, after enough of the content was transferred.
func (r *retries) progress(a *attempt) {
	for range a.taken {
		r.budget.giveBack()
	}
	*a = attempt{host: a.host, gate: a.gate}
}

// answers returns the number of successful answers that speak against an outage. A host may refuse
// one kind of request and answer another; if the connection broke, any answer shows that the host
// is not away.
func (c condition) answers(cause error) int {
	var answer *Error
	if errors.As(cause, &answer) {
		return c.good
	}
	return c.any
}

// isOver reports whether a host was waited for as long as an outage may last. The time of the
// requests themselves does not count: on a slow machine or line it says nothing about the host.
func (r *retries) isOver(c condition) bool {
	return c.refused >= r.tries && c.waited >= outageWaits*min(r.wait, maxRetryAfter)
}

// backOff returns the wait after a number of failed tries: a random time between half of the limit
// and the limit.
func (r *retries) backOff(failed int) time.Duration {
	first := min(r.wait, maxRetryAfter)
	limit := min(first<<min(failed-1, 10), longestWaits*first, maxRetryAfter)
	return limit/2 + rand.N(limit/2+1)
}

// refused notes that a host did not answer a request, or cannot now. After a 429 or a 503, or if
// the host cannot be reached, all requests to it wait; those of one wave wait once.
func (r *retries) refused(ctx context.Context, name string, g *gate, wave int, cause error) {
	if !isTemporary(cause) || !isOutage(cause) {
		return
	}
	wait := askedWait(cause)
	waves := g.refusedIn(wave, isOverloaded(cause))
	if waves > 0 {
		wait = max(wait, r.backOff(waves))
		g.addWait(wait)
	}
	c := g.condition()
	if r.tries == 1 || !c.known || !pauses(cause) || wait > maxRetryAfter || r.isOver(c) {
		return
	}
	g.host.pause(r.now().Add(wait))
	if waves > 0 {
		observerIn(ctx).retrying(name, cause, wait)
	}
}

// pause waits until requests may be sent to a host.
func (r *retries) pause(ctx context.Context, g *gate) error {
	var spent time.Time
	for {
		until := g.condition().until
		wait := until.Sub(r.now())
		if wait <= 0 || until.Equal(spent) {
			return nil
		}
		if err := r.sleep(ctx, wait); err != nil {
			return err
		}
		spent = until
	}
}

// askedWait is the Retry-After of an answer (RFC 9110, 10.2.3); 0 without one.
func askedWait(cause error) time.Duration {
	var answer *Error
	if errors.As(cause, &answer) {
		return answer.retryAfter
	}
	return 0
}

// isOutage reports whether an error may concern the whole host, and not this request alone.
func isOutage(cause error) bool {
	var answer *Error
	if !errors.As(cause, &answer) {
		return true // no answer
	}
	switch answer.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pauses reports whether no request to the host can succeed now.
func pauses(cause error) bool {
	var op *net.OpError
	return isOverloaded(cause) || errors.As(cause, &op) && op.Op == "dial"
}

// isOverloaded reports whether a host answers that it gets too many requests.
func isOverloaded(cause error) bool {
	var answer *Error
	return errors.As(cause, &answer) && (answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable)
}

func isTooMany(cause error) bool {
	var answer *Error
	return errors.As(cause, &answer) && answer.Status == http.StatusTooManyRequests
}

func afterTries(try int, err error) error {
	if try == 1 {
		return err
	}
	return fmt.Errorf("%w (%d tries)", err, try)
}

// budget bounds the retries of a run: a reserve, and one for every second request that was
// answered. A registry that fails every third request is usable; one that is down gets few more
// requests than there are, however many are tried.
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

// giveBack undoes take.
func (b *budget) giveBack() { b.taken.Add(-1) }

// refusal is our own error about an answer or a request of a registry. It is final.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// isTemporary reports whether an error of a request may go away. Callers check for an ended context
// first: errors.Is takes net's own timeouts for context.DeadlineExceeded.
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
		return isTemporaryStatus(answer.Status) && answer.reason == nil && !answer.final
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
