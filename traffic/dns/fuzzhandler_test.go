package dns

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// FuzzDecode holds that whatever is understood of a message lies within it.
func FuzzDecode(f *testing.F) {
	for _, msg := range soakSeeds(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q query
		rcode := q.parse(msg)
		if rcode == rcodeDrop {
			return
		}
		if headerLen+q.question > len(msg) || q.nameLen > maxName || q.labels > 127 || q.question > 0 && q.question != q.nameLen+4 {
			t.Fatalf("question %d, name %d, labels %d of %d bytes", q.question, q.nameLen, q.labels, len(msg))
		}
		if q.question > 0 {
			n := name(q.name[:q.nameLen])
			if n.labels() != q.labels || string(lowerName(n)) != string(n) {
				t.Fatalf("name %q of %d labels", n, q.labels)
			}
		}
		if rcode != rcodeOK {
			return
		}
		m := new(mdns.Msg) // what we take for well-formed, others must be able to read
		if err := m.Unpack(msg[:min(len(msg), 65535)]); err == nil && !q.empty && len(m.Question) != 1 {
			t.Fatalf("others see %d questions", len(m.Question))
		}
	})
}

// FuzzHeaderGuard holds that counts in a header cost nothing: no allocation, and no reply to what
// may not have one.
func FuzzHeaderGuard(f *testing.F) {
	for _, header := range []string{
		"\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x01\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff", "\x00\x01\x28\x00\x00\x01\x00\x01\x00\x01\x00\x01", "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		f.Add([]byte(header), 3000)
	}
	f.Fuzz(func(t *testing.T, header []byte, size int) {
		msg := make([]byte, min(max(size, 0), 65535))
		copy(msg, header)
		var rcode int
		if n := testing.AllocsPerRun(1, func() {
			var q query
			rcode = q.parse(msg)
		}); n != 0 {
			t.Fatalf("%v allocations", n)
		}
		if len(msg) >= headerLen && (rcode == rcodeDrop) != (msg[2]&0x80 != 0) {
			t.Fatalf("rcode %d for flags %x", rcode, msg[2:4])
		}
		if len(msg) >= headerLen && rcode == rcodeOK && binary.BigEndian.Uint16(msg[4:]) > 1 {
			t.Fatal("several questions are accepted")
		}
	})
}

// FuzzHandler gives messages to a whole server: signed, with cookies, limits and names put over the
// zones, over every transport.
func FuzzHandler(f *testing.F) {
	cfg := demoConfig(f)
	k, err := dnssec.Generate("orders.proa.test.", dnssec.ECDSAP256, true, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	cfg.Signing.Keys = []dnssec.Key{k}
	cfg.ReportAgent = "report.example.net"
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.PutValidation(Validation{Name: "_acme-challenge.orders.proa.test", Type: "TXT", Values: []string{"x"}}); err != nil {
		f.Fatal(err)
	}
	s.Degrade(Reason{Code: ReasonStale, Text: "an old plan"})
	for _, msg := range soakSeeds(f) {
		f.Add(msg, byte(0))
	}
	addr := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, msg []byte, over byte) {
		from := newClient(addr, uint32(len(msg)), transport(over%4))
		var c counters
		out := s.handle(make([]byte, 0, 65535), msg, from, &c)
		if c.panics.Load() != 0 {
			t.Fatal("panic")
		}
		if len(out) == 0 {
			return
		}
		if !from.stream() && len(out) > 1232 {
			t.Fatalf("%d bytes over UDP", len(out))
		}
		if binary.BigEndian.Uint16(out) != binary.BigEndian.Uint16(msg) || out[2]&0x80 == 0 {
			t.Fatalf("not a reply to the query: %x", out[:4])
		}
		if err := new(mdns.Msg).Unpack(out); err != nil {
			t.Fatalf("%v\nquery %x\nreply %x", err, msg, out)
		}
	})
}
