package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/proa-cloud/proa"
)

// readTimeout ends a connection on which no beat has come.
const readTimeout = 10 * time.Second

// server listens for the other nodes: their frames, and HTTP requests that they pass on.
func (c *Cluster) server() *http.Server {
	var names []string
	for name := range c.peers {
		names = append(names, name)
	}
	s := &http.Server{
		TLSConfig: c.creds.server(names), ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(c.cfg.Logger.Handler(), slog.LevelWarn),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			protocol: func(_ *http.Server, conn *tls.Conn, _ http.Handler) { c.receive(conn, names) },
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, err := peerName(*r.TLS, names)
			if err != nil || c.cfg.Handler == nil {
				http.Error(w, `{"error":"not for you"}`, http.StatusForbidden)
				return
			}
			r.Header.Set(FromHeader, name)
			c.cfg.Handler.ServeHTTP(w, r)
		}),
		ConnState: func(conn net.Conn, state http.ConnState) {
			// A request came, so the certificate is a node's.
			if t, ok := conn.(*tls.Conn); ok && state == http.StateActive && !c.ln.admit(t.NetConn()) {
				_ = conn.Close() // the request fails
			}
		},
	}
	s.TLSConfig.NextProtos = []string{protocol, "http/1.1"}
	return s
}

// FromHeader names the node that passed a request on. The listener sets it, whatever the peer sent.
const FromHeader = "Proa-From-Node"

// receive reads one peer's frames until the connection ends.
func (c *Cluster) receive(conn *tls.Conn, names []string) {
	defer func() { _ = conn.Close() }() // what was read is taken; nothing was written
	name, err := peerName(conn.ConnectionState(), names)
	if err != nil || !c.ln.admit(conn.NetConn()) {
		return
	}
	alive := func() error { return conn.SetReadDeadline(time.Now().Add(readTimeout)) }
	err = c.frames(bufio.NewReaderSize(conn, 32<<10), name, alive)
	if errors.Is(err, proa.ErrInvalid) || errors.Is(err, proa.ErrTooLarge) {
		c.cfg.Logger.Warn("node not understood", "peer", name, "err", err)
	}
}

// frames takes a peer's frames until they end or make no sense; alive is called before each.
func (c *Cluster) frames(in io.Reader, name string, alive func() error) error {
	for first := true; ; {
		if err := alive(); err != nil {
			return err
		}
		kind, body, err := readFrame(in)
		if err != nil {
			return err
		}
		switch kind {
		case frameBeat:
			if err := c.takeBeat(name, body, first); err != nil {
				return err
			}
			first = false
		case frameRaft:
			if err := c.takeRaft(name, body); err != nil {
				return err
			}
		case frameRecheck:
			if r, err := proa.ParseRegion(string(body)); err == nil {
				c.cfg.Recheck(r)
			}
		} // kinds of a newer proa are ignored
	}
}

// takeRaft queues a message for the log. What there is no room for is dropped: raft sends again.
func (c *Cluster) takeRaft(name string, body []byte) error {
	cluster, generation, message, err := splitRaftFrame(body)
	if err != nil {
		return err
	}
	size := int64(len(message))
	if c.queued.Add(size) > maxQueued {
		c.queued.Add(-size)
		return nil
	}
	select {
	case c.inbox <- inbound{name, cluster, generation, message}:
	default:
		c.queued.Add(-size)
	}
	return nil
}

// takeBeat notes a peer's beat, unless it is old news that a healed link delivers late. Times are the
// nodes' monotonic ones: a wrong clock changes nothing. A peer all of whose beats are late has a clock that stood
// still, as in a paused machine: its connection is ended, and the next one is measured anew.
func (c *Cluster) takeBeat(name string, body []byte, first bool) error {
	if len(body) > maxBeat {
		return fmt.Errorf("beat of %d bytes: %w", len(body), proa.ErrTooLarge)
	}
	var b Beat
	if err := json.Unmarshal(body, &b); err != nil {
		return fmt.Errorf("beat: %w: %w", proa.ErrInvalid, err)
	}
	if b.Node != name {
		return fmt.Errorf("it calls itself %q: %w", b.Node, proa.ErrInvalid)
	}
	for i := range b.Verdicts {
		b.Verdicts[i].By = name // nobody votes for another
	}
	now := time.Now()
	offset := now.Sub(c.began) - b.At
	c.mu.Lock()
	h := c.heard[name]
	if first || h.beat.ID != b.ID {
		h.offset, h.at = offset, now
	} else {
		// Clocks drift, and a slewed one does at up to 8 %.
		h.offset = min(offset, h.offset+min(now.Sub(h.came), time.Second)/10)
	}
	h.came = now
	fresh := offset-h.offset < staleBeat
	late := now.Sub(h.at)
	if fresh {
		if h.beat.ID != b.ID || b.At < h.beat.At { // another process: it never said what its predecessor did
			h.knew = 0
		}
		// Whoever does not know what was agreed may take itself for data sync's owner, and is not told to go on.
		if r := c.view.Load().Record; b.Generation == r.Generation && b.Seq >= r.Seq {
			h.knew = b.At
		}
		h.beat, h.at = b, now
	}
	c.heard[name] = h
	c.mu.Unlock()
	if fresh {
		c.cfg.Hear(b)
	} else if late > maxSilence {
		return fmt.Errorf("beats come late for %s", late.Round(100*time.Millisecond))
	}
	return nil
}

// beat renders what this node has to say now.
func (c *Cluster) beat() []byte {
	v := c.view.Load()
	b := Beat{
		Node: c.cfg.Self, ID: v.id, Cluster: v.Record.Cluster, Generation: v.Record.Generation,
		Formed: v.formed, Seq: v.Record.Seq, At: time.Since(c.began),
		Nodes: c.configured(),
	}
	c.mu.Lock()
	b.News, b.Echo, b.Hears = c.news, map[string]time.Duration{}, []string{}
	for name, h := range c.heard {
		if time.Since(h.at) <= lostAfter {
			b.Hears = append(b.Hears, name)
		}
		if h.knew > 0 {
			b.Echo[name] = h.knew
		}
	}
	body, err := json.Marshal(b)
	c.mu.Unlock()
	if err != nil {
		c.cfg.Logger.Error("beat not sent", "err", err)
		return []byte("{}")
	}
	return body
}

// Client reaches a peer's Handler.
func (c *Cluster) Client(name string) (*http.Client, error) {
	p, ok := c.peers[name]
	if !ok {
		return nil, fmt.Errorf("node %q: %w", name, proa.ErrNotFound)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, "http/1.1") }
	return &http.Client{Transport: &http.Transport{DialTLSContext: dial, DisableKeepAlives: true}}, nil
}
