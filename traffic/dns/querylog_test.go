package dns

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

func TestQueriesAreLoggedWhereItIsAskedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	cfg := demoConfig(t)
	cfg.QueryLog = QueryLog{Path: path}
	cfg.Clock = func() time.Time { return signedAt }
	_, addr := serve(t, cfg)
	for _, name := range []string{"orders.proa.test", "tab\\009in.orders.proa.test"} {
		_, _ = Exchange(t.Context(), addr, name, mdns.TypeA)
	}
	want := []string{
		"2026-11-24T12:00:00Z\t127.0.0.1\tudp\torders.proa.test.\tA\tNOERROR\t61",
		"2026-11-24T12:00:00Z\t127.0.0.1\tudp\ttab\\009in.orders.proa.test.\tA\tNXDOMAIN\t",
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) == 3 && strings.HasPrefix(lines[0], want[0]) && strings.HasPrefix(lines[1], want[1]) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the log is\n%s", text)
		}
	}
}

func TestAQueryLogThatCannotBeOpenedIsRefusedAtStart(t *testing.T) {
	cfg := demoConfig(t)
	cfg.QueryLog = QueryLog{Path: filepath.Join(t.TempDir(), "missing", "queries.log")}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var told *proa.Error
	if err := s.Bind(); !errors.Is(err, os.ErrNotExist) || !errors.As(err, &told) || !strings.Contains(told.Hint, "dns.query_log") {
		t.Errorf("%v, want one that says what to do", err)
	}
	if len(s.Addrs()) > 0 {
		t.Errorf("%v are held after the refusal", s.Addrs())
	}
}

func TestQueryLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	l, err := newQueryLog(QueryLog{Path: path, MaxBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	msg := rawQuery(t, "example.test.", mdns.TypeA, false, nil)
	from := newClient(netip.MustParseAddr("192.0.2.1"), 1, overTCP)
	for range logQueue + 10 { // nobody writes
		l.add(msg, &from, 0, mdns.TypeA, 40)
	}
	if got := l.lost.Load(); got != 10 {
		t.Errorf("%d are counted as lost, want 10", got)
	}
	f := &logFile{cfg: l.cfg}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		e := <-l.queue
		if err := f.write(e.appendTo(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		if info, err := os.Stat(p); err != nil || info.Size() > 4096 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	if n := testing.AllocsPerRun(10, func() { l.add(msg, &from, 0, mdns.TypeA, 40) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}
