package rehearsal

import (
	"context"
	"net"
	"sync"
)

// Local is a net.Listener for connections within this process: no other process can connect, and no
// byte passes through the network. The zero value is not usable; begin with Listen.
type Local struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a listener.
func Listen() *Local { return &Local{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Dial connects to the listener, whatever the address.
//
// Errors: net.ErrClosed; that of ctx.
func (l *Local) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *Local) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Local) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Local) Addr() net.Addr { return localAddr{} }

type localAddr struct{}

func (localAddr) Network() string { return "local" }

func (localAddr) String() string { return "local" }
