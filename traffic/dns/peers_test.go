package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// peer finds another implementation's program, or skips the test.
func peer(t *testing.T, program string) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") == "" {
		t.Skip("set PROA_PEERS=1 to compare with " + program + " (Debian: bind9-dnsutils, nsd)")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("PROA_PEERS is set but there is no %s: %v", program, err)
	}
	return path
}

func TestDigUnderstandsEveryAnswer(t *testing.T) {
	dig := peer(t, "dig")
	s, addr := serve(t, demoConfig(t))
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"orders.proa.test A", []string{"status: NOERROR", "flags: qr aa", "127.0.64.1", "udp: 1232"}},
		{"+tcp orders.proa.test A", []string{"status: NOERROR", "127.0.64.1", "(TCP)"}},
		{"orders.proa.test TXT", []string{`"active=aws" "version=1"`}},
		{"orders.proa.test SOA", []string{"ns1.orders.proa.test. hostmaster.orders.proa.test. 1 "}},
		{"orders.proa.test AAAA", []string{"status: NOERROR", "ANSWER: 0", "AUTHORITY: 1"}},
		{"nope.orders.proa.test A", []string{"status: NXDOMAIN", "SOA"}},
		{"+nsid orders.proa.test A", []string{`("node-1")`}},
		{"+edns=1 +noednsneg orders.proa.test A", []string{"status: BADVERS"}},
		{"+bufsize=512 +dnssec orders.proa.test A", []string{"flags: do", "127.0.64.1"}},
		{"+opcode=3 +noedns orders.proa.test A", []string{"status: NOTIMP"}},
		{"+notcp orders.proa.test ANY", []string{"RFC8482"}},
		{"example.com A", []string{"status: REFUSED"}},
		{"orders.proa.test AXFR", []string{"Transfer failed"}},
		{"-c CH version.bind TXT", []string{"status: REFUSED"}},
	} {
		args := append([]string{"@" + host, "-p", port, "+norec", "+tries=1", "+time=3"}, strings.Fields(c.args)...)
		out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
		if err != nil && !strings.Contains(c.args, "AXFR") {
			t.Errorf("%s: %v", c.args, err)
		}
		for _, want := range append(c.want, "") {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", c.args, want, out)
			}
		}
		for _, bad := range []string{"WARNING", "malformed", "extra bytes", "Warning"} {
			if strings.Contains(string(out), bad) {
				t.Errorf("%s: dig complains\n%s", c.args, out)
			}
		}
	}
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), dig, "@"+host, "-p", port, "+short", "orders.proa.test").Output()
	if err != nil || strings.TrimSpace(string(out)) != "127.0.64.2" {
		t.Errorf("after the failover: %q, %v", out, err)
	}
}

// startNSD serves zone files and returns the server's address.
func startNSD(t *testing.T, zones map[string]string) string {
	t.Helper()
	program := peer(t, "nsd")
	dir := t.TempDir()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	_ = probe.Close()
	var conf strings.Builder
	fmt.Fprintf(&conf, "server:\n ip-address: 127.0.0.1\n port: %d\n username: \"\"\n server-count: 1\n"+
		" zonesdir: %q\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonelistfile: %q\n xfrdir: %q\n"+
		" minimal-responses: yes\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n", port, dir, filepath.Join(dir, "zone.list"), dir)
	for origin, text := range zones {
		if err := os.WriteFile(filepath.Join(dir, origin+".zone"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&conf, "zone:\n name: %q\n zonefile: %q\n", origin, origin+".zone")
	}
	path := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, program, "-d", "-c", path)
	return awaitPeer(t, "nsd", port)
}

