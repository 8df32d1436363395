package dnssec

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// timeFields are the times' names in a key's file.
var timeFields = []string{
	"Created", "Publish", "Activate", "Inactive", "Delete", "SyncPublish", "SyncDelete",
}

const timeLayout = "20060102150405"

// at returns the fields in the order of timeFields.
func (t *Times) at() []*time.Time {
	return []*time.Time{
		&t.Created, &t.Publish, &t.Activate, &t.Inactive, &t.Delete, &t.SyncPublish, &t.SyncDelete,
	}
}

func (t Times) text(prefix string) string {
	var b strings.Builder
	for i, at := range t.at() {
		if !at.IsZero() {
			fmt.Fprintf(&b, "%s%s: %s\n", prefix, timeFields[i], at.UTC().Format(timeLayout))
		}
	}
	return b.String()
}

// parseTimes reads "Field: 20060102150405" lines. A key without times is in use.
func parseTimes(lines []string) (Times, error) {
	var t Times
	for _, line := range lines {
		field, value, _ := strings.Cut(line, ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		at, err := time.Parse(timeLayout, value)
		if err != nil {
			return t, fmt.Errorf("%s: %w: %w", field, proa.ErrInvalidConfig, err)
		}
		for i, name := range timeFields {
			if name == field {
				*t.at()[i] = at
			}
		}
	}
	if t.Publish.IsZero() && t.Activate.IsZero() {
		t.Publish = time.Unix(0, 0).UTC()
		t.Activate, t.SyncPublish = t.Publish, t.Publish
	}
	return t, nil
}

// between reports from <= now < to; a zero from is never, a zero to is for ever.
func between(from, to, now time.Time) bool {
	return !from.IsZero() && !now.Before(from) && (to.IsZero() || now.Before(to))
}

// Published reports whether the key is in the zone.
func (k Key) Published(now time.Time) bool { return between(k.Times.Publish, k.Times.Delete, now) }

// Active reports whether the key signs.
func (k Key) Active(now time.Time) bool { return between(k.Times.Activate, k.Times.Inactive, now) }

// Synced reports whether CDS and CDNSKEY ask the parent for the key.
func (k Key) Synced(now time.Time) bool {
	return k.Entry && between(k.Times.SyncPublish, k.Times.SyncDelete, now)
}

// nextChange returns the first time after now at which any key changes its part, zero for none.
func nextChange(keys []Key, now time.Time) time.Time {
	var next time.Time
	for _, k := range keys {
		for _, at := range k.Times.at()[1:] {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = *at
			}
		}
	}
	return next
}

// Timing is what a roll-over waits for.
type Timing struct {
	// KeyTTL is how long resolvers keep the zone's keys, and DataTTL its longest-lived records.
	KeyTTL, DataTTL time.Duration
	// DSTTL is how long resolvers keep the parent's DS.
	DSTTL time.Duration
	// Propagation is added to each wait: for secondaries, slow clocks, and an hour of sleep.
	Propagation time.Duration
}

// Succeed plans a roll-over from a key to a fresh one of the same kind and algorithm. The fresh key
// is published at once and signs once every cached set of keys has it. The parent is asked for it
// from then on; the old key stays until Retire.
func Succeed(old, fresh Key, now time.Time, t Timing) (Key, Key) {
	active := now.Add(t.KeyTTL + t.Propagation).UTC().Truncate(time.Second)
	fresh.Times.Publish, fresh.Times.Activate = now.UTC().Truncate(time.Second), active
	fresh.Times.SyncPublish = time.Time{}
	if fresh.Entry {
		fresh.Times.SyncPublish, old.Times.SyncDelete = active, active
		return old, fresh // the parent decides when the old one may go
	}
	old.Times.Inactive = active
	old.Times.Delete = active.Add(t.DataTTL + t.Propagation)
	return old, fresh
}

// SucceedAlgorithm plans a roll-over to a key of another algorithm: its signatures come first, the
// key once no cache holds data without them, and only then is the parent asked (RFC 6781 section
// 4.1.4). Both are entry keys.
func SucceedAlgorithm(old, fresh Key, now time.Time, t Timing) (Key, Key) {
	now = now.UTC().Truncate(time.Second)
	fresh.Times.Activate = now
	fresh.Times.Publish = now.Add(t.DataTTL + t.Propagation)
	fresh.Times.SyncPublish = fresh.Times.Publish.Add(t.KeyTTL + t.Propagation)
	old.Times.SyncDelete = fresh.Times.SyncPublish
	return old, fresh
}

// Retire ends a key whose successor's DS was seen in the parent zone at a time: once no resolver
// can hold the old DS, nor anything that the old key signed.
func Retire(old, fresh Key, seen time.Time, t Timing) Key {
	gone := seen.Add(t.DSTTL + t.Propagation)
	if last := fresh.Times.Activate.Add(t.DataTTL + t.Propagation); gone.Before(last) {
		gone = last
	}
	if old.Algorithm != fresh.Algorithm { // its signatures stay as long as its key may be known
		old.Times.Delete = gone.UTC().Truncate(time.Second)
		old.Times.Inactive = old.Times.Delete.Add(t.KeyTTL + t.Propagation)
		return old
	}
	old.Times.Inactive = gone.UTC().Truncate(time.Second)
	old.Times.Delete = old.Times.Inactive.Add(t.KeyTTL + t.Propagation)
	return old
}
