package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// The transport's times and bounds.
const (
	beatEvery    = 200 * time.Millisecond
	dialTimeout  = time.Second
	writeTimeout = 2 * time.Second
	minRedial    = 50 * time.Millisecond
	maxRedial    = time.Second
	maxConnAge   = time.Hour       // then certificates are looked at again
	maxQueue     = 256             // frames that wait for one peer
	maxSilence   = 3 * time.Second // then a connection is given up: the kernel would go on trying
)

// peer carries this node's frames to one other node, on a connection of its own. What does not fit
// into its queue is dropped: raft sends again, and each beat replaces the last one.
type peer struct {
	name, address string
	creds         *credentials
	logger        *slog.Logger
	queue         chan frame
	nudge         chan struct{} // a beat is due at once
	beat          func() []byte
	refused       func(name string)               // nobody listens there: the process is gone
	heard         func(name string) time.Duration // since the peer's last beat

	mu      sync.Mutex
	trouble string // why there is no connection, "" while there is one
}

type frame struct {
	kind byte
	body []byte
}

func newPeer(n Node, creds *credentials, logger *slog.Logger) *peer {
	return &peer{
		name: n.Name, address: n.Address, creds: creds, logger: logger.With("peer", n.Name),
		queue: make(chan frame, maxQueue), nudge: make(chan struct{}, 1), trouble: "not connected yet",
	}
}

// send queues a frame and reports whether there was room.
func (p *peer) send(kind byte, body []byte) bool {
	select {
	case p.queue <- frame{kind, body}:
		return true
	default:
		return false
	}
}

func (p *peer) hurry() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

func (p *peer) problem() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

// note keeps why there is no connection, and logs what is new.
func (p *peer) note(trouble string) {
	p.mu.Lock()
	changed := p.trouble != trouble
	p.trouble = trouble
	p.mu.Unlock()
	switch {
	case !changed:
	case trouble == "":
		p.logger.Info("node connected")
	default:
		p.logger.Warn("node not connected", "why", trouble)
	}
}

// run keeps a connection to the peer until ctx ends.
func (p *peer) run(ctx context.Context) error {
	wait := minRedial
	for ctx.Err() == nil {
		conn, err := p.dial(ctx, protocol)
		if err == nil {
			began := time.Now()
			p.note("")
			err = p.stream(ctx, conn)
			conn.Close()
			if time.Since(began) > maxRedial {
				wait = minRedial
			}
			if err == nil || errors.Is(err, io.EOF) {
				err = errors.New("the connection ended")
			}
		} else if gone(err) {
			p.refused(p.name)
		}
		if ctx.Err() == nil {
			p.note(plainError(err))
		}
		p.drop()
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		}
		wait = min(2*wait, maxRedial)
	}
	return nil
}

// gone reports whether the peer's process has ended: its port refuses, or something before it (a proxy,
// a load balancer) hangs up at once.
func gone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF)
}

// drop forgets what waited for a connection that is gone: it is old news by the next one.
func (p *peer) drop() {
	for {
		select {
		case <-p.queue:
		default:
			return
		}
	}
}

func (p *peer) dial(ctx context.Context, proto string) (net.Conn, error) {
	cfg, err := p.creds.client(p.name, proto)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{KeepAlive: 5 * time.Second}, Config: cfg}
	return d.DialContext(ctx, "tcp", p.address)
}

// stream sends frames until the connection breaks or grows old.
func (p *peer) stream(ctx context.Context, conn net.Conn) error {
	ended, began := make(chan error, 1), time.Now()
	go func() { // the peer says nothing here: this returns when the connection breaks
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	}()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	ticker, old := time.NewTicker(beatEvery), time.NewTimer(maxConnAge)
	defer ticker.Stop()
	defer old.Stop()
	err := p.write(conn, frame{frameBeat, p.beat()})
	for err == nil {
		select {
		case err = <-ended:
			if err == nil {
				err = errors.New("the peer speaks where it should listen")
			}
		case <-old.C:
			return nil
		case f := <-p.queue:
			err = p.write(conn, f)
		case <-p.nudge:
			err = p.write(conn, frame{frameBeat, p.beat()})
		case <-ticker.C:
			if silent := min(p.heard(p.name), time.Since(began)); silent > maxSilence {
				return fmt.Errorf("nothing heard for %s", silent.Round(100*time.Millisecond))
			}
			err = p.write(conn, frame{frameBeat, p.beat()})
		}
	}
	return err
}

func (p *peer) write(conn net.Conn, f frame) error {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return writeFrame(conn, f.kind, f.body)
}
