package dns

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
)

// everyType is a zone with all that a master file can hold: unknown types, wildcards of several types,
// empty non-terminals, delegations with and without DS and glue, DNAME, chains of CNAMEs that end,
// leave, loop, or lead to nothing.
const everyType = `$ORIGIN z0.
$TTL 60
@ SOA ns h 1 2 3 4 30
@ NS ns
@ NS ns.else.test.
@ MX 10 mail
@ TXT "v=spf1 -all" "second"
@ CAA 0 issue "ca.test"
@ HTTPS 1 . alpn=h2
ns A 192.0.2.1
ns AAAA 2001:db8::1
mail A 192.0.2.2
_sip._tcp SRV 1 2 5060 sip
sip A 192.0.2.3
_443._tcp.www TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
www SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
www HTTPS 1 svc alpn=h3,h2 port=8443 ipv4hint=192.0.2.7
_dns SVCB 1 ns alpn=dot port=853
svc A 192.0.2.7
naptr NAPTR 10 20 "u" "E2U+sip" "!^.*$!sip:x@z0!" .
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m
hinfo HINFO "cpu" "os"
rp RP h.z0. txt.z0.
ptr PTR www
afsdb AFSDB 1 www
uri URI 10 1 "https://z0/"
unknown TYPE65280 \# 4 0a000001
unknown A 192.0.2.8
* A 192.0.2.9
* TXT "wild"
*.mx MX 5 mail
deep.ent.here A 192.0.2.10
cname CNAME www
chain CNAME chain2
chain2 CNAME mail
away CNAME x.else.test.
loop1 CNAME loop2
loop2 CNAME loop1
nowhere CNAME gone.deep.ent.here
towild CNAME any.thing.wild2
*.wild2 CNAME mail
ren DNAME else.test.
sub NS ns.sub
sub NS ns.else.test.
sub DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.sub A 192.0.2.11
bare NS ns.else.test.
`

func TestEveryTypeIsServedAsNSDServesIt(t *testing.T) {
	compareEveryType(t, startNSD(t, map[string]string{"z0": everyType}))
}

func TestEveryTypeIsServedAsKnotServesIt(t *testing.T) {
	compareEveryType(t, startKnot(t, map[string]string{"z0": everyType}))
}

func compareEveryType(t *testing.T, addr string) {
	t.Helper()
	z, err := ParseZone(strings.NewReader(everyType), "z0", "z0")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []uint16{
		mdns.TypeA, mdns.TypeAAAA, mdns.TypeNS, mdns.TypeSOA, mdns.TypeMX, mdns.TypeTXT, mdns.TypeCNAME, mdns.TypeDNAME,
		mdns.TypeSRV, mdns.TypeTLSA, mdns.TypeSSHFP, mdns.TypeHTTPS, mdns.TypeSVCB, mdns.TypeNAPTR, mdns.TypeLOC, mdns.TypeHINFO,
		mdns.TypeRP, mdns.TypePTR, mdns.TypeAFSDB, mdns.TypeURI, mdns.TypeCAA, mdns.TypeDS, 65280,
	}
	names := strings.Fields(`@ ns mail _sip._tcp _tcp sip www _443._tcp.www _dns svc naptr loc hinfo rp ptr afsdb uri unknown *
		mx x.mx a.b.mx ent.here here deep.ent.here gone.deep.ent.here cname chain chain2 away loop1 nowhere towild wild2 x.wild2
		any.thing.wild2 ren x.ren a.b.ren sub ns.sub x.sub bare x.bare nothing x.y.nothing x.www`)
	client := &mdns.Client{Net: "udp", UDPSize: 4096}
	for _, label := range names {
		qname := label + ".z0."
		if label == "@" {
			qname = "z0."
		}
		for _, kind := range kinds {
			q := new(mdns.Msg).SetQuestion(qname, kind)
			q.RecursionDesired = false
			want, _, err := client.ExchangeContext(t.Context(), q, addr)
			if err != nil {
				t.Fatal(err)
			}
			got := ask(t, snapshot, q, true)
			if len(want.Answer) > 0 && want.Rcode == mdns.RcodeSuccess && len(got.Ns) == 0 {
				want.Ns, want.Extra = nil, nil
			}
			if diff := cmp.Diff(summary(want), summary(got)); diff != "" {
				t.Errorf("%s %s (-peer +proa)\n%s", qname, mdns.Type(kind), diff)
			}
		}
	}
	t.Logf("%d queries compared", len(names)*len(kinds))
}
