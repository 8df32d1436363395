package dns

import (
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// malform makes a message that is nearly one: some bytes changed, cut, or repeated; with options
// and without.
func malform(rng *rand.Rand, seeds [][]byte, buf []byte) []byte {
	msg := append(buf[:0], seeds[rng.IntN(len(seeds))]...)
	for range rng.IntN(8) {
		msg[rng.IntN(len(msg))] = byte(rng.Uint32())
	}
	switch rng.IntN(6) {
	case 0:
		msg = msg[:rng.IntN(len(msg)+1)]
	case 1:
		msg = append(msg, msg[rng.IntN(len(msg)):]...)
	case 2:
		for range rng.IntN(600) {
			msg = append(msg, byte(rng.Uint32()))
		}
	}
	return msg
}

func soakSeeds(t testing.TB) [][]byte {
	t.Helper()
	var seeds [][]byte
	for _, name := range []string{"orders.proa.test.", "nope.orders.proa.test.", "_proa.orders.proa.test.", "."} {
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeTXT, mdns.TypeANY, mdns.TypeAXFR, mdns.TypeDNSKEY, mdns.TypeNSEC} {
			q := new(mdns.Msg).SetQuestion(name, kind)
			for _, options := range [][]mdns.EDNS0{nil, {
				&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"}, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID},
				&mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)},
			}} {
				q.SetEdns0(1232, true)
				q.Extra = q.Extra[len(q.Extra)-1:]
				q.IsEdns0().Option = options
				msg, err := q.Pack()
				if err != nil {
					t.Fatal(err)
				}
				seeds = append(seeds, msg)
			}
		}
	}
	return seeds
}

// TestMalformedDatagramsLeaveTheServerAsItWas sends PROA_DNS_SOAK datagrams at the live socket of a
// signed server, 40,000 without it.
func TestMalformedDatagramsLeaveTheServerAsItWas(t *testing.T) {
	count := 40_000
	if text := os.Getenv("PROA_DNS_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		count = n
	}
	cfg := demoConfig(t)
	k, err := dnssec.Generate("orders.proa.test.", dnssec.ECDSAP256, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Signing.Keys = []dnssec.Key{k}
	s, addr := serve(t, cfg)
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	rng, seeds, buf := rand.New(rand.NewPCG(1, 1)), soakSeeds(t), make([]byte, 0, 4096)
	send := func(n int) (heap uint64, goroutines int) {
		for i := range n {
			_, _ = conn.Write(malform(rng, seeds, buf)) // the socket may be full: that is no answer's fault
			if i%200 == 199 {                           // not so fast that most are lost in the queue
				time.Sleep(time.Millisecond)
			}
		}
		for attempt := 0; ; attempt++ {
			if _, _, err := Lookup(t.Context(), addr, "orders.proa.test"); err == nil {
				break
			} else if attempt == 4 {
				t.Fatal(err)
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	heap, goroutines := send(count / 2)
	after, goroutinesAfter := send(count - count/2)
	st := s.Stats()
	t.Logf("%d sent, %d answered, %d dropped; heap %d KiB then %d KiB", count, st.Queries, st.Dropped, heap>>10, after>>10)
	if st.Panics != 0 || st.Queries == 0 || st.Dropped == 0 {
		t.Errorf("stats %+v", st)
	}
	if goroutinesAfter > goroutines+2 {
		t.Errorf("%d goroutines, then %d", goroutines, goroutinesAfter)
	}
	if after > heap+16<<20 { // the kept answers are at most some MiB
		t.Errorf("heap of %d KiB, then %d KiB", heap>>10, after>>10)
	}
}
