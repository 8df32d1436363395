package faults

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/netfault"
)

func TestWhatIsWrittenIsInForceAfterSettle(t *testing.T) {
	dir := t.TempDir()
	s := Open(Path(dir))
	if (s.Now() != Set{}) {
		t.Fatal("something is wrong without a file")
	}
	want := Set{OffsetMS: -1500, ErrorRate: 1, ThrottleRate: 1, Gateway: netfault.Conditions{Latency: time.Second, CutTo: true}}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	time.Sleep(Settle)
	if got := s.Now(); got != want || !s.Fails() || !s.Throttles() || s.Gateway() != want.Gateway {
		t.Errorf("got %+v", got)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := s.Clock(func() time.Time { return at })(); !got.Equal(at.Add(-1500 * time.Millisecond)) {
		t.Errorf("the clock says %s", got)
	}
	if err := Write(dir, Set{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(Path(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty set left its file")
	}
	time.Sleep(Settle)
	if (s.Now() != Set{}) {
		t.Error("still in force")
	}
	if err := Write(dir, Set{}); err != nil {
		t.Errorf("a second end: %v", err)
	}
}

func TestNoSourceAndADamagedFileAreNoFaults(t *testing.T) {
	s := Open("")
	if s.Fails() || s.Throttles() || (s.Now() != Set{}) || s.Clock(time.Now)().Before(time.Now().Add(-time.Minute)) {
		t.Error("the nil source has faults")
	}
	dir := t.TempDir()
	for _, text := range []string{"", "{", `{"error_rate": 7}`, `{"offset_ms": 99999999999}`} {
		if err := os.WriteFile(Path(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Open(Path(dir)).Now(); got != (Set{}) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestOutOfRangeIsRefused(t *testing.T) {
	for _, s := range []Set{
		{OffsetMS: 3_600_001},
		{OffsetMS: -3_600_001},
		{ErrorRate: 1.01},
		{ErrorRate: -1},
		{ThrottleRate: 2},
		{Gateway: netfault.Conditions{Latency: -1}},
	} {
		if err := Write(t.TempDir(), s); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
