package dns

import (
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

func TestKdigSpeaksTLSAndHTTPS(t *testing.T) {
	kdig := peer(t, "kdig")
	s, _ := serveStreams(t, nil)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	der := s.cfg.TLS.Certificates[0].Certificate[0]
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, over := range [][]string{
		{"+tls", "+tls-ca=" + ca, "+keepopen", "+padding"}, {"+https", "+tls-ca=" + ca}, {"+https-get", "+tls-ca=" + ca},
	} {
		addr := s.StreamAddrs()[min(i, 1)]
		args := append([]string{"@127.0.0.1", "-p", fmt.Sprint(addr.Port()), "orders.proa.test", "A", "+cookie"}, over...)
		out, err := exec.CommandContext(t.Context(), kdig, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "127.0.64.1") || !strings.Contains(string(out), "status: NOERROR") {
			t.Errorf("%v: %v\n%s", over, err, out)
		}
	}
}

func TestBINDVerifiesTheSignedZone(t *testing.T) {
	program := peer(t, "dnssec-verify")
	s := signedRichAt(t, dnssec.ECDSAP256, 1000, time.Now())
	list, err := s.Records("example.test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "signed.zone")
	if err := os.WriteFile(path, []byte(lines(list)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-z", "-o", "example.test", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "fully signed") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNSDCopiesAZoneAndFollowsPlans runs NSD as a secondary: it must take the zone, hear of a new
// plan, and take that incrementally or whole.
func TestNSDCopiesAZoneAndFollowsPlans(t *testing.T) {
	program := peer(t, "nsd")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cfg := transferConfig(t)
	k, err := dnssec.Generate("orders.proa.test.", dnssec.ECDSAP256, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Signing.Keys = []dnssec.Key{k}
	cfg.Transfers[0].Notify = []string{fmt.Sprintf("127.0.0.1:%d", port)}
	s, addr := serve(t, cfg)
	primary := strings.Replace(addr, ":", "@", 1)
	conf := fmt.Sprintf("server:\n ip-address: 127.0.0.1\n port: %d\n username: \"\"\n server-count: 1\n zonesdir: %q\n"+
		" database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonelistfile: %q\n xfrdir: %q\nremote-control:\n control-enable: no\n"+
		"key:\n name: copy.key\n algorithm: hmac-sha256\n secret: %q\n"+
		"zone:\n name: orders.proa.test\n zonefile: orders.zone\n allow-notify: 127.0.0.1 copy.key\n request-xfr: %s copy.key\n",
		port, dir, filepath.Join(dir, "zone.list"), dir, transferSecret, primary)
	path := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, program, "-d", "-V", "2", "-c", path)
	wait := func(want string) {
		t.Helper()
		last := ""
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
			q.SetEdns0(1232, true)
			res, _, err := new(mdns.Client).ExchangeContext(t.Context(), q, fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue
			}
			if last = res.String(); strings.Contains(last, "\t"+want+"\n") {
				checkSecondary(t, res, keysOf(t, s.Current(), "orders.proa.test."))
				return
			}
		}
		t.Fatalf("the secondary never answered %s, but\n%s", want, last)
	}
	wait("127.0.64.1")
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	wait("127.0.64.2")
}

// checkSecondary verifies the secondary's answer by our keys.
func checkSecondary(t *testing.T, res *mdns.Msg, keys []*mdns.DNSKEY) {
	t.Helper()
	var set []mdns.RR
	var sig *mdns.RRSIG
	for _, rr := range res.Answer {
		if s, ok := rr.(*mdns.RRSIG); ok {
			sig = s
			continue
		}
		set = append(set, rr)
	}
	if sig == nil {
		t.Fatalf("unsigned: %v", res)
	}
	if err := sig.Verify(keys[0], set); err != nil {
		t.Error(err)
	}
}
