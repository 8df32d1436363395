package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"
)

// reference answers slowly and plainly from a list of records, by the letter of RFC 1034 section
// 4.3.2 and RFC 4592. It shares no code with the server.
type reference struct {
	apex string
	rrs  []mdns.RR
}

func (r reference) at(name string, kind uint16) []mdns.RR {
	var list []mdns.RR
	for _, rr := range r.rrs {
		if rr.Header().Name == name && (kind == mdns.TypeNone || rr.Header().Rrtype == kind) {
			list = append(list, rr)
		}
	}
	return list
}

// exists reports whether a name owns records or has a descendant that does.
func (r reference) exists(name string) bool {
	return slices.ContainsFunc(r.rrs, func(rr mdns.RR) bool { return mdns.IsSubDomain(name, rr.Header().Name) })
}

// ancestors lists name and its ancestors down to the apex, the apex first.
func (r reference) ancestors(name string) []string {
	var list []string
	for n := name; ; {
		list = append([]string{n}, list...)
		if n == r.apex {
			return list
		}
		i, _ := mdns.NextLabel(n, 0)
		n = n[i:]
	}
}

func owned(list []mdns.RR, name string) []mdns.RR {
	var out []mdns.RR
	for _, rr := range list {
		c := mdns.Copy(rr)
		c.Header().Name = name
		out = append(out, c)
	}
	return out
}

func (r reference) answer(qname string, kind uint16) *mdns.Msg {
	m := new(mdns.Msg)
	m.Authoritative = true
	if !mdns.IsSubDomain(r.apex, qname) {
		m.Authoritative, m.Rcode = false, mdns.RcodeRefused
		return m
	}
	name := qname
	for range 8 { // the random zones' chains are shorter
		next, done := r.one(m, name, kind)
		if done || !mdns.IsSubDomain(r.apex, next) {
			return m
		}
		name = next
	}
	return m
}

// one adds the answer for one name; next is the name to go on with, when not done.
func (r reference) one(m *mdns.Msg, name string, kind uint16) (next string, done bool) {
	line := r.ancestors(name)
	for i, n := range line {
		if i == 0 {
			continue
		}
		if ns := r.at(n, mdns.TypeNS); len(ns) > 0 && !(n == name && kind == mdns.TypeDS) {
			if len(m.Answer) == 0 {
				m.Authoritative = false
			}
			m.Ns = append(m.Ns, ns...)
			for _, rr := range ns {
				target := strings.ToLower(rr.(*mdns.NS).Ns)
				m.Extra = append(m.Extra, r.at(target, mdns.TypeA)...)
				m.Extra = append(m.Extra, r.at(target, mdns.TypeAAAA)...)
			}
			return "", true
		}
	}
	owner := name
	if !r.exists(name) {
		encloser := ""
		for _, n := range line {
			if r.exists(n) {
				encloser = n
			}
		}
		owner = "*." + encloser
		if !r.exists(owner) {
			m.Rcode = mdns.RcodeNameError
			m.Ns = append(m.Ns, r.denial())
			return "", true
		}
	}
	if list := r.at(owner, kind); len(list) > 0 {
		m.Answer = append(m.Answer, owned(list, name)...)
		return "", true
	}
	if alias := r.at(owner, mdns.TypeCNAME); len(alias) > 0 {
		m.Answer = append(m.Answer, owned(alias, name)...)
		return alias[0].(*mdns.CNAME).Target, false
	}
	m.Ns = append(m.Ns, r.denial())
	return "", true
}

