package drill

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// fake is a system of two regions in memory, whose lies are chosen by the test: a drill must find each.
type fake struct {
	t    *testing.T
	port string

	mu      sync.Mutex
	orders  map[proa.Region]map[string]bool
	dead    map[proa.Region]bool
	cut     bool
	since   time.Time // of the plan
	judged  time.Time
	active  proa.Region
	journal []Conflict
	patched map[string]proa.Region
	struck  []string // regions and nodes

	forgets, hidesUnreplicated, hidesConflicts, differs, stays, lingers, mute bool
}

var fakeAddresses = map[proa.Region]string{proa.AWS: "127.0.64.1", proa.Azure: "127.0.64.2"}

func newFake(t *testing.T) (*fake, Config) {
	t.Helper()
	f := &fake{
		t: t, orders: map[proa.Region]map[string]bool{proa.AWS: {}, proa.Azure: {}}, dead: map[proa.Region]bool{},
		active: proa.AWS, patched: map[string]proa.Region{},
	}
	ln, err := net.Listen("tcp", "127.0.64.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, f.port, _ = net.SplitHostPort(ln.Addr().String())
	other, err := net.Listen("tcp", net.JoinHostPort("127.0.64.2", f.port))
	if err != nil {
		t.Fatal(err)
	}
	for r, l := range map[proa.Region]net.Listener{proa.AWS: ln, proa.Azure: other} {
		s := &http.Server{Handler: f.handler(r), ReadHeaderTimeout: time.Second}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { s.Close() })
	}
	packet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packet, Handler: dns.HandlerFunc(f.answer)}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return f, Config{
		System: f, DNS: []string{"127.0.0.1:1", packet.LocalAddr().String()}, Nodes: 3, Zone: "app.test", Port: f.port, Gateways: fakeAddresses, Preferred: proa.AWS,
		Objectives: Objectives{RTOMS: 5000, RPOMS: 5000, ConvergeMS: 5000, SLO: 0.999}, Seed: 1, Repeat: 1, Limit: 3 * time.Second,
	}
}

func (f *fake) answer(w dns.ResponseWriter, q *dns.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0}, A: net.ParseIP(fakeAddresses[f.active]),
	}}
	_ = w.WriteMsg(m)
}

func (f *fake) handler(r proa.Region) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.dead[r] {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("X-Served-By", string(r))
		id := strings.TrimPrefix(req.URL.Path, "/orders/")
		switch req.Method {
		case http.MethodPost:
			var o struct{ ID string }
			_ = json.NewDecoder(req.Body).Decode(&o)
			f.orders[r][o.ID] = true
			if !f.cut && !f.dead[r.Other()] {
				f.orders[r.Other()][o.ID] = true
			}
			w.WriteHeader(http.StatusCreated)
		case http.MethodPatch:
			if first, ok := f.patched[id]; ok && first != r && f.cut {
				f.journal = append(f.journal, Conflict{ID: uint64(len(f.journal) + 1), Key: id, Winner: r, Loser: first})
			}
			f.patched[id] = r
		default:
			if !f.orders[r][id] {
				w.WriteHeader(http.StatusNotFound)
			}
		}
	})
}

func (f *fake) Make(_ context.Context, fault Fault, r proa.Region) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.struck = append(f.struck, string(r))
	switch {
	case fault.Partition != nil:
		f.cut = true
	case r == "node-2":
	case fault.Kill != "":
		f.dead[r] = true
		if r == proa.AWS && !f.stays {
			time.AfterFunc(100*time.Millisecond, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.active, f.judged, f.since = proa.Azure, time.Now().Add(-20*time.Millisecond), time.Now()
			})
		}
	default:
		return errors.New("no such fault here")
	}
	return nil
}

func (f *fake) Node(_ context.Context, role string) (string, error) {
	if role == "owner" {
		return "", errors.New("nobody owns")
	}
	return "node-2", nil
}

func (f *fake) Heal(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = false
	if !f.lingers {
		f.active = proa.AWS
	}
	for _, r := range proa.Regions() {
		f.dead[r] = false
		for id := range f.orders[r] {
			if !f.forgets || f.orders[r.Other()][id] {
				f.orders[r.Other()][id] = true
			}
		}
	}
	return nil
}

func (f *fake) View(context.Context) (View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return View{Plan: proa.Plan{Version: 2, Active: f.active, Since: f.since}, Unhealthy: map[proa.Region]time.Time{proa.AWS: f.judged}}, nil
}

func (f *fake) Backlog(context.Context) *int64 { n := int64(0); return &n }

func (f *fake) Unreplicated(_ context.Context, r proa.Region) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for id := range f.orders[r] {
		if !f.orders[r.Other()][id] && !f.hidesUnreplicated {
			list = append(list, id)
		}
	}
	return list, nil
}

func (f *fake) Conflicts(context.Context, time.Time) ([]Conflict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hidesConflicts {
		return nil, nil
	}
	return append([]Conflict(nil), f.journal...), nil
}

func (f *fake) Verify(context.Context) (keys, differences, inFlight int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mute && len(f.patched) > 0 {
		return 0, 0, 0, errors.New("cannot compare")
	}
	if f.differs && len(f.patched) > 0 {
		return 10, 3, 0, nil
	}
	return 10, 0, 0, nil
}
