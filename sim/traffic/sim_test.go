package trafficsim

import (
	"bytes"
	"testing"
)

// TestSchedulesHold plays the first few hundred schedules; make sim-traffic plays many.
func TestSchedulesHold(t *testing.T) {
	var out bytes.Buffer
	c := Campaign{First: 1, Seeds: 400, Workers: Cores(), Out: &out}
	reach, played, failed := c.play(NoBug)
	if failed != 0 {
		_ = c.Replay(failed) // the failure is what is reported
		t.Fatalf("a promise was broken:\n%s", out.String())
	}
	for i, n := range reach {
		if n == 0 {
			t.Errorf("%d schedules, and no %s", played, reachNames[i])
		}
	}
}

func TestPlantedBugsAreFound(t *testing.T) {
	var out bytes.Buffer
	if err := (Campaign{First: 1, Seeds: 4000, Workers: Cores(), Out: &out}).FindBugs(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestAScheduleIsItsSeed(t *testing.T) {
	for seed := uint64(1); seed < 20; seed++ {
		var first, again bytes.Buffer
		_ = Campaign{Out: &first}.Replay(seed) // what is compared is what is told
		_ = Campaign{Out: &again}.Replay(seed)
		if first.String() != again.String() {
			t.Fatalf("seed %d plays differently:\n%s\n%s", seed, first.String(), again.String())
		}
	}
}

func BenchmarkSchedule(b *testing.B) {
	seed := uint64(0)
	for b.Loop() {
		seed++
		if _, err := Run(seed, NoBug, nil); err != nil {
			b.Fatalf("seed %d: %v", seed, err)
		}
	}
}
