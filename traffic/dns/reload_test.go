package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// lockedLog is a log that a test reads while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func reloadZone(serial int, address string) string {
	return fmt.Sprintf("@ 60 IN SOA ns1 hostmaster %d 14400 3600 1209600 60\n@ 60 IN NS ns1\n"+
		"ns1 60 IN A 192.0.2.1\nwww 60 IN A %s\n", serial, address)
}

func TestZoneFileIsLoadedAgainAndABadOneIsNot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "example.test.zone")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(reloadZone(1, "192.0.2.10"))
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.Addr().String()
	_ = probe.Close()
	log, hup := &lockedLog{}, make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ServeZone(ctx, ZoneFile{Path: file, Reload: hup}, Config{
			Listen: []string{addr}, Workers: 1, Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	www := func() string {
		reply, err := mdns.Exchange(new(mdns.Msg).SetQuestion("www.example.test.", mdns.TypeA), addr)
		if err != nil || len(reply.Answer) != 1 {
			return ""
		}
		return reply.Answer[0].(*mdns.A).A.String()
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for range 1000 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("never: %s\n%s", what, log)
	}
	await("the first zone", func() bool { return www() == "192.0.2.10" })
	write(reloadZone(2, "192.0.2.20"))
	await("the change", func() bool { return www() == "192.0.2.20" })
	write(reloadZone(3, "192.0.2.300"))
	await("a complaint", func() bool { return strings.Contains(log.String(), "example.test.zone:4:") })
	write(reloadZone(1, "192.0.2.40")) // the serial goes back
	hup <- syscall.SIGHUP
	await("a refusal", func() bool { return strings.Contains(log.String(), "serial 1 is behind 2") })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	hup <- syscall.SIGHUP
	await("a complaint", func() bool { return strings.Contains(log.String(), "no such file") })
	if got := www(); got != "192.0.2.20" {
		t.Errorf("after bad files: %q", got)
	}
	write(reloadZone(4, "192.0.2.50"))
	hup <- syscall.SIGHUP
	await("the repair", func() bool { return www() == "192.0.2.50" })
}

func TestReloadKeepsTheZones(t *testing.T) {
	s, _ := serve(t, demoConfig(t))
	other, err := NewZone("other.test.", "other.test. 60 IN SOA ns.x. h.x. 1 14400 3600 1209600 60",
		"other.test. 60 IN NS ns.x.")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload([]*Zone{other}); !errors.Is(err, proa.ErrInvalidConfig) {
		t.Errorf("%v", err)
	}
}

// TestSnapshotsDoNotHoldZonesThatNobodyReadsAgain: a million names would cost twice the memory.
func TestSnapshotsDoNotHoldZonesThatNobodyReadsAgain(t *testing.T) {
	zone := func(serial string) *Zone {
		t.Helper()
		z, err := NewZone("big.test", "@ 60 SOA ns h "+serial+" 1 1 1 30", "@ 60 NS ns", "ns 60 A 192.0.2.1", "www 60 A 192.0.2.2")
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}, Zones: []*Zone{zone("1")}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, v := range s.Current().views {
			if !v.zone.lean {
				t.Errorf("the snapshot of serial %d holds the zone's %d owners", v.zone.Serial, len(v.zone.owners))
			}
		}
		expect(t, s, "www.big.test.", "A", "NOERROR aa\nanswer www.big.test. 60 IN A 192.0.2.2")
		if err := s.Reload([]*Zone{zone("2")}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestACompileHoldsNoPlanBack: zones of hundreds of thousands of names take seconds, in which plans change and a node
// must go on renewing its lease.
func TestACompileHoldsNoPlanBack(t *testing.T) {
	t.Parallel()
	cfg := demoConfig(t)
	var compiling atomic.Bool // the next look at the clock is a compile's, and takes long
	begun, end := make(chan struct{}), make(chan struct{})
	cfg.Clock = func() time.Time {
		if compiling.CompareAndSwap(true, false) {
			close(begun)
			<-end
		}
		return signedAt
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	compiling.Store(true)
	replaced := make(chan error, 1)
	go func() { replaced <- s.Reload(cfg.Zones) }()
	<-begun
	done := make(chan error, 1)
	go func() {
		plan := cfg.Plan
		plan.Version++
		done <- errors.Join(s.Isolate(false), s.Isolate(true), s.Apply(plan), s.Isolate(false))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a plan waits for a compile")
	}
	close(end)
	if err := <-replaced; err != nil {
		t.Error(err)
	}
	if got := s.current.Load().Plan.Version; got != cfg.Plan.Version+1 {
		t.Errorf("plan %d is served after the reload, want the one that came meanwhile", got)
	}
}
