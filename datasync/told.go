package datasync

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/hlc"
)

// heardMargin is how much older than the predecessor's place in a feed a writer's own stamp may be and
// the write still be one that the predecessor has not met: clocks differ, and a feed shows writes late.
const heardMargin = time.Minute

// heardName is the checkpoint that keeps when a predecessor's place in a feed was kept. It goes with the
// feed's own.
func (t *table) heardName(r proa.Region) string {
	return "feed/heard/" + string(r) + "/" + t.schema.Table
}

// recallHeard takes from the disk up to when a predecessor has heard a side.
func (t *table) recallHeard() error {
	for _, sd := range t.sides {
		cp, err := t.store.Checkpoint(t.heardName(sd.region))
		if err != nil {
			return err
		}
		sd.hear(cp)
	}
	return nil
}

func (sd *side) hear(cp shadow.Checkpoint) {
	if !cp.At.IsZero() {
		sd.heard.Store(cp.At.UnixNano())
	}
}

// toldBefore reports whether a write that a shadow index which was begun anew has met at its envelope's
// word has been told to subscribers by a predecessor: those that data sync itself has stored, and a
// writer's own from before the predecessor's place in the feed. Any other one is told: rather twice than
// never. A receiver knows it again by its id.
func (t *table) toldBefore(o resolve.Append, in resolve.Input) bool {
	e := o.Image.Envelope
	if t.rules.Born.IsZero() || e == nil || e.Version != o.Version {
		return false
	}
	switch in.(type) {
	case resolve.Captured:
		return e.Write != 0
	case resolve.Observed:
		if e.Write != 0 {
			return true
		}
		heard := t.sides[resolve.Index(o.Region)].heard.Load()
		return heard != 0 && e.Version.Time < hlc.At(time.Unix(0, heard).Add(-heardMargin))
	}
	return false
}
