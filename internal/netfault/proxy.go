// Package netfault puts real faults into real connections: a TCP proxy between two processes that can be cut.
//
// A cut behaves as a lost network does, not as a closed port: bytes that were read before or during the cut are held and
// are delivered when it heals, even when the sender has long given up, so that stale writes land late as they do in life.
// New connections are accepted and stay silent.
package netfault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// MaxConns is how many connections one proxy carries; further ones are closed at once.
const MaxConns = 1024

const dialTimeout = 2 * time.Second

// Proxy forwards connections from its listener to a target.
type Proxy struct {
	target string
	ln     net.Listener
	logger *slog.Logger
	gate   gate
	slots  chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen binds addr ("127.0.0.1:0" for any port). Run must be called to serve. The logger may not be nil.
func Listen(addr, target string, logger *slog.Logger) (*Proxy, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	return &Proxy{
		target: target,
		ln:     ln,
		logger: logger.With("target", target),
		gate:   gate{opened: closedChan()},
		slots:  make(chan struct{}, MaxConns),
		conns:  map[net.Conn]struct{}{},
	}, nil
}

// Addr is the address to connect to.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Cut stops all bytes in both directions; Heal lets them pass again. Both are idempotent.
func (p *Proxy) Cut() { p.gate.shut() }

// Heal ends a cut.
func (p *Proxy) Heal() { p.gate.open() }

// IsCut reports whether a cut is in force.
func (p *Proxy) IsCut() bool { return p.gate.isShut() }

// Run forwards until the context ends, then closes everything and returns nil.
func (p *Proxy) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, p.closeAll)
	defer stop()
	defer wg.Wait()
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			p.logger.Warn("proxy accept failed", "err", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case p.slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-p.slots }()
			p.forward(ctx, conn)
		})
	}
}

func (p *Proxy) closeAll() {
	p.ln.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// track closes conn with the proxy; it reports whether the proxy still runs.
func (p *Proxy) track(ctx context.Context, conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		conn.Close()
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) untrack(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *Proxy) forward(ctx context.Context, client net.Conn) {
	if !p.track(ctx, client) {
		return
	}
	defer p.untrack(client)
	if !p.gate.wait(ctx) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		return // the client sees its connection close, as it would see a refused one
	}
	if !p.track(ctx, server) {
		return
	}
	defer p.untrack(server)
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(ctx, server, client) })
	wg.Go(func() { p.copy(ctx, client, server) })
	wg.Wait()
}

// copy moves bytes one way, holding what it has read while the gate is shut.
func (p *Proxy) copy(ctx context.Context, to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.gate.wait(ctx) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				_ = tcp.CloseWrite()
			} else {
				to.Close()
			}
			return
		}
	}
}

// gate is open or shut; wait returns when it is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shutLocked()
}

func (g *gate) shutLocked() bool {
	select {
	case <-g.opened:
		return false
	default:
		return true
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shutLocked() {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutLocked() {
		close(g.opened)
	}
}

// wait reports true once the gate is open, false when the context ended first.
func (g *gate) wait(ctx context.Context) bool {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return true
	case <-ctx.Done():
		return false
	}
}
