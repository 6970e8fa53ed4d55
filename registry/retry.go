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

// maxRetryAfter is the longest wait; a registry that wants more is given up.
const maxRetryAfter = 5 * time.Minute

// As multiples of the first wait: what it grows to, and how long a host that answered before may refuse
// everything, or be away, before it is given up. With the default wait that is 15 seconds and two
// minutes: a registry that restarts takes less.
const (
	longestWaits = 30
	outageWaits  = 240
)

// retries says whether and when something is tried again. It is one for all requests of a client.
type retries struct {
	tries  int
	wait   time.Duration                              // the most before the second try
	sleep  func(context.Context, time.Duration) error // returns ctx's error when it ends first
	now    func() time.Time
	budget budget
}

// attempt is something that is tried until it succeeds. Tries that fail count against it where the host answers
// other requests of the kind meanwhile, has never answered any, or fails in a way that is of this request. A
// host that refuses all, or is away, has until the end of an outage, which is the same for all attempts.
type attempt struct {
	host    string
	gate    *gate
	tries   int // that failed
	counted int // of these, those that count
	taken   int // from the budget
	good    int // the host's good answers when it failed last
}

// again waits before what failed is tried once more. When it is not worth that, it returns cause, with
// the count of tries. Where a host refuses, the wait is all requests' to that host: it is spent before the next.
func (r *retries) again(ctx context.Context, a *attempt, cause error) error {
	a.tries++
	if ctx.Err() != nil || r.tries == 1 || !isTemporary(cause) {
		return afterTries(a.tries, cause)
	}
	after := askedWait(cause)
	if after > maxRetryAfter {
		return afterTries(a.tries, fmt.Errorf("%w; it asks to wait %v, and %v is the most", cause, after.Round(time.Second), maxRetryAfter))
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
		return fmt.Errorf("%w (no good answer for %v)", cause, now.waited.Round(time.Second))
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
		return afterTries(a.tries, fmt.Errorf("%w; no more retries: too many requests of this run failed", cause))
	}
	a.taken++
	return nil
}

// progress notes that there was enough of it to begin counting anew.
func (r *retries) progress(a *attempt) {
	for range a.taken {
		r.budget.giveBack()
	}
	*a = attempt{host: a.host, gate: a.gate}
}

// answers counts the good answers that speak against an outage. A host may refuse one kind of request and
// answer another; where a connection breaks, any answer shows that it is not away.
func (c condition) answers(cause error) int {
	var answer *Error
	if errors.As(cause, &answer) {
		return c.good
	}
	return c.any
}

// isOver reports whether a host was waited for as long as an outage may last. What the requests took does not
// count: on a slow machine, or line, that says nothing of the host.
func (r *retries) isOver(c condition) bool {
	return c.refused >= r.tries && c.waited >= outageWaits*min(r.wait, maxRetryAfter)
}

// backOff returns the wait before the try after that many failed: between half of its limit and all.
func (r *retries) backOff(failed int) time.Duration {
	first := min(r.wait, maxRetryAfter)
	limit := min(first<<min(failed-1, 10), longestWaits*first, maxRetryAfter)
	return limit/2 + rand.N(limit/2+1)
}

// refused notes that a host did not answer a request, or said that it cannot now: with a 429 or 503, or when
// it cannot be reached, all requests to it wait. Those that were under way together do so once.
func (r *retries) refused(ctx context.Context, name string, g *gate, wave int, cause error) {
	if !isTemporary(cause) || !isOutage(cause) {
		return
	}
	wait := askedWait(cause)
	waves := g.turnedAway(wave, isSlower(cause))
	if waves > 0 {
		wait = max(wait, r.backOff(waves))
		g.waits(wait)
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

// askedWait is the Retry-After of an answer (RFC 9110 §10.2.3).
func askedWait(cause error) time.Duration {
	var answer *Error
	if errors.As(cause, &answer) {
		return answer.retryAfter
	}
	return 0
}

// isOutage reports whether an error may be of the host, and not of the request alone.
func isOutage(cause error) bool {
	var answer *Error
	if !errors.As(cause, &answer) {
		return true // there was no answer
	}
	switch answer.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pauses reports whether an error says that no request has a chance now.
func pauses(cause error) bool {
	var op *net.OpError
	return isSlower(cause) || errors.As(cause, &op) && op.Op == "dial"
}

// isSlower reports whether a host says that it is asked too often.
func isSlower(cause error) bool {
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
