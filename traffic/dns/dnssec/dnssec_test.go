package dnssec

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func key(t testing.TB, algorithm uint8, entry bool, at time.Time) Key {
	t.Helper()
	k, err := Generate("Example.Test", algorithm, entry, at)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signer(t testing.TB, at time.Time, keys ...Key) *Signer {
	t.Helper()
	s, err := NewSigner("example.test", keys, at, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verify checks signatures over presentation-format records by another implementation.
func verify(t *testing.T, s *Signer, keys []Key, records ...string) {
	t.Helper()
	var set []mdns.RR
	var data []string
	for _, text := range records {
		rr, err := mdns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, rr)
		wire := make([]byte, 1024)
		end, err := mdns.PackRR(rr, wire, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		_, at, err := mdns.UnpackDomainName(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, string(wire[at+10:end]))
	}
	h := set[0].Header()
	owner := make([]byte, 256)
	n, err := mdns.PackDomainName(mdns.CanonicalName(h.Name), owner, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	sigs, err := s.Sign(string(owner[:n]), h.Rrtype, h.Ttl, data)
	if err != nil || len(sigs) == 0 {
		t.Fatalf("%s: %d signatures, %v", records[0], len(sigs), err)
	}
	for _, raw := range sigs {
		msg := append([]byte{0, 0, 46, 0, 1, 0, 0, 0, 1, byte(len(raw) >> 8), byte(len(raw))}, raw...)
		rr, _, err := mdns.UnpackRR(msg, 0)
		if err != nil {
			t.Fatal(err)
		}
		sig := rr.(*mdns.RRSIG)
		sig.Hdr.Name = h.Name
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Tag == sig.KeyTag })
		if i < 0 {
			t.Fatalf("signed by an unknown key %d", sig.KeyTag)
		}
		if err := sig.Verify(keys[i].record, set); err != nil {
			t.Errorf("%s: %v", records[0], err)
		}
	}
}

func TestSignaturesOfEveryTypeVerify(t *testing.T) {
	for _, algorithm := range []uint8{ECDSAP256, Ed25519} {
		k := key(t, algorithm, true, start)
		s := signer(t, start, k)
		for _, set := range [][]string{
			{"www.Example.test. 60 IN A 192.0.2.2", "www.Example.test. 60 IN A 192.0.2.1", "www.Example.test. 60 IN A 192.0.2.1"},
			{"example.test. 60 IN SOA NS.example.test. Host.Example.TEST. 1 2 3 4 5"},
			{"example.test. 60 IN NS NS.Example.test."},
			{"example.test. 60 IN MX 10 Mail.Example.test."},
			{"*.w.example.test. 60 IN CNAME Web.Example.test."},
			{"s.example.test. 60 IN SRV 1 2 3 Web.example.test."},
			{"n.example.test. 60 IN NAPTR 1 2 \"S\" \"SIP+D2U\" \"\" _SIP._udp.Example.test."},
			{"h.example.test. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1"},
			{"t.example.test. 60 IN TXT \"UPPER stays\""},
			{"r.example.test. 60 IN RP Me.Example.test. Text.example.test."},
			{"p.example.test. 60 IN PX 10 A.Example.test. B.example.test."},
			{"u.example.test. 60 IN TYPE65280 \\# 3 414243"},
			{"a.b.c.d.example.test. 60 IN CAA 0 issue \"ca.Example\""},
		} {
			verify(t, s, []Key{k}, set...)
		}
	}
}

func TestSignaturesAreTheSameOnEveryServer(t *testing.T) {
	for _, algorithm := range []uint8{ECDSAP256, Ed25519} {
		k := key(t, algorithm, true, start)
		a, err := signer(t, start, k).Sign("\x01a\x07example\x04test\x00", 1, 60, []string{"\xc0\x00\x02\x01"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := signer(t, start.Add(time.Minute), k).Sign("\x01a\x07example\x04test\x00", 1, 60, []string{"\xc0\x00\x02\x01"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Error(diff)
		}
	}
}

func TestKeysSurviveTheirFiles(t *testing.T) {
	dir := t.TempDir()
	for _, algorithm := range []uint8{ECDSAP256, Ed25519} {
		k := key(t, algorithm, algorithm == Ed25519, start)
		k.Times.Delete = start.Add(time.Hour)
		if err := k.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := LoadDir(dir, "example.test")
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, k := range keys {
		if k.Entry != (k.Algorithm == Ed25519) || !k.Times.Delete.Equal(start.Add(time.Hour)) || !k.Active(start) {
			t.Errorf("%+v", k)
		}
		verify(t, signer(t, start, k), keys, "example.test. 60 IN A 192.0.2.1")
		info, err := os.Stat(filepath.Join(dir, k.name()+".private"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v: a private key that others can read", info, err)
		}
	}
}

func TestKeyFilesThatCannotBeUsedAreRefused(t *testing.T) {
	dir := t.TempDir()
	a, b := key(t, ECDSAP256, true, start), key(t, ECDSAP256, true, start)
	for _, k := range []Key{a, b} {
		if err := k.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	pa, pb := filepath.Join(dir, a.name()), filepath.Join(dir, b.name())
	for what, change := range map[string]func() error{
		"another key's private part": func() error { return os.Rename(pb+".private", pa+".private") },
		"no private part":            func() error { return os.Remove(pa + ".private") },
		"rubbish":                    func() error { return os.WriteFile(pa+".private", []byte("x"), 0o600) },
		"no public part":             func() error { return os.Remove(pa + ".key") },
	} {
		if err := errors.Join(a.Save(dir), b.Save(dir), change()); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(pa); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRollOverNeverLeavesDataWithoutAKeyInCaches(t *testing.T) {
	timing := Timing{KeyTTL: time.Hour, DataTTL: 2 * time.Hour, DSTTL: 24 * time.Hour, Propagation: time.Minute}
	old := key(t, ECDSAP256, true, start.Add(-time.Hour))
	old, fresh := Succeed(old, key(t, ECDSAP256, true, start), start, timing)
	seen := start.Add(30 * time.Hour)
	retired := Retire(old, fresh, seen, timing)
	type state struct {
		Published, Data, Entry, Synced []uint16
	}
	at := func(after time.Duration, keys ...Key) state {
		s := signer(t, start.Add(after), keys...)
		tags := func(list []Key) (tags []uint16) {
			for _, k := range list {
				tags = append(tags, k.Tag)
			}
			return tags
		}
		return state{tags(s.published), tags(s.data), tags(s.sep), tags(s.synced)}
	}
	o, f := old.Tag, fresh.Tag
	for _, c := range []struct {
		after time.Duration
		keys  []Key
		want  state
	}{
		{-time.Minute, []Key{old, fresh}, state{[]uint16{o}, []uint16{o}, []uint16{o}, []uint16{o}}},
		{0, []Key{old, fresh}, state{[]uint16{o, f}, []uint16{o}, []uint16{o, f}, []uint16{o}}},
		{time.Hour, []Key{old, fresh}, state{[]uint16{o, f}, []uint16{o}, []uint16{o, f}, []uint16{o}}},
		{time.Hour + time.Minute, []Key{old, fresh}, state{[]uint16{o, f}, []uint16{f}, []uint16{o, f}, []uint16{f}}},
		{1000 * time.Hour, []Key{old, fresh}, state{[]uint16{o, f}, []uint16{f}, []uint16{o, f}, []uint16{f}}},
		{53 * time.Hour, []Key{retired, fresh}, state{[]uint16{o, f}, []uint16{f}, []uint16{o, f}, []uint16{f}}},
		{54*time.Hour + time.Minute, []Key{retired, fresh}, state{[]uint16{o, f}, []uint16{f}, []uint16{f}, []uint16{f}}},
		{56 * time.Hour, []Key{retired, fresh}, state{[]uint16{f}, []uint16{f}, []uint16{f}, []uint16{f}}},
	} {
		if diff := cmp.Diff(c.want, at(c.after, c.keys...)); diff != "" {
			t.Errorf("after %s (-want +got)\n%s", c.after, diff)
		}
	}
	s := signer(t, start, old, fresh)
	if want := start.Add(time.Hour + time.Minute); !s.Renew().Equal(want) {
		t.Errorf("renew at %s, want %s, when the fresh key becomes active", s.Renew(), want)
	}
}

func TestNewAlgorithmsSignaturesComeBeforeItsKeyAndGoAfterIt(t *testing.T) {
	timing := Timing{KeyTTL: time.Hour, DataTTL: 2 * time.Hour, DSTTL: 24 * time.Hour}
	old, fresh := SucceedAlgorithm(key(t, ECDSAP256, true, start.Add(-time.Hour)), key(t, Ed25519, true, start), start, timing)
	retired := Retire(old, fresh, start.Add(10*time.Hour), timing)
	type state struct{ data, published, synced int }
	for _, c := range []struct {
		after time.Duration
		old   Key
		want  state // bits: 1 the old key, 2 the fresh one
	}{
		{time.Minute, old, state{3, 1, 1}},
		{2 * time.Hour, old, state{3, 3, 1}},
		{3 * time.Hour, old, state{3, 3, 2}},
		{33 * time.Hour, retired, state{3, 3, 2}},
		{34 * time.Hour, retired, state{3, 2, 2}}, // the key goes first: nobody misses its signatures
		{35 * time.Hour, retired, state{2, 2, 2}},
	} {
		s := signer(t, start.Add(c.after), c.old, fresh)
		bits := func(list []Key) (sum int) {
			for _, k := range list {
				sum |= map[uint16]int{old.Tag: 1, fresh.Tag: 2}[k.Tag]
			}
			return sum
		}
		if got := (state{bits(s.data), bits(s.published), bits(s.synced)}); got != c.want {
			t.Errorf("after %s: %+v, want %+v", c.after, got, c.want)
		}
	}
}

func TestSeparateKeysHaveSeparateWork(t *testing.T) {
	ksk, zsk := key(t, Ed25519, true, start), key(t, Ed25519, false, start)
	s := signer(t, start, ksk, zsk)
	if len(s.data) != 1 || s.data[0].Tag != zsk.Tag || len(s.sep) != 1 || s.sep[0].Tag != ksk.Tag {
		t.Errorf("data %v, keys %v", s.data, s.sep)
	}
	if ds := s.DS(); len(ds) != 1 || !strings.Contains(ds[0], "DS") {
		t.Errorf("DS %v", ds)
	}
	cds, cdnskey := s.Sync()
	if len(cds) != 1 || len(cdnskey) != 1 || len(s.Keys()) != 2 {
		t.Errorf("%d CDS, %d CDNSKEY, %d keys", len(cds), len(cdnskey), len(s.Keys()))
	}
}

func TestSignerWithoutAnActiveKeyIsRefused(t *testing.T) {
	later := key(t, ECDSAP256, true, start.Add(time.Hour))
	for _, keys := range [][]Key{nil, {later}} {
		if _, err := NewSigner("example.test", keys, start, Options{}); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%d keys: %v", len(keys), err)
		}
	}
	if _, err := NewSigner("other.test", []Key{key(t, ECDSAP256, true, start)}, start, Options{}); !errors.Is(err, proa.ErrInvalidConfig) {
		t.Errorf("another zone's key: %v", err)
	}
}

func TestSignersMemoryIsBounded(t *testing.T) {
	s, err := NewSigner("example.test", []Key{key(t, Ed25519, true, start)}, start, Options{Memory: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := s.Sign("\x04test\x00", 1, uint32(i), []string{"abcd"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.memory) != 10 {
		t.Errorf("%d signatures are kept, want 10", len(s.memory))
	}
}

func TestSuccessorFollowsWithNothingBetween(t *testing.T) {
	long := "\x3f" + strings.Repeat("a", 63) + "\x3f" + strings.Repeat("b", 63) + "\x3f" + strings.Repeat("c", 63) + "\x3d" + strings.Repeat("d", 61) + "\x00"
	for _, c := range []struct{ owner, want string }{
		{"\x01a\x00", "\x01\x00\x01a\x00"},
		{long, "\x3f" + strings.Repeat("a", 62) + "b" + long[64:]},
		{"\x3f" + strings.Repeat("@", 63) + long[64:], "\x3f" + strings.Repeat("@", 62) + "[" + long[64:]},
		{"\x3f" + strings.Repeat("a", 62) + "\xff" + long[64:], "\x3e" + strings.Repeat("a", 61) + "b" + long[64:]},
	} {
		if got := successor(c.owner); got != c.want {
			t.Errorf("%q: %q, want %q", c.owner, got, c.want)
		}
	}
}

func TestDenialsBitmapIsWhatOthersRead(t *testing.T) {
	for _, c := range []struct {
		exists bool
		types  []uint16
		want   []uint16
	}{
		{false, nil, []uint16{mdns.TypeRRSIG, mdns.TypeNSEC, TypeNXNAME}},
		{true, []uint16{mdns.TypeHTTPS, mdns.TypeA, mdns.TypeCAA}, []uint16{mdns.TypeA, mdns.TypeRRSIG, mdns.TypeNSEC, mdns.TypeHTTPS, mdns.TypeCAA}},
	} {
		d := Denial("\x01a\x00", c.exists, c.types)
		msg := append([]byte{0, 0, 47, 0, 1, 0, 0, 0, 1, 0, byte(len(d))}, d...)
		rr, _, err := mdns.UnpackRR(msg, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := rr.(*mdns.NSEC)
		if diff := cmp.Diff(c.want, n.TypeBitMap); diff != "" || n.NextDomain != "\\000.a." {
			t.Errorf("%s %s", n, diff)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, algorithm := range []uint8{ECDSAP256, Ed25519} {
		b.Run(mdns.AlgorithmToString[algorithm], func(b *testing.B) {
			s := signer(b, start, key(b, algorithm, true, start))
			for i := 0; b.Loop(); i++ {
				if _, err := s.Sign("\x04test\x00", 1, uint32(i), []string{"abcd"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
