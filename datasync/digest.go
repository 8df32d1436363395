package datasync

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/datasync/verify"
)

// buildDigests builds the digests of all tables after a start. A step of it holds the store for
// about a millisecond.
func (s *Service) buildDigests(ctx context.Context) error {
	for _, t := range s.tables() {
		for ctx.Err() == nil {
			done, err := s.store.BuildDigest(t.schema.Table)
			if err != nil {
				return err
			}
			if done {
				break
			}
			if sleep(ctx, time.Millisecond, nil) != nil {
				return nil //nolint:nilerr // the end of ctx
			}
		}
	}
	return nil
}

// Compare compares both sides by the digests that are kept during normal work: what the feeds have
// shown and what our writes have left. It reads no cloud and takes milliseconds, more where keys
// differ that nothing is under way for. It cannot see what a feed has missed: that is what Verify
// reads the sides for. Through is the moment up to which both feeds have been read. It fails with
// proa.ErrUnavailable while the digests are being built or a feed has never been read.
func (s *Service) Compare() (verify.Result, error) {
	if err := s.mustOwn("compare"); err != nil {
		return verify.Result{}, err
	}
	began := s.clock.now()
	res := verify.Result{Through: began}
	for _, t := range s.tables() {
		if err := t.compareDigests(&res); err != nil {
			return res, err
		}
	}
	for _, b := range s.buckets() {
		res.Objects += b.Objects()
		for _, r := range proa.Regions() {
			d := b.Direction(r)
			res.InFlight += int64(d.Backlog)
			if d.Through.Before(res.Through) {
				res.Through = d.Through
			}
		}
	}
	res.Took = s.clock.now().Sub(began).Seconds()
	return res, nil
}

// The bounds of a comparison that is made for a status line: how old it may be, and how many
// waiting keys it looks at one by one. Where more wait, all of them count as in flight.
const (
	lineAge  = time.Second
	lineKeys = 256
)

