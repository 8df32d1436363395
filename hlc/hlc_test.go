package hlc

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLogicalOverflowCarriesIntoMilliseconds(t *testing.T) {
	last := FromMS(41) | 0xffff
	if next := last.Next(); next != FromMS(42) || next.Logical() != 0 {
		t.Fatalf("got %v", next)
	}
	if end := ^Timestamp(0); end.Next() != end {
		t.Fatal("the last timestamp must stay")
	}
}

func TestTextSortsAsTimestampsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Timestamp(rapid.Uint64().Draw(t, "a")), Timestamp(rapid.Uint64().Draw(t, "b"))
		if (a < b) != (a.String() < b.String()) {
			t.Fatalf("%v and %v", a, b)
		}
		if back, err := Parse(a.String()); err != nil || back != a {
			t.Fatalf("%v came back as %v, %v", a, back, err)
		}
	})
}

// The order of timestamps is the order of time, then of what happened within a millisecond; the next one
// is the least that comes after.
func TestNextIsTheLeastAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Timestamp(rapid.Uint64().Draw(t, "a")), Timestamp(rapid.Uint64().Draw(t, "b"))
		if next := a.Next(); a != ^Timestamp(0) && (next <= a || a < b && next > b) {
			t.Fatalf("after %v comes %v, not %v", a, next, b)
		}
		if (a.MS() < b.MS()) && a >= b || a.MS() == b.MS() && (a.Logical() < b.Logical()) != (a < b) {
			t.Fatalf("%v and %v are not in the order of time", a, b)
		}
		if !a.Time().Equal(At(a.Time()).Time()) {
			t.Fatalf("%v is not the time that it was made of", a)
		}
	})
}

func TestTimesOutsideTheRangeAreClamped(t *testing.T) {
	if At(time.Unix(-5, 0)) != 0 {
		t.Error("before the epoch")
	}
	if got := FromMS(1 << 60); got.MS() != 1<<48-1 {
		t.Errorf("after the end: %d", got.MS())
	}
	now := time.UnixMilli(1_790_000_000_123)
	if got := At(now).Time(); !got.Equal(now) {
		t.Errorf("got %v", got)
	}
}

func TestParseRefusesWhatStringDoesNotWrite(t *testing.T) {
	for _, s := range []string{"", "1", "00000000000000000", "000000000000000g", "+000000000000001"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
