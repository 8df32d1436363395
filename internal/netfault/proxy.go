// Package netfault puts real faults into real connections: a TCP proxy between two processes, and a wrapper of a server's
// listener. Both make connections late, slow, reset or cut, in either direction, also while they are open.
//
// A cut behaves as a lost network does, not as a closed port: bytes that were read before or during the cut are held and
// are delivered when it heals, even when the sender has long given up, so that stale writes land late as they do in life.
// New connections are accepted and stay silent.
package netfault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
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
	rule   *rule
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
		rule:   newRule(),
		slots:  make(chan struct{}, MaxConns),
		conns:  map[net.Conn]struct{}{},
	}, nil
}

// Addr is the address to connect to.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Set puts conditions in force, on connections that are open too.
func (p *Proxy) Set(c Conditions) { p.rule.update(func(now *Conditions) { *now = c }) }

// Conditions are those in force.
func (p *Proxy) Conditions() Conditions {
	c, _ := p.rule.get()
	return c
}

// Cut stops all bytes in both directions; Heal lets them pass again. Both are idempotent and leave other conditions alone.
func (p *Proxy) Cut() { p.rule.update(func(c *Conditions) { c.CutTo, c.CutFrom = true, true }) }

// Heal ends a cut.
func (p *Proxy) Heal() { p.rule.update(func(c *Conditions) { c.CutTo, c.CutFrom = false, false }) }

// IsCut reports whether a cut is in force, in either direction.
func (p *Proxy) IsCut() bool {
	c := p.Conditions()
	return c.CutTo || c.CutFrom
}

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
	if !p.rule.wait(ctx, toOpen) {
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
	wg.Go(func() { p.carry(ctx, lane{to: server, from: client, open: toOpen, late: true}) })
	wg.Go(func() { p.carry(ctx, lane{to: client, from: server, open: fromOpen}) })
	wg.Wait()
}

func toOpen(c Conditions) bool   { return !c.CutTo }
func fromOpen(c Conditions) bool { return !c.CutFrom }

// lane is one direction of one connection.
type lane struct {
	to, from net.Conn
	open     func(Conditions) bool
	late     bool // latency and resets fall on this direction
}

// chunk is what was read at once, and when it may be written.
type chunk struct {
	data []byte
	due  time.Time
	err  error
}

const (
	chunkBytes = 32 << 10
	maxChunks  = 64 // read and not yet written, in one direction of one connection
)

// carry moves bytes one way. What has been read is held while the direction is cut, and is late by the latency: reading
// goes on meanwhile, so that latency does not bound the rate. While the network is in order and nothing is held, bytes pass
// as they are read.
func (p *Proxy) carry(ctx context.Context, l lane) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan chunk, maxChunks)
	var held atomic.Int64 // chunks that are not delivered
	go func() {           // ends with the connection or the context
		defer close(chunks)
		buf := make([]byte, chunkBytes)
		for {
			n, err := l.from.Read(buf)
			c, _ := p.rule.get()
			if err == nil && held.Load() == 0 && l.inOrder(c) {
				if _, err := l.to.Write(buf[:n]); err != nil {
					l.from.Close()
					return
				}
				continue
			}
			held.Add(1)
			k := l.chunk(c, buf[:n], err)
			select {
			case chunks <- k:
			case <-ctx.Done():
				return
			}
			if k.err != nil {
				return
			}
		}
	}()
	for k := range chunks {
		if !p.deliver(ctx, l, k) {
			l.from.Close()
			return
		}
		held.Add(-1)
	}
}

// inOrder reports whether nothing keeps bytes of this direction.
func (l lane) inOrder(c Conditions) bool {
	return l.open(c) && c.BytesPerSecond == 0 && (!l.late || c.Latency == 0 && c.Jitter == 0 && c.ResetRate == 0)
}

// chunk is what a read gave, with what the network does to it.
func (l lane) chunk(c Conditions, data []byte, err error) chunk {
	k := chunk{data: bytes.Clone(data), due: time.Now(), err: err}
	if !l.late {
		return k
	}
	if len(data) > 0 && c.resets() {
		k.err = errReset
	}
	k.due = k.due.Add(c.delay())
	return k
}

var errReset = errors.New("reset by the network")

// deliver writes one chunk when it is due and the direction is open; it reports whether there is more to come.
func (p *Proxy) deliver(ctx context.Context, l lane, k chunk) bool {
	if errors.Is(k.err, errReset) {
		reset(l.from) // first: the end of the other would close it gently
		reset(l.to)
		return false
	}
	if !sleep(ctx, time.Until(k.due)) || !p.rule.wait(ctx, l.open) {
		return false
	}
	if len(k.data) > 0 {
		c, _ := p.rule.get()
		if !sleep(ctx, c.pace(len(k.data))) {
			return false
		}
		if _, err := l.to.Write(k.data); err != nil {
			return false
		}
	}
	if k.err == nil {
		return true
	}
	if tcp, ok := l.to.(*net.TCPConn); ok && errors.Is(k.err, io.EOF) {
		_ = tcp.CloseWrite()
		return true
	}
	l.to.Close()
	return true
}

// reset closes a connection so that its peer sees a reset, not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
