package dns

import (
	"errors"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
)

func TestBadZonesAreRefusedWithLineAndColumn(t *testing.T) {
	const head = "$ORIGIN example.test.\n$TTL 60\n@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n"
	for _, c := range []struct{ name, zone, want string }{
		{"empty", "; nothing\n", "bad.zone: no SOA"},
		{"no owner", " SOA a. b. 1 1 1 1 1\n NS a.\n", "bad.zone:1:2: the first record has no owner"},
		{"no SOA first", "example.test. 60 NS a.\n", "bad.zone:1:1: the first record must be the zone's SOA"},
		{"no NS", "example.test. 60 SOA a. b. 1 1 1 1 1\n", "bad.zone:1:1: no NS record"},
		{"second SOA", head + "@ SOA ns x 1 1 1 1 1\n", "bad.zone:6:1: a second SOA"},
		{"bad address", head + "\n\nwww A 192.0.2.300\n", "bad.zone:8:"},
		{"unknown type", head + "www QQQ 1\n", "bad.zone:6:"},
		{"outside", head + "www.example.net. A 192.0.2.1\n", "bad.zone:6:1: www.example.net. is outside"},
		{"other class", head + "www CH TXT x\n", "bad.zone:6:"},
		{"alias and data", head + "; note\n  ; note\nwww CNAME ns\nwww A 192.0.2.1\n", "bad.zone:8:1: www.example.test. has a CNAME and other"},
		{"two aliases", head + "www CNAME ns\nwww CNAME ns2\n", "bad.zone:6:1: www.example.test. has several CNAME"},
		{"server without address", head + "@ NS ns3\n", "bad.zone:3:1: name server ns3.example.test."},
		{"delegation without glue", head + "sub NS ns.sub\n", "bad.zone:6:1: name server ns.sub.example.test."},
		{"wildcard delegation", head + "*.x NS ns\n", "bad.zone:6:1: *.x.example.test.: a wildcard delegation"},
		{"below a DNAME", head + "d DNAME e\nx.d A 192.0.2.1\n", "bad.zone:7:1: x.d.example.test. is below the DNAME"},
		{"TTL too large", head + "www 4294967295 A 192.0.2.1\n", "bad.zone:6:"},
		{"include", head + "$INCLUDE /etc/passwd\n", "bad.zone:6:"},
		{"meta type", head + "www TYPE250 \\# 1 00\n", "bad.zone:6:"},
		{"parenthesis left open", head + "www TXT ( \"x\"\n", "bad.zone:"},
		{"set beyond a message", head + "$GENERATE 1-6000 big TXT \"a longer text with number $\"\n", "bad.zone:6:1: big.example.test. TXT: the set takes"},
		{"long label", head + strings.Repeat("x", 64) + " A 192.0.2.1\n", "bad.zone:6:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseZone(strings.NewReader(c.zone), "example.test", "bad.zone")
			var z *ZoneError
			if !errors.As(err, &z) || !errors.Is(err, proa.ErrInvalidConfig) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant it to begin with %q", err, c.want)
			}
		})
	}
}

func TestGeneratedRecordsAndDirectivesAreServed(t *testing.T) {
	z, err := ParseZone(strings.NewReader("$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n"+
		"$GENERATE 1-3 host$ A 192.0.2.$\n$ORIGIN sub.example.test.\nx A 192.0.2.9\n"), "example.test", "gen.zone")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"host1.example.test", "host3.example.test", "x.sub.example.test"} {
		wire, err := parseName(n)
		if err != nil {
			t.Fatal(err)
		}
		if z.owners[wire] == nil {
			t.Errorf("%s is missing", n)
		}
	}
}

func TestSetsTakeTheLowestTTLAndDropRepeats(t *testing.T) {
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 90 A 192.0.2.1", "ns 30 A 192.0.2.2", "ns 60 A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	wire, err := parseName("ns.example.test")
	if err != nil {
		t.Fatal(err)
	}
	if s := z.owners[wire].sets[0]; s.ttl != 30 || len(s.data) != 2 {
		t.Errorf("TTL %d, %d records; want 30 and 2", s.ttl, len(s.data))
	}
}

func FuzzParseZone(f *testing.F) {
	f.Add("$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nw CNAME ns\n*.x TXT \"a\"\nd DNAME e\n")
	f.Add(richZone)
	f.Add("@ 60 SOA . . 1 1 1 1 1\n@ 60 NS .\nx 60 TYPE1234 \\# 3 010203\n$GENERATE 1-10 h$ A 10.0.0.$\n")
	f.Add("@ 60 SOA a. b. 1 1 1 1 1\n@ 60 NS a.\nd NS n.d\nn.d A 1.2.3.4\n")
	f.Fuzz(func(t *testing.T, text string) {
		// A line of $GENERATE makes 65,536 records.
		z, err := parseZone(strings.NewReader(text), "example.test", "fuzz.zone", 2000)
		if err != nil {
			var ze *ZoneError
			if !errors.As(err, &ze) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		s, err := NewSnapshot(z)
		if err != nil {
			if !errors.Is(err, proa.ErrInvalidConfig) {
				t.Fatal(err)
			}
			return
		}
		asked := 0
		for n := range z.owners { // every name can be answered for
			if asked++; asked > 50 {
				break
			}
			for _, kind := range []byte{1, 2, 5, 6, 16, 28, 39, 43, 255} {
				msg := append([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"), n...)
				checkReply(t, s, append(msg, 0, kind, 0, 1))
			}
		}
	})
}