// startKnot serves zone files and returns the server's address.
func startKnot(t *testing.T, zones map[string]string) string {
	t.Helper()
	program := peer(t, "knotd")
	dir := t.TempDir()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	_ = probe.Close()
	var conf strings.Builder
	fmt.Fprintf(&conf, "server:\n  listen: 127.0.0.1@%d\n  rundir: %q\n  udp-workers: 1\n  tcp-workers: 1\n"+
		"database:\n  storage: %q\ntemplate:\n  - id: default\n    semantic-checks: off\n    zonefile-load: whole\n"+
		"    journal-content: none\nzone:\n", port, dir, dir)
	for origin, text := range zones {
		path := filepath.Join(dir, origin+".zone")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&conf, "  - domain: %s\n    file: %q\n", origin, path)
	}
	path := filepath.Join(dir, "knot.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, program, "-c", path)
	return awaitPeer(t, "knot", port)
}

// startPeer runs a program until the test has ended.
func startPeer(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was interrupted
		if t.Failed() {
			t.Log(out.String())
		}
	})
}

// awaitPeer waits until a peer answers for the first of the random zones.
func awaitPeer(t *testing.T, program string, port int) string {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		q := new(mdns.Msg).SetQuestion("z0.", mdns.TypeSOA)
		res, _, err := new(mdns.Client).ExchangeContext(t.Context(), q, addr)
		if err == nil && res.Rcode == mdns.RcodeSuccess {
			return addr
		}
	}
	t.Fatal(program + " does not answer")
	return ""
}

func TestServerAgreesWithNSD(t *testing.T) { compareServers(t, "nsd", startNSD) }

func TestServerAgreesWithKnot(t *testing.T) { compareServers(t, "knot", startKnot) }

// compareServers asks another server and ours the same of random zones.
func compareServers(t *testing.T, other string, start func(*testing.T, map[string]string) string) {
	t.Helper()
	const count = 60
	texts := map[string]string{}
	var zones []*Zone
	for seed := 0; len(zones) < count; seed++ {
		origin := fmt.Sprintf("z%d", len(zones))
		text := strings.ReplaceAll(rapid.Custom(randomZone).Example(seed), "z.", origin+".")
		z, err := ParseZone(strings.NewReader(text), origin, origin)
		if err != nil {
			continue
		}
		zones, texts[origin] = append(zones, z), text
	}
	addr := start(t, texts)
	snapshot, err := NewSnapshot(zones...)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	labels := []string{"a", "b", "c", "d", "e", "*", "ns"}
	kinds := []uint16{mdns.TypeA, mdns.TypeAAAA, mdns.TypeTXT, mdns.TypeMX, mdns.TypeCNAME, mdns.TypeNS, mdns.TypeSOA, mdns.TypeDS}
	client := &mdns.Client{Net: "udp", UDPSize: 4096}
	compared, refused := 0, 0
	for range 6000 {
		origin := fmt.Sprintf("z%d", rng.IntN(count))
		qname := origin + "."
		for range rng.IntN(5) {
			qname = labels[rng.IntN(len(labels))] + "." + qname
		}
		q := new(mdns.Msg).SetQuestion(qname, kinds[rng.IntN(len(kinds))])
		q.RecursionDesired = false
		want, _, err := client.ExchangeContext(t.Context(), q, addr)
		if err != nil {
			t.Fatal(err)
		}
		if want.Rcode == mdns.RcodeServerFailure {
			refused++ // it did not load the zone
			continue
		}
		got := ask(t, snapshot, q, true)
		if len(want.Answer) > 0 && want.Rcode == mdns.RcodeSuccess && len(got.Ns) == 0 {
			want.Ns, want.Extra = nil, nil
		}
		compared++
		if diff := cmp.Diff(summary(want), summary(got)); diff != "" {
			t.Errorf("%s %s (-%s +proa)\n%s\nzone:\n%s", qname, mdns.Type(q.Question[0].Qtype), other, diff, texts[origin])
			if compared > 10 && t.Failed() {
				return
			}
		}
	}
	t.Logf("%d queries compared, %d in zones that %s refuses", compared, refused, other)
	if compared < 3000 {
		t.Errorf("only %d queries could be compared", compared)
	}
}
