package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

var testRegions = map[proa.Region][]netip.Addr{
	proa.AWS:   {netip.MustParseAddr("127.0.64.1")},
	proa.Azure: {netip.MustParseAddr("127.0.64.2")},
}

func demoConfig(t testing.TB) Config {
	t.Helper()
	z, r, err := DemoZone("orders.proa.test", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 2*time.Second, testRegions)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Listen: []string{"127.0.0.1:0"}, Zones: []*Zone{z}, Records: []Record{r}, NSID: "node-1",
		Plan: proa.Plan{Version: 1, Active: proa.AWS, Reason: "first start"}, Logger: slog.New(slog.DiscardHandler),
	}
}

// serve runs a server for the test and returns its address.
func serve(t *testing.T, cfg Config) (*Server, string) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, s.Addrs()[0].String()
}

func TestPlanMovesAddressTextAndSerial(t *testing.T) {
	s, addr := serve(t, demoConfig(t))
	check := func(wantAddr, wantText string, wantSerial uint32) {
		t.Helper()
		addrs, ttl, err := Lookup(t.Context(), addr, "orders.proa.test")
		if err != nil {
			t.Fatal(err)
		}
		if len(addrs) != 1 || addrs[0].String() != wantAddr || ttl != 2*time.Second {
			t.Errorf("addresses %v, TTL %s; want %s for 2s", addrs, ttl, wantAddr)
		}
		for _, n := range []string{"orders.proa.test", "_proa.orders.proa.test"} {
			text, err := LookupText(t.Context(), addr, n)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(text, " "), wantText) {
				t.Errorf("%s says %q, want %q in it", n, text, wantText)
			}
		}
		res, err := Exchange(t.Context(), addr, "orders.proa.test", mdns.TypeAAAA)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Answer) != 0 || len(res.Ns) != 1 || !res.Authoritative {
			t.Fatalf("AAAA is not an authoritative NODATA: %v", res)
		}
		soa := res.Ns[0].(*mdns.SOA)
		if soa.Serial != wantSerial || soa.Hdr.Ttl != 2 {
			t.Errorf("denial's SOA serial %d TTL %d, want %d and 2", soa.Serial, soa.Hdr.Ttl, wantSerial)
		}
	}
	check("127.0.64.1", "active=aws version=1", 1)
	plan := proa.Plan{Version: 2, Active: proa.Azure, Reason: "failover: aws is unhealthy"}
	if err := s.Apply(plan); err != nil {
		t.Fatal(err)
	}
	check("127.0.64.2", "reason=failover: aws is unhealthy", 2)
	if err := s.Apply(proa.Plan{Version: 1, Active: proa.AWS}); !errors.Is(err, proa.ErrStalePlan) {
		t.Errorf("an old plan gives %v, want ErrStalePlan", err)
	}
	check("127.0.64.2", "active=azure version=2", 2)
}

func TestTakenPortIsNamedWithAHint(t *testing.T) {
	_, addr := serve(t, demoConfig(t))
	cfg := demoConfig(t)
	cfg.Listen = []string{addr}
	other, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = other.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, want the address and a hint", err)
	}
}

func TestTCPAnswersPipelinedQueriesInOrder(t *testing.T) {
	_, addr := serve(t, demoConfig(t))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	dc := &mdns.Conn{Conn: conn}
	for id := range uint16(50) {
		q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
		q.Id = id
		if err := dc.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint16(50) {
		res, err := dc.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if res.Id != id || len(res.Answer) != 1 {
			t.Fatalf("answer %d: id %d, %d records", id, res.Id, len(res.Answer))
		}
	}
}

func TestTCPConnectionsAreCappedPerClient(t *testing.T) {
	cfg := demoConfig(t)
	cfg.TCPPerClient = 2
	s, addr := serve(t, cfg)
	for i := range 2 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		dc := &mdns.Conn{Conn: conn}
		if err := dc.WriteMsg(new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if _, err := dc.ReadMsg(); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("third connection stays open: %v", err)
	}
	if got := s.Stats().Refused; got != 1 {
		t.Errorf("refused %d connections, want 1", got)
	}
}

func TestIdleTCPConnectionIsClosed(t *testing.T) {
	cfg := demoConfig(t)
	cfg.TCPIdle = 50 * time.Millisecond
	_, addr := serve(t, cfg)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the idle connection was not closed by the server: %v", err)
	}
}

// Whoever has an IPv6 network has as many addresses as it likes.
func TestTCPConnectionsOfAnIPv6NetworkCountTogether(t *testing.T) {
	c := clients{open: map[netip.Addr]int{}}
	enter := func(text string) bool { return c.enter(netip.MustParseAddr(text), 100, 2) }
	if !enter("2001:db8:0:100::1") || !enter("2001:db8:0:1ff::2") || enter("2001:db8:0:180::3") {
		t.Error("a /56 has more than its places")
	}
	if !enter("2001:db8:0:200::1") || !enter("192.0.2.1") || !enter("192.0.2.1") || enter("::ffff:192.0.2.1") || !enter("192.0.2.2") {
		t.Error("others do not have theirs")
	}
	c.leave(netip.MustParseAddr("2001:db8:0:1ff::2"))
	if !enter("2001:db8:0:180::3") || c.count() != 6 {
		t.Errorf("%d open", c.count())
	}
}
