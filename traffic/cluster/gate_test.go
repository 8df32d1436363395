package cluster

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestStrangersKeepNoNodeOut: whoever opens connections and says nothing used to hold all places for five seconds each.
func TestStrangersKeepNoNodeOut(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: ln}
	defer g.Close()
	dial := func() (client, server net.Conn) {
		t.Helper()
		client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		if server, err = g.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		return client, server
	}
	_, peer := dial()
	for range 2 {
		if !g.admit(peer) {
			t.Fatal("a node was not admitted")
		}
	}
	first, _ := dial()
	for range maxStrangers {
		dial()
	}
	_ = first.SetReadDeadline(time.Now().Add(20 * time.Second)) // a live connection takes one
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the oldest stranger: %v, want that it was hung up on", err)
	}
	_, late := dial()
	if !g.admit(late) || g.peers != 2 || len(g.strangers) != maxStrangers-1 {
		t.Errorf("among strangers: %d nodes, %d strangers", g.peers, len(g.strangers))
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Errorf("a node was hung up on for strangers: %v", err)
	}
	for range 2 {
		_ = late.Close() // twice is once
	}
	if g.admit(late) || g.peers != 1 {
		t.Errorf("%d nodes after one left", g.peers)
	}
}

func TestNodesAreBounded(t *testing.T) {
	t.Parallel()
	g := &gate{peers: maxPeers}
	one, other := net.Pipe()
	defer other.Close()
	in := &guest{Conn: one, gate: g}
	g.strangers = []*guest{in}
	if g.admit(in) || g.admit(one) {
		t.Error("one too many was admitted")
	}
	if err := in.Close(); err != nil || len(g.strangers) != 0 || g.peers != maxPeers {
		t.Errorf("%v: %d strangers, %d nodes", err, len(g.strangers), g.peers)
	}
}
