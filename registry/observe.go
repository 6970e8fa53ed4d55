package registry

import (
	"context"
	"time"
)

// Observer sees what requests do. Its functions may be nil, and must be safe for concurrent use.
type Observer struct {
	Moved    func()                                             // an answer began, or bytes of it came
	Retrying func(host string, cause error, wait time.Duration) // a wait begins, before a request is sent to the host again
}

type observerKey struct{}

// Observe returns a context whose requests o sees, as net/http/httptrace does it.
func Observe(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
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
