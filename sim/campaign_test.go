package sim

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// campaign is a short one, of the same histories each time.
func campaign(seeds uint64, out io.Writer) Campaign {
	return Campaign{First: 1, Seeds: seeds, Workers: runtime.GOMAXPROCS(0), Out: out}
}

func TestPromisesHold(t *testing.T) {
	seeds := uint64(6000)
	if testing.Short() {
		seeds = 500
	}
	var out strings.Builder
	if err := campaign(seeds, &out).Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestPlantedBugIsFound(t *testing.T) {
	for _, bug := range []Bug{BugUnconditional, BugNoJournal, BugForeignIsEcho} {
		var out strings.Builder
		c := campaign(5000, &out)
		c.Bug, c.Whole = bug.String(), true
		if err := c.Run(t.Context()); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v, want ErrFailed", bug, err)
		}
		if want := "BUG=\"" + bug.String(); !strings.Contains(out.String(), want) {
			t.Errorf("%s: no command that replays it in:\n%s", bug, out.String())
		}
	}
}

// A seed is a history: whatever is drawn comes from it alone.
func TestSameSeedSameHistory(t *testing.T) {
	for seed := range uint64(200) {
		a, b := Generate(seed).Play(NoBug, true), Generate(seed).Play(NoBug, true)
		if a.Trace != b.Trace || a.Reach != b.Reach {
			t.Fatalf("seed %d: two histories:\n%s\n%s", seed, a.Trace, b.Trace)
		}
	}
}

// What is left of a failing history still breaks the same promise, and needs all that is left.
func TestShrunkHistoryFailsTheSame(t *testing.T) {
	bug := BugUnconditional
	for seed := range uint64(2000) {
		var want, got *Failure
		if !errors.As(Run(seed, bug).Err, &want) {
			continue
		}
		p := Generate(seed).Shrink(bug)
		if !errors.As(p.Play(bug, false).Err, &got) || got.Check != want.Check {
			t.Fatalf("seed %d: shrunk: %v, want %v", seed, got, want)
		}
		if n := len(Generate(seed).actions); len(p.actions) >= n {
			t.Errorf("seed %d: %d actions of %d", seed, len(p.actions), n)
		}
		return
	}
	t.Fatal("no history fails")
}

func TestRareSituationFailsACampaign(t *testing.T) {
	var out strings.Builder
	c := campaign(20, &out)
	c.Reach = 21
	if err := c.Run(t.Context()); !errors.Is(err, ErrFailed) {
		t.Errorf("%v, want ErrFailed", err)
	}
	if want := "in 0 histories only, want 21"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
}

func BenchmarkHistory(b *testing.B) {
	for i := range b.N {
		if r := Run(uint64(i)+1, NoBug); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
