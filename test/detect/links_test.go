//go:build linux

package detect

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// links carry what nodes say to each other; each direction between two nodes can be cut.
type links struct {
	t     testing.TB
	gates map[[2]string]*passage // from, to
}

// passage lets bytes of one direction through, or keeps them back as a dead link does.
type passage struct {
	mu   sync.Mutex
	open chan struct{} // closed while bytes pass
}

func newPassage() *passage {
	p := &passage{open: make(chan struct{})}
	close(p.open)
	return p
}

func (p *passage) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *passage) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// carry copies until either end is gone.
func (p *passage) carry(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		<-open
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// between gives the address at which one node reaches another through a link.
func (l *links) between(from, to *node) string {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	there, back := l.gate(from.name, to.name), l.gate(to.name, from.name)
	go func() {
		for {
			conn, err := in.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to.peers)
			if err != nil {
				_ = conn.Close()
				continue
			}
			go there.carry(out, conn)
			go back.carry(conn, out)
		}
	}()
	l.t.Cleanup(func() {
		there.heal()
		_ = in.Close()
	})
	return in.Addr().String()
}

func (l *links) gate(from, to string) *passage {
	key := [2]string{from, to}
	if l.gates[key] == nil {
		l.gates[key] = newPassage()
	}
	return l.gates[key]
}

// standing is what must not change while a link is cut.
type standing struct {
	active proa.Region
	owner  string
	epoch  uint64
}

func (w *world) standing() standing {
	w.t.Helper()
	e, err := w.nodes[0].explain()
	if err != nil {
		w.t.Fatal(err)
	}
	return standing{e.Plan.Active, e.Plan.Owner, e.Plan.Epoch}
}

// stands looks for a while whether all nodes go on answering the same.
func (w *world) stands(length time.Duration, what string) {
	w.t.Helper()
	before := w.standing()
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, n := range w.nodes {
			if a := n.answer(); a != answers[before.active] {
				w.t.Errorf("%s: %s answers %q", what, n.name, a)
				return
			}
		}
	}
	after := w.standing()
	if after.active != before.active || after.epoch > before.epoch+1 {
		w.t.Errorf("%s: %+v became %+v", what, before, after)
	}
}

// TestAnyOneLinkMayBreak cuts each link between two nodes, one way and both ways: nobody's answers change, and data sync
// is handed over once at most. While the link between the one that decides and another is cut, a region that dies is left
// by all three.
func TestAnyOneLinkMayBreak(t *testing.T) {
	w := newLinkedWorld(t, 3)
	w.settled()
	for _, pair := range [][2]string{{"node-1", "node-2"}, {"node-2", "node-3"}, {"node-3", "node-1"}} {
		w.links.gate(pair[0], pair[1]).cut()
		w.stands(1600*time.Millisecond, fmt.Sprintf("%s does not reach %s", pair[0], pair[1]))
		w.links.gate(pair[1], pair[0]).cut()
		w.stands(1600*time.Millisecond, fmt.Sprintf("%s and %s do not reach each other", pair[0], pair[1]))
		w.links.gate(pair[0], pair[1]).heal()
		w.links.gate(pair[1], pair[0]).heal()
	}
	active := w.settled()
	for w.leader() == "" {
		time.Sleep(20 * time.Millisecond)
	}
	leader := w.leader()
	other := "node-1"
	if leader == other {
		other = "node-2"
	}
	w.links.gate(leader, other).cut()
	w.links.gate(other, leader).cut()
	w.stands(1600*time.Millisecond, fmt.Sprintf("%s, which decides, and %s do not reach each other", leader, other))
	began := time.Now()
	w.gateways[active].kill()
	took := w.flipped(active.Other()).Sub(began)
	t.Logf("%s decides, its link to %s is cut, the region dies: all three answer with the other after %s", leader, other,
		took.Round(time.Millisecond))
}
