package registry

import (
	"context"
	"time"
)

// Observer is called when requests make progress or wait. Its functions may be nil, and must be
// safe for concurrent use.
type Observer struct {
	Moved    func()                                             // an answer began, or data of its body came
	Retrying func(host string, cause error, wait time.Duration) // a wait begins, before a request is sent to the host again
}

type observerKey struct{}

// Observe returns a context for requests that o observes, beside who observes those of ctx, in the way of
// net/http/httptrace.
func Observe(ctx context.Context, o Observer) context.Context {
	before := observerIn(ctx)
	return context.WithValue(ctx, observerKey{}, Observer{
		Moved: func() { o.moved(); before.moved() },
		Retrying: func(host string, cause error, wait time.Duration) {
			o.retrying(host, cause, wait)
			before.retrying(host, cause, wait)
		},
	})
}

// ObserveCleaned returns a context whose observers so far get what clean makes of each cause.
func ObserveCleaned(ctx context.Context, clean func(cause error) error) context.Context {
	before := observerIn(ctx)
	return context.WithValue(ctx, observerKey{}, Observer{
		Moved:    before.Moved,
		Retrying: func(host string, cause error, wait time.Duration) { before.retrying(host, clean(cause), wait) },
	})
}

func observerIn(ctx context.Context) Observer {
	o, _ := ctx.Value(observerKey{}).(Observer)
	return o
}

func (o Observer) moved() {
	if o.Moved != nil {
		o.Moved()
	}
}

func (o Observer) retrying(host string, cause error, wait time.Duration) {
	if o.Retrying != nil {
		o.Retrying(host, cause, wait)
	}
}
