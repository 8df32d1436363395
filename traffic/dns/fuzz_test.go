package dns

import (
	"encoding/binary"
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// checkReply holds for every message: the reply, if any, unpacks, repeats the identity, is a
// response and keeps its limit.
func checkReply(t *testing.T, s *Snapshot, msg []byte) {
	t.Helper()
	for _, r := range fuzzReplies(t) {
		out, rcode, _ := s.respond(make([]byte, 0, 1232), msg, r)
		if rcode == rcodeDrop || rcode == rcodeLimited {
			if len(out) != 0 {
				t.Fatalf("a reply to a message that may not be answered: %x", out)
			}
			continue
		}
		limit := max(512, r.limit)
		if r.client.stream() {
			limit = 65535
		}
		if len(out) < headerLen || len(out) > limit {
			t.Fatalf("reply of %d bytes, limit %d", len(out), limit)
		}
		if binary.BigEndian.Uint16(out) != binary.BigEndian.Uint16(msg) || out[2]&0x80 == 0 {
			t.Fatalf("not a reply to the query: %x", out[:4])
		}
		res := new(mdns.Msg)
		if err := res.Unpack(out); err != nil {
			t.Fatalf("reply does not unpack: %v\nquery %x\nreply %x", err, msg, out)
		}
	}
}

// fuzzReplies are the ways in which a message is answered: bare, with everything on, over a stream.
func fuzzReplies(t testing.TB) []reply {
	t.Helper()
	c, err := newCookies([]proa.Secret{proa.NewSecret("000102030405060708090a0b0c0d0e0f")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLimiter(RateLimit{PerSecond: 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.1")
	return []reply{
		{limit: 1232},
		{limit: 512, nsid: []byte("x"), client: newClient(addr, 1, overUDP), cookies: c, limiter: l},
		{limit: 1232, nsid: []byte("x"), client: newClient(addr, 1, overTLS), cookies: c, keepalive: 9},
		{client: testClient(true)},
	}
}

func FuzzRespond(f *testing.F) {
	s := richSnapshot(f)
	for _, name := range []string{"web.example.test.", "x.wild.example.test.", "y.sub.example.test.", "z.old.example.test.", "."} {
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeANY, mdns.TypeDS, mdns.TypeAXFR} {
			q := new(mdns.Msg).SetQuestion(name, kind)
			q.SetEdns0(1232, true)
			q.IsEdns0().Option = append(q.IsEdns0().Option, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID})
			msg, err := q.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(msg)
		}
	}
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) { checkReply(t, s, msg) })
}

func TestLowerWordsLowersEveryByteAsItShould(t *testing.T) {
	var got, want [256]byte
	for i := range got {
		got[i], want[i] = byte(i), byte(i)
	}
	lowerWords(got[:])
	lowerInPlace(want[:])
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
