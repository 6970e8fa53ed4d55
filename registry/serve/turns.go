package serve

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxWaiting is how many logins wait for their turn. With one more, the one with the most failures
// is refused.
const maxWaiting = 256

// Answers to wrong logins are delayed: one after the other, so that clients that keep trying leave
// at least half of the time to others, and never at once.
const (
	minHold = time.Second
	maxHold = time.Minute
)

// turns bounds how many logins are compared at once. Those with fewer failures go first. Of those
// with equally many, the newest goes first, which clients that keep trying would otherwise delay,
// and every fourth time the oldest, so that nobody waits for ever.
type turns struct {
	mu       sync.Mutex
	free     int
	given    int
	waiting  []*waiter // the oldest first
	held     int       // answers that are delayed, at most maxWaiting
	answered time.Time // when the last of these is due
}

// oldestEach is the number of turns after which the oldest goes first.
const oldestEach = 4

// waiter is a login that waits.
type waiter struct {
	login  login
	failed func() record // now
	turn   chan outcome
}

// record is how often a client was wrong recently: its connection, its address, and this name from
// its address.
type record [3]int32

// outcome is how a wait ends.
type outcome int

const (
	compare outcome = iota // its turn has come
	settled                // another request compared the same login
	crowded                // too many wait
	gone                   // the client closed the connection
)

// take waits for a turn. After compare, the caller must call give.
func (t *turns) take(ctx context.Context, l login, failed func() record) outcome {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return compare
	}
	w := &waiter{l, failed, make(chan outcome, 1)}
	t.waiting = append(t.waiting, w)
	if len(t.waiting) > maxWaiting {
		t.remove(t.worst(), crowded)
	}
	t.mu.Unlock()
	select {
	case o := <-w.turn:
		return o
	case <-ctx.Done():
	}
	t.mu.Lock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	select {
	case o := <-w.turn: // both happened at once
		if o == compare {
			t.give(login{})
		}
	default:
	}
	return gone
}

// give gives a turn back. Waiting requests with the login that was compared need no turn.
func (t *turns) give(compared login) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.waiting) - 1; i >= 0; i-- {
		if t.waiting[i].login == compared {
			t.remove(i, settled)
		}
	}
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	t.remove(t.next(), compare)
}

// next returns the index of the login that goes next.
func (t *turns) next() (best int) {
	t.given++
	least := t.waiting[0].failed()
	for i, w := range t.waiting {
		f := w.failed()
		if order := slices.Compare(f[:], least[:]); order < 0 || order == 0 && t.given%oldestEach != 0 {
			best, least = i, f
		}
	}
	return best
}

// worst returns the index of the login with the most failures; of several, the oldest.
func (t *turns) worst() (worst int) {
	most := t.waiting[0].failed()
	for i, w := range t.waiting {
		if f := w.failed(); slices.Compare(f[:], most[:]) > 0 {
			worst, most = i, f
		}
	}
	return worst
}

func (t *turns) remove(i int, o outcome) {
	t.waiting[i].turn <- o
	t.waiting = slices.Delete(t.waiting, i, i+1)
}

// hold delays the answer to a wrong login that came at start and took that long to compare. Without
// others waiting, each such answer takes the same time: the time of the comparison would show which
// names exist.
func (t *turns) hold(ctx context.Context, start time.Time, took time.Duration) {
	t.mu.Lock()
	if t.held >= maxWaiting { // the number of connections bounds the rest
		t.mu.Unlock()
		return
	}
	t.held++
	now := time.Now()
	if at := t.answered.Add(2 * took); at.After(now) {
		t.answered = at
	} else {
		t.answered = now
	}
	if latest := now.Add(maxHold); t.answered.After(latest) {
		t.answered = latest
	}
	wait := max(t.answered.Sub(now), start.Add(minHold).Sub(now))
	t.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	t.held--
	t.mu.Unlock()
}
