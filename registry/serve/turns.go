package serve

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxWaiting is how many logins wait for their turn; with one more, the least promising is turned away.
const maxWaiting = 256

// Wrong logins are answered late: one by one, so that those who try again and again leave at least half of
// the time to others, and never at once.
const (
	minHold = time.Second
	maxHold = time.Minute
)

// turns lets few logins be compared at a time. Who has failed less goes first. Of those with as many
// failures it is the newest, which all who try again and again would keep waiting, and at times the oldest,
// so that nobody waits for ever.
type turns struct {
	mu       sync.Mutex
	free     int
	given    int
	waiting  []*waiter // the oldest first
	held     int       // wrong logins whose answer waits, at most maxWaiting
	answered time.Time // until when these are spaced out
}

// oldestEach is how often the oldest goes before the newest: each so many turns.
const oldestEach = 4

// waiter is a login that waits.
type waiter struct {
	login  login
	failed func() record // by now
	turn   chan outcome
}

// record is how often a client was wrong of late: its connection, its address, and its name from there.
type record [3]int32

// outcome ends a wait.
type outcome int

const (
	compare outcome = iota // it is its turn
	settled                // another request has found out about the same login
	crowded                // too many wait
	gone                   // the client is
)

// take waits for a turn to compare; after compare, the caller must give it back.
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
	case o := <-w.turn: // it came at the same time
		if o == compare {
			t.give(login{})
		}
	default:
	}
	return gone
}

// give gives a turn back. Those that wait with the login that was compared need none.
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

// next returns the index of who is next.
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

// worst returns the index of the one that failed the most; of several, the oldest.
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

// hold delays the answer to a wrong login that came at start and took so long to compare. Without others,
// any such answer takes the same time: how long the comparison took would tell which names there are.
func (t *turns) hold(ctx context.Context, start time.Time, took time.Duration) {
	t.mu.Lock()
	if t.held >= maxWaiting { // connections are few, too
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
