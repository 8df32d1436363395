package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// zoneNames is how many names the compared zone has.
const zoneNames = 1000

// TestMain is also the measured server: the benchmark starts itself again.
func TestMain(m *testing.M) {
	if zone := os.Getenv("PROA_BENCH_ZONE"); zone != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err := serveSelf(ctx, zone, os.Getenv("PROA_BENCH_LISTEN"), os.Getenv("PROA_BENCH_KIND"))
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveSelf runs the name server with everything on that production has. Kind "live" makes every
// name follow the plan, "signed" signs the zone.
func serveSelf(ctx context.Context, file, listen, kind string) error {
	// A rate that is never reached: the table is kept and looked at for each reply.
	limit := dns.RateLimit{PerSecond: 1 << 30, Exempt: []netip.Prefix{}}
	cfg := dns.Config{
		Listen: []string{listen}, Workers: 1, NSID: "bench", RateLimit: limit,
		Logger: slog.New(slog.DiscardHandler), Plan: proa.Plan{Version: 1, Active: proa.AWS},
	}
	if kind != "live" {
		keys := ""
		if kind == "signed" {
			keys = filepath.Dir(file)
			k, err := dnssec.Generate("gslb.test.", dnssec.ECDSAP256, true, time.Now())
			if err != nil {
				return err
			}
			if err := k.Save(keys); err != nil {
				return err
			}
		}
		return dns.ServeZone(ctx, dns.ZoneFile{Path: file, Keys: keys}, cfg)
	}
	zone, err := dns.LoadZone(file)
	if err != nil {
		return err
	}
	cfg.Zones = []*dns.Zone{zone}
	for i := range zoneNames {
		r := dns.Record{
			Name: fmt.Sprintf("w%d.gslb.test", i), TTL: 30 * time.Second,
			Addresses: map[proa.Region][]netip.Addr{},
		}
		for _, region := range proa.Regions() {
			for k := range byte(2) {
				r.Addresses[region] = append(r.Addresses[region], netip.AddrFrom4([4]byte{192, 0, byte(i), k}),
					netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), k}))
			}
		}
		cfg.Records = append(cfg.Records, r)
	}
	s, err := dns.New(cfg)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // as ServeZone does
	debug.FreeOSMemory()
	return s.Run(ctx)
}

// writeZone writes the compared zone: 1,000 names of two IPv4 and two IPv6 addresses.
func writeZone(b *testing.B, path string) {
	b.Helper()
	var z strings.Builder
	z.WriteString("@ 30 SOA ns1 hostmaster 1 3600 600 604800 30\n@ 30 NS ns1\n@ 30 NS ns2\n" +
		"ns1 30 A 127.0.0.1\nns2 30 A 127.0.0.2\n")
	for i := range zoneNames {
		for k := range 2 {
			fmt.Fprintf(&z, "w%d 30 A 192.0.%d.%d\nw%d 30 AAAA 2001:db8:%x::%d\n", i, i%256, k, i, i, k)
		}
	}
	if err := os.WriteFile(path, []byte("$ORIGIN gslb.test.\n"+z.String()), 0o600); err != nil {
		b.Fatal(err)
	}
}

// server is one running name server.
type server struct {
	name    string
	address string
	cmd     *exec.Cmd
}

// start runs a program pinned to the second processor and waits until it answers.
func start(b *testing.B, name, address string, env []string, program string, args ...string) *server {
	b.Helper()
	if runtime.NumCPU() > 1 {
		args = append([]string{"-c", "1", program}, args...)
		program = "taskset"
	}
	s := &server{name: name, address: address, cmd: exec.Command(program, args...)}
	s.cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		_ = s.cmd.Wait() // it was interrupted
		_ = log.Close()
	})
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		q := new(mdns.Msg).SetQuestion("gslb.test.", mdns.TypeSOA)
		if _, _, err := new(mdns.Client).Exchange(q, address); err == nil {
			return s
		} else if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			b.Fatalf("%s does not answer: %v\n%s", name, err, text)
		}
	}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func startSelf(b *testing.B, name, zone, kind string) *server {
	b.Helper()
	address := freeAddress(b)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	return start(b, name, address, []string{
		"PROA_BENCH_ZONE=" + zone, "PROA_BENCH_LISTEN=" + address, "PROA_BENCH_KIND=" + kind, "GOMAXPROCS=1",
	}, self)
}

// need finds a peer's program, or skips the benchmark.
func need(b *testing.B, program string) string {
	b.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	b.Skip("there is no " + program + ": apt-get install gdnsd nsd")
	return ""
}

func startGdnsd(b *testing.B, zone string) *server {
	b.Helper()
	program, dir, address := need(b, "gdnsd"), b.TempDir(), freeAddress(b)
	text, err := os.ReadFile(zone)
	if err != nil {
		b.Fatal(err)
	}
	for _, sub := range []string{"zones", "run", "state"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	text = []byte(strings.TrimPrefix(string(text), "$ORIGIN gslb.test.\n"))
	config := fmt.Sprintf("options => {\n listen => [ %s ]\n udp_threads => 1\n tcp_threads => 1\n run_dir => %s/run\n state_dir => %s/state\n}\n",
		address, dir, dir)
	for path, data := range map[string][]byte{"zones/gslb.test": text, "config": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return start(b, "gdnsd", address, nil, program, "-c", dir, "start")
}

func startNSD(b *testing.B, zone string) *server {
	b.Helper()
	program, dir, address := need(b, "nsd"), b.TempDir(), freeAddress(b)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		b.Fatal(err)
	}
	config := fmt.Sprintf("server:\n ip-address: 127.0.0.1\n port: %s\n username: \"\"\n server-count: 1\n"+
		" database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonelistfile: %q\n xfrdir: %q\n minimal-responses: yes\n"+
		" rrl-ratelimit: 0\nremote-control:\n control-enable: no\nzone:\n name: gslb.test\n zonefile: %q\n",
		port, filepath.Join(dir, "zone.list"), dir, zone)
	path := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return start(b, "nsd", address, nil, program, "-d", "-c", path)
}

// family lists a process and all below it.
func family(pid int) []int {
	list := []int{pid}
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, p := range paths {
		text, _ := os.ReadFile(p)
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, family(child)...)
			}
		}
	}
	return list
}

// cpu is the time that the server has spent on a processor.
func (s *server) cpu(b *testing.B) time.Duration {
	b.Helper()
	var total time.Duration
	for _, pid := range family(s.cmd.Process.Pid) {
		paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, p := range paths {
			text, err := os.ReadFile(p)
			if err != nil {
				continue // the thread ended
			}
			ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			total += time.Duration(ns)
		}
	}
	return total
}

// memory is a line of the server's status, in MiB.
func (s *server) memory(b *testing.B, line string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal("no " + line)
	return 0
}