func (r reference) denial() mdns.RR {
	soa := mdns.Copy(r.at(r.apex, mdns.TypeSOA)[0]).(*mdns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return soa
}

// summary is what must agree: code, AA, and the sections as sets. Of the additional records only
// sets count, since two name servers may share an address record.
func summary(m *mdns.Msg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa=%v\n", mdns.RcodeToString[m.Rcode], m.Authoritative)
	for i, section := range [][]mdns.RR{m.Answer, m.Ns, m.Extra} {
		var lines []string
		for _, rr := range section {
			if rr.Header().Rrtype != mdns.TypeOPT {
				lines = append(lines, strings.ToLower(rr.String()))
			}
		}
		slices.Sort(lines)
		for _, l := range slices.Compact(lines) {
			fmt.Fprintf(&b, "%d %s\n", i, l)
		}
	}
	return b.String()
}

// randomZone draws a zone's text. Some draws are refused by the loader, as they should be.
func randomZone(t *rapid.T) string {
	label := rapid.SampledFrom([]string{"a", "b", "c", "d", "*", "ns"})
	drawName := func(what string) string {
		return strings.Join(rapid.SliceOfN(label, 1, 3).Draw(t, what), ".") + ".z."
	}
	var b strings.Builder
	b.WriteString("z. 60 IN SOA ns.z. h.z. 1 2 3 4 30\nz. 60 IN NS ns.z.\nns.z. 60 IN A 192.0.2.1\n")
	for range rapid.IntRange(0, 14).Draw(t, "records") {
		n := drawName("owner")
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0, 1, 2:
			fmt.Fprintf(&b, "%s 60 IN A 192.0.2.%d\n", n, rapid.IntRange(2, 5).Draw(t, "addr"))
		case 3:
			fmt.Fprintf(&b, "%s 60 IN TXT \"t\"\n", n)
		case 4:
			fmt.Fprintf(&b, "%s 60 IN MX 1 %s\n", n, drawName("mx"))
		case 5, 6:
			fmt.Fprintf(&b, "%s 60 IN CNAME %s\n", n, drawName("target"))
		case 7:
			fmt.Fprintf(&b, "%s 60 IN NS ns.%s\nns.%s 60 IN A 192.0.2.9\n", n, n, n)
		case 8:
			fmt.Fprintf(&b, "%s 60 IN NS ns.example.net.\n", n)
		case 9:
			fmt.Fprintf(&b, "%s 60 IN AAAA 2001:db8::1\n", n)
		}
	}
	return b.String()
}

func TestServerAgreesWithThePlainReading(t *testing.T) {
	zones, queries := 0, 0
	label := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "*", "ns", "A"})
	rapid.Check(t, func(t *rapid.T) {
		text := randomZone(t)
		z, err := ParseZone(strings.NewReader(text), "z", "random.zone")
		if err != nil {
			t.Skip("refused: " + err.Error())
		}
		s, err := NewSnapshot(z)
		if err != nil {
			t.Fatal(err)
		}
		ref := reference{apex: "z."}
		p := mdns.NewZoneParser(strings.NewReader(text), "z.", "")
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			if !slices.ContainsFunc(ref.rrs, func(o mdns.RR) bool { return mdns.IsDuplicate(o, rr) }) {
				ref.rrs = append(ref.rrs, rr)
			}
		}
		zones++
		for range 30 {
			queries++
			qname := strings.Join(append(rapid.SliceOfN(label, 0, 4).Draw(t, "qname"), "z."), ".")
			kind := rapid.SampledFrom([]uint16{
				mdns.TypeA, mdns.TypeAAAA, mdns.TypeTXT, mdns.TypeMX, mdns.TypeCNAME,
				mdns.TypeNS, mdns.TypeSOA, mdns.TypeDS,
			}).Draw(t, "qtype")
			q := new(mdns.Msg).SetQuestion(qname, kind)
			msg, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			out, _, _ := s.respond(nil, msg, reply{client: client{transport: overTCP, proven: true}})
			got := new(mdns.Msg)
			if err := got.Unpack(out); err != nil {
				t.Fatal(err)
			}
			want := ref.answer(strings.ToLower(qname), kind)
			if diff := cmp.Diff(summary(want), summary(got)); diff != "" {
				t.Fatalf("%s %s (-reference +server)\n%s\nzone:\n%s", qname, mdns.Type(kind), diff, text)
			}
		}
	})
	if zones == 0 {
		t.Fatal("no random zone was accepted")
	}
	t.Logf("%d zones, %d queries", zones, queries)
}
