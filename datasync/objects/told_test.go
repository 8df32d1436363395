package objects

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// told returns the names of objects in the log, sorted.
func (p *pair) told() []string {
	p.t.Helper()
	events, _, err := p.store.Log.Read(0, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	names := []string{}
	for _, e := range events {
		names = append(names, e.Object)
	}
	slices.Sort(names)
	return names
}

// A shadow index that is begun anew tells what its predecessor cannot have met, and not the whole bucket once more.
func TestAHandOverTellsWhatChangedAndNotTheBucket(t *testing.T) {
	p := newPair(t)
	age := time.Hour
	clock := func() time.Time { return time.Now().Add(-age) }
	p.s3.now, p.blob.now = clock, clock
	p.s3.putAll(numbered(0, 20, "x"))
	p.blob.putAll(numbered(0, 20, "x"))
	p.s3.put("alone", "x", nil) // met, and not copied yet
	heard := map[proa.Region]time.Time{}
	p.prepare = func(s *shadow.Store) error {
		r, err := New(Bucket{Name: "attachments", Sides: map[proa.Region]cloud.Bucket{proa.AWS: p.s3, proa.Azure: p.blob}},
			s, time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		for region, at := range heard {
			if err := r.Heard(region, at); err != nil {
				return err
			}
		}
		return nil
	}
	p.start()
	p.settled()
	if n := len(p.told()); n != 21 {
		t.Errorf("%d events where nobody knows how far the predecessor came, want 21", n)
	}
	p.loseDisk()
	age = 0
	p.s3.put("new", "x", nil)
	heard[proa.AWS], heard[proa.Azure] = time.Now(), time.Now()
	p.start()
	p.settled()
	if diff := cmp.Diff([]string{"new"}, slices.Compact(p.told())); diff != "" {
		t.Errorf("the new owner tells: %s", diff)
	}
	p.s3.put("alone", "y", nil)
	p.settled()
	wait(t, "a change to be told", func() bool { return slices.Contains(p.told(), "alone") })
	if p.r.Captured() == 0 {
		t.Error("nothing was captured")
	}
	p.stop()
	heard[proa.AWS] = time.Now().Add(time.Hour) // of no use to an index that knows the side
	p.start()
	p.settled()
	p.s3.put("late", "x", nil)
	wait(t, "a new one to be told", func() bool { return slices.Contains(p.told(), "late") })
}