// Line is Compare for a status line: it may be a second old, and costs next to nothing however much
// waits.
func (s *Service) Line() (verify.Result, error) {
	s.mu.Lock()
	line := s.line
	s.mu.Unlock()
	if line != nil && s.clock.now().Sub(line.at) < lineAge {
		return line.result, nil
	}
	waiting := 0
	for _, t := range s.tables() {
		for _, r := range proa.Regions() {
			d := s.store.Depth(t.schema.Table, r)
			waiting += d.Ready + d.Delayed + d.InFlight + d.Parked
		}
	}
	var res verify.Result
	var err error
	if waiting <= lineKeys {
		res, err = s.Compare()
	} else {
		res, err = s.busy(waiting)
	}
	if err != nil {
		return res, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = &statusLine{res, s.clock.now()}
	return res, nil
}

// statusLine is the last status line.
type statusLine struct {
	result verify.Result
	at     time.Time
}

// busy is a comparison that takes all that waits for in flight.
func (s *Service) busy(waiting int) (verify.Result, error) {
	res := verify.Result{Through: s.clock.now(), InFlight: int64(waiting)}
	for _, t := range s.tables() {
		for _, sd := range t.sides {
			if fresh := sd.freshness(); fresh.Before(res.Through) {
				res.Through = fresh
			}
		}
		c := t.store.CompareDigests(t.schema.Table)
		if !c.Ready {
			return res, t.building()
		}
		res.Keys += c.Keys
	}
	for _, b := range s.buckets() {
		res.Objects += b.Objects()
	}
	return res, nil
}

func (t *table) building() error {
	return fmt.Errorf("compare: the digest of %s is being built: %w", t.schema.Table,
		proa.ErrUnavailable)
}

func (t *table) compareDigests(res *verify.Result) error {
	for _, sd := range t.sides {
		fresh := sd.freshness()
		if fresh.IsZero() {
			return fmt.Errorf("compare: the change feed of %s at %s has not been read yet: %w",
				t.schema.Table, sd.region, proa.ErrUnavailable)
		}
		if fresh.Before(res.Through) {
			res.Through = fresh
		}
	}
	c := t.store.CompareDigests(t.schema.Table)
	if !c.Ready {
		return t.building()
	}
	res.Keys += c.Keys
	if len(c.Differing) == 0 {
		return nil
	}
	e := explanation{t: t, differing: c.Differing, res: res, seen: map[string]bool{}}
	for _, side := range proa.Regions() {
		var keys []proa.Key
		err := t.store.Pending(t.schema.Table, side, func(key proa.Key) bool {
			keys = append(keys, key)
			return len(keys) < maxExplained
		})
		if err != nil {
			return err
		}
		if err := e.keys(keys); err != nil {
			return err
		}
	}
	return e.walk()
}

// maxExplained bounds the pending keys of one side that a comparison looks at one by one.
const maxExplained = 100_000

// explanation finds the keys that make buckets differ.
type explanation struct {
	t         *table
	differing map[uint16]verify.Sum
	res       *verify.Result
	seen      map[string]bool
}

// keys takes keys that wait for something.
func (e *explanation) keys(keys []proa.Key) error {
	for _, key := range keys {
		id := key.ID()
		if len(e.differing) == 0 {
			return nil
		}
		if e.seen[id] {
			continue
		}
		e.seen[id] = true
		err := e.t.store.View(key, func(st *resolve.State) { e.one(id, st) })
		if err != nil {
			return err
		}
	}
	return nil
}

// one counts a key that differs, if it does.
func (e *explanation) one(id string, st *resolve.State) {
	if st == nil {
		return
	}
	p := e.t.store.Part(id, st)
	if p.Equal() {
		return
	}
	verify.Explain(e.differing, p)
	waits := false
	for _, side := range proa.Regions() {
		due, _ := e.t.rules.Due(st, side)
		waits = waits || due || st.At(side).InFlight != 0
	}
	if waits {
		e.res.InFlight++
		return
	}
	e.res.Differ(e.t.difference(st))
}

// difference describes a key that differs and that nothing is under way for.
func (t *table) difference(st *resolve.State) verify.Difference {
	a, z := st.Sides[0].Current(), st.Sides[1].Current()
	d := verify.Difference{
		Table: st.Key.Table, Of: st.Key, Kind: verify.Content, Sides: map[proa.Region]proa.Version{},
	}
	d.Key, _ = t.stays.Logged(t.schema.Attributes(st.Key))
	switch {
	case a.Exists != z.Exists || a.Tombstone != z.Tombstone:
		d.Kind = verify.Missing
	case a.Hash == z.Hash:
		d.Kind = verify.Versions
	}
	for i, r := range proa.Regions() {
		sd := &st.Sides[i]
		if e := sd.Current().Stored; e != nil {
			d.Sides[r] = e.Version
		}
		switch {
		case sd.Poison != nil:
			d.Detail = "quarantined: " + sd.Poison.Reason
		case sd.Unfit != nil && d.Detail == "":
			d.Detail = "quarantined: " + sd.Unfit.Reason
		}
	}
	if st.Hold != nil && d.Detail == "" {
		d.Detail = "a conflict waits to be settled"
	}
	return d
}

// walk looks for what is not explained yet among all keys of the buckets that still differ. Keys
// that changed since the digests were compared may be met in either state: what is left over counts
// as in flight.
func (e *explanation) walk() error {
	after := ""
	for len(e.differing) > 0 {
		look := func(id string, st *resolve.State) error {
			p := e.t.store.Part(id, st)
			if _, ok := e.differing[p.Bucket]; ok && !e.seen[id] {
				e.seen[id] = true
				e.one(id, st)
			}
			return nil
		}
		next, err := e.t.store.Walk(e.t.schema.Table, after, 2000, look)
		if err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	e.res.InFlight += int64(len(e.differing))
	return nil
}

// scanRest is the pause between two looks at whether a full comparison is due.
const scanRest = 5 * time.Second

// fullScans compares both sides completely now and then, and has what differs repaired.
func (s *Service) fullScans(ctx context.Context) error {
	if s.cfg.FullScan <= 0 {
		return nil
	}
	began := s.clock.now()
	for sleep(ctx, min(scanRest, s.cfg.FullScan), nil) == nil {
		last := began
		if v := s.Verified(); v != nil && v.Through.After(last) {
			last = v.Through
		}
		if s.clock.now().Sub(last) < s.cfg.FullScan {
			continue
		}
		res, err := s.Verify(ctx, VerifyOptions{Repair: true})
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx
		case err != nil:
			s.log.Warn("full comparison failed", "error", err)
			began = s.clock.now() // again after a whole pause
		case res.Differences > 0:
			s.log.Warn("full comparison found differences: they are being repaired", "differences",
				res.Differences, "keys", res.Keys)
		}
	}
	return nil
}

// repair has differences that a comparison found judged as rows of unknown age, by reading both
// sides: through the same core and the same compare-and-set as any change. Of a table that has more
// than the comparison lists, or keys that may not be listed as they are, both sides are scanned.
func (s *Service) repair(ctx context.Context, tables map[string]verify.Result) error {
	for name, res := range tables {
		t := s.table(name)
		if t == nil || res.Differences == 0 {
			continue
		}
		all := res.Differences <= int64(len(res.First))
		for i := range res.First {
			if res.First[i].Kind == verify.Unread {
				continue // the next full comparison will try again
			}
			met, err := t.lookAgain(ctx, res.First[i].Of)
			if err != nil {
				return err
			}
			all = all && met
		}
		if !all {
			if err := s.Rescan(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAgain reads a key on both sides and steps the core with what is there. It reports whether there is such a
// key: one that is listed masked or hashed is no key.
func (t *table) lookAgain(ctx context.Context, key proa.Key) (met bool, err error) {
	err = t.store.View(key, func(st *resolve.State) { met = st != nil })
	if err != nil {
		return false, err
	}
	for _, sd := range t.sides {
		began := t.clock.now()
		row, err := sd.table.Get(ctx, key)
		if err != nil {
			met = true // or may be
			continue   // the next full comparison will try again
		}
		if met = met || row.Image.Exists(); !met {
			continue
		}
		if !t.drained(ctx, sd, t.clock.now()) {
			return met, ctx.Err()
		}
		err = t.store.Lazy(func(tx *shadow.Tx) error {
			seen := cloud.Row{Key: key, Image: row.Image, ETag: row.ETag}
			in := resolve.Observed{Side: sd.region, Row: seen, Began: began}
			_, err := t.step(tx, key, t.clock.now(), in)
			return err
		})
		if err != nil {
			return met, err
		}
	}
	t.m.repaired.Add(1)
	t.wake()
	return met, nil
}
