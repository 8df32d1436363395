package dns

import (
	"net"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// A client hears nothing that does not come from the address that it asked.
func TestRepliesLeaveFromTheAddressThatWasAsked(t *testing.T) {
	for listen, ask := range map[string][]string{
		"0.0.0.0:0":   {"127.0.0.1", "127.0.0.5", "127.9.8.7"},
		"[::]:0":      {"127.0.0.1", "127.0.0.5", "::1"},
		"127.0.0.6:0": {"127.0.0.6"},
		"[::1]:0":     {"::1"},
	} {
		cfg := demoConfig(t)
		cfg.Listen = []string{listen}
		s, _ := serve(t, cfg)
		port := s.Addrs()[0].Port()
		for _, host := range ask {
			to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), port))
			conn, err := net.DialUDP("udp", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			c := &mdns.Conn{Conn: conn}
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := c.WriteMsg(new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				if reply, err := c.ReadMsg(); err != nil || len(reply.Answer) == 0 {
					t.Fatalf("%s asked at %s: %v, %v", listen, host, reply, err)
				}
			}
		}
	}
}
