package journey

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

const fencingConfig = `
traffic:
  drain: true
  fence:
    exec: [sh, -c, 'echo $PROA_EVENT $PROA_REGION >> %s']
tables:
  - name: orders
    database: proa
    hash: {name: id, type: S}
    fencing: hook
`

// TestOneWriterIsFencedAtEachMove moves a table with one writer under load, as planned and by a failover. At no time do both
// regions acknowledge, the planned move loses nothing, and the hook is told of both moves.
func TestOneWriterIsFencedAtEachMove(t *testing.T) {
	dir := t.TempDir()
	file, told := filepath.Join(dir, "proa.yaml"), filepath.Join(dir, "told")
	if err := os.WriteFile(file, fmt.Appendf(nil, fencingConfig, told), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startWith(t, proc.Binary(t), filepath.Join(dir, "proa"), file)
	s.settled(t)
	st := s.status()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(st.Regions["aws"].Gateway, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	l := &load{server: st.DNS[0], zone: st.Zone, port: port, rate: 40, prefix: "fenced"}
	stop := l.start()
	defer stop()
	serves := func(region string, since time.Time) {
		t.Helper()
		proc.Until(t, 20*time.Second, "orders in "+region, func() error {
			if len(acked(l.snapshot(), region, since, time.Now())) < 20 {
				return errors.New("too few")
			}
			return nil
		})
	}
	serves("aws", time.Time{})
	moved := time.Now()
	s.Proa("switchover", "azure", "--reason", "a test")
	t.Logf("switchover with drain, fence and hook: %s", time.Since(moved).Round(10*time.Millisecond))
	serves("azure", moved)
	refused := func(region string) {
		t.Helper()
		code, _, body, err := request(t.Context(), "POST", st.Regions[region].Gateway+"/orders", []byte(`{"id":"both","item":"oar"}`), "application/json")
		if err != nil || code != 421 {
			t.Errorf("a write in %s, which does not serve: %d %v %s", region, code, err, body)
		}
	}
	refused("aws")
	atAzure := time.Now()
	s.oneWriter(t, l.snapshot())
	stop()
	s.lost(t, l.snapshot())

	l2 := &load{server: st.DNS[0], zone: st.Zone, port: port, rate: 40, prefix: "after"}
	stop2 := l2.start()
	defer stop2()
	proc.Until(t, 20*time.Second, "orders in azure", func() error {
		if len(acked(l2.snapshot(), "azure", atAzure, time.Now())) < 20 {
			return errors.New("too few")
		}
		return nil
	})
	killed := time.Now()
	s.Proa("kill", "azure")
	proc.Until(t, 20*time.Second, "orders in aws", func() error {
		if len(acked(l2.snapshot(), "aws", killed, time.Now())) < 20 {
			return errors.New("too few")
		}
		return nil
	})
	first := acked(l2.snapshot(), "aws", killed, time.Now())[0]
	t.Logf("kill azure → first order in aws: %s", first.done.Sub(killed).Round(10*time.Millisecond))
	stop2()
	s.oneWriter(t, l2.snapshot())
	proc.Until(t, 20*time.Second, "the hook to be told", func() error {
		data, err := os.ReadFile(told)
		lines := strings.Fields(strings.ReplaceAll(string(data), " ", ":"))
		for _, want := range []string{"fence:aws", "allow:azure", "fence:azure", "allow:aws"} {
			if !slices.Contains(lines, want) {
				return fmt.Errorf("not told %s: %v %w", want, lines, err)
			}
		}
		return nil
	})
}

// oneWriter checks that no region acknowledged a write after another one had begun to.
func (s *system) oneWriter(t *testing.T, writes []write) {
	t.Helper()
	slices.SortFunc(writes, func(a, b write) int { return a.done.Compare(b.done) })
	seen, last := []string{}, ""
	for _, w := range writes {
		if !w.acked || w.region == last {
			continue
		}
		if slices.Contains(seen, w.region) {
			t.Errorf("%s acknowledged %s after %s had begun to", w.region, w.id, last)
		}
		seen, last = append(seen, w.region), w.region
	}
	if len(seen) != 2 {
		t.Errorf("acknowledged by %v, want two regions", seen)
	}
}

// lost checks that every acknowledged order is in both regions.
func (s *system) lost(t *testing.T, writes []write) {
	t.Helper()
	v, n := s.vendors(), 0
	for _, w := range writes {
		if !w.acked {
			continue
		}
		n++
		proc.Until(t, 20*time.Second, w.id+" in both regions", func() error {
			item, err := v.dynamoGet(t.Context(), w.id)
			if err != nil || item == nil {
				return fmt.Errorf("aws: %v %w", item, err)
			}
			doc, err := v.cosmosGet(t.Context(), w.id)
			if err != nil || doc == nil {
				return fmt.Errorf("azure: %v %w", doc, err)
			}
			return nil
		})
	}
	t.Logf("%d orders were acknowledged, 0 lost", n)
}
