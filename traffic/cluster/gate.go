package cluster

import (
	"net"
	"slices"
	"sync"
)

// Connections at once: of those that have not shown a certificate yet, and of the other nodes.
const (
	maxStrangers = 64
	maxPeers     = 64
)

// gate bounds connections. Strangers only ever take each other's places: a new one ends the oldest, so that whoever
// opens many keeps no node from connecting.
type gate struct {
	net.Listener

	mu        sync.Mutex
	strangers []*guest // the oldest first
	peers     int
}

// guest is a connection to the gate.
type guest struct {
	net.Conn
	gate *gate
	peer bool // guarded by the gate
	left bool // the same
}

func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	in := &guest{Conn: conn, gate: g}
	g.mu.Lock()
	g.strangers = append(g.strangers, in)
	var out *guest
	if len(g.strangers) > maxStrangers {
		out = g.strangers[0]
	}
	g.mu.Unlock()
	if out != nil {
		_ = out.Close() // nothing was said
	}
	return in, nil
}

// admit takes a connection for a node's, which has shown its certificate; false where there are too many.
func (g *gate) admit(conn net.Conn) bool {
	in, ok := conn.(*guest)
	if !ok {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case in.left:
		return false
	case in.peer:
		return true
	case g.peers >= maxPeers:
		return false
	}
	g.forget(in)
	in.peer = true
	g.peers++
	return true
}

// forget takes a connection off the list of strangers, with the lock held.
func (g *gate) forget(in *guest) {
	if i := slices.Index(g.strangers, in); i >= 0 {
		g.strangers = slices.Delete(g.strangers, i, i+1)
	}
}

// Close gives the place back.
func (in *guest) Close() error {
	in.gate.mu.Lock()
	if !in.left {
		in.left = true
		if in.peer {
			in.gate.peers--
		}
		in.gate.forget(in)
	}
	in.gate.mu.Unlock()
	return in.Conn.Close()
}
