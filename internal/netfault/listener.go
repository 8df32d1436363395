package netfault

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// recheck is how often a connection that is held asks whether it still is.
const recheck = 10 * time.Millisecond

// WrapListener gives a server's connections the conditions that the function returns when it is asked, which is at each
// read and write: the server sits behind a bad network without a hop more. Only the handshake cannot be held: the kernel
// completes it, so that a client of a cut server connects and then hears nothing.
func WrapListener(ln net.Listener, conditions func() Conditions) net.Listener {
	return &listener{Listener: ln, conditions: conditions}
}

type listener struct {
	net.Listener
	conditions func() Conditions
}

// Accept returns a connection under the listener's conditions.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &faulty{Conn: c, conditions: l.conditions, ctx: ctx, cancel: cancel}
	f.turn.Store(true)
	return f, nil
}

// faulty is a connection of a server behind a bad network. Its client is the far end.
type faulty struct {
	net.Conn
	conditions func() Conditions
	ctx        context.Context
	cancel     context.CancelFunc
	turn       atomic.Bool // the next bytes that are read begin a request
}

// Read returns what the client sent, late, or never while what goes to the server is cut.
func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	c := f.conditions()
	if f.turn.Swap(false) {
		if c.resets() {
			reset(f.Conn)
			return 0, net.ErrClosed
		}
		if !sleep(f.ctx, c.delay()) {
			return 0, net.ErrClosed
		}
	}
	if !f.held(toOpen) || !sleep(f.ctx, c.pace(n)) {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write sends to the client, slowly, or not before what comes from the server may pass.
func (f *faulty) Write(b []byte) (int, error) {
	f.turn.Store(true)
	if !f.held(fromOpen) || !sleep(f.ctx, f.conditions().pace(len(b))) {
		return 0, net.ErrClosed
	}
	return f.Conn.Write(b)
}

// held waits while the direction is cut; it reports false when the connection was closed meanwhile.
func (f *faulty) held(open func(Conditions) bool) bool {
	for !open(f.conditions()) {
		if !sleep(f.ctx, recheck) {
			return false
		}
	}
	return true
}

// Close ends the connection and whatever waits on it.
func (f *faulty) Close() error {
	f.cancel()
	return f.Conn.Close()
}
