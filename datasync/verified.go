package datasync

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/datasync/verify"
)

// VerifyOptions says how thorough a comparison is.
type VerifyOptions struct {
	Deep    bool          // read contents of objects where the sides do not both tell a checksum
	Repair  bool          // have what differs in tables written again by the newer version
	Recheck time.Duration // how long what differs is read again before it counts (2 s when 0)
}

const verifiedName = "verified"

// Verify compares both sides of everything that is replicated. The outcome is remembered for
// Status. One comparison runs at a time; a second fails with proa.ErrThrottled.
func (s *Service) Verify(ctx context.Context, o VerifyOptions) (verify.Result, error) {
	if err := s.mustOwn("verify"); err != nil {
		return verify.Result{}, err
	}
	if !s.verifying.TryLock() {
		return verify.Result{}, fmt.Errorf("verify: another comparison is running: %w", proa.ErrThrottled)
	}
	defer s.verifying.Unlock()
	if o.Recheck <= 0 {
		o.Recheck = 2 * time.Second
	}
	began := s.clock.now()
	var res verify.Result
	tables := map[string]verify.Result{}
	for _, t := range s.tables() {
		one, err := s.compareTable(ctx, t, o)
		if err != nil {
			return res, err
		}
		tables[t.schema.Table] = one
		res.Add(one)
	}
	for _, b := range s.buckets() {
		one, err := s.compareBucket(ctx, b, o)
		if err != nil {
			return res, err
		}
		res.Add(one)
	}
	res.Took = s.clock.now().Sub(began).Seconds()
	if o.Repair {
		if err := s.repair(ctx, tables); err != nil {
			return res, err
		}
	}
	return res, s.remember(&res)
}

func (s *Service) compareTable(
	ctx context.Context, t *table, o VerifyOptions,
) (verify.Result, error) {
	v := verify.Tables{
		DB: s.store.Database(), Prefix: append(shadow.Scratch(), t.schema.Table+"\x00"...),
		Clock:   s.clock.now,
		Sides:   map[proa.Region]cloud.Table{proa.AWS: t.sides[0].table, proa.Azure: t.sides[1].table},
		Pending: t.pending, Excused: t.lapsed, Text: t.text,
		Logged: func(key proa.Key) proa.Item {
			logged, _ := t.stays.Logged(t.schema.Attributes(key))
			return logged
		},
		Page: s.cfg.PageSize, Recheck: o.Recheck,
	}
	return v.Compare(ctx)
}

// pending reports whether a key is yet to be written somewhere.
func (t *table) pending(key proa.Key) (bool, error) {
	pending := false
	err := t.store.View(key, func(st *resolve.State) {
		if st == nil {
			return
		}
		for _, side := range proa.Regions() {
			due, _ := t.rules.Due(st, side)
			pending = pending || due || st.At(side).InFlight != 0
		}
	})
	return pending, err
}

// lapsed reports whether a key may be missing at a side, by a rule of expiry.
func (t *table) lapsed(key proa.Key) (bool, error) {
	lapsed := false
	err := t.store.View(key, func(st *resolve.State) {
		if st != nil {
			lapsed = st.Sides[0].Current().Lapsed || st.Sides[1].Current().Lapsed
		}
	})
	return lapsed, err
}

func (s *Service) compareBucket(
	ctx context.Context, b *objects.Replicator, o VerifyOptions,
) (verify.Result, error) {
	v := verify.Buckets{
		Name: b.Name(), Sides: b.Sides(), Skip: objects.Own, Pending: b.InFlight, Deep: o.Deep,
		Clock: s.clock.now,
		Sum: func(ctx context.Context, b cloud.Bucket, name string) (uint64, error) {
			return objects.Sum(ctx, b, name, "")
		},
		Page: s.cfg.PageSize, Recheck: o.Recheck,
	}
	return v.Compare(ctx)
}

// Verified is the last comparison, of this process or an earlier one; nil when none was made.
func (s *Service) Verified() *verify.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verified
}

func (s *Service) remember(res *verify.Result) error {
	body, err := json.Marshal(res)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	s.mu.Lock()
	s.verified = res
	s.mu.Unlock()
	return s.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetCheckpoint(verifiedName, shadow.Checkpoint{Cursor: string(body), At: res.Through})
	})
}

func (s *Service) loadVerified() error {
	cp, err := s.store.Checkpoint(verifiedName)
	if err != nil || cp.Cursor == "" {
		return err
	}
	res := &verify.Result{}
	if err := json.Unmarshal([]byte(cp.Cursor), res); err != nil {
		return fmt.Errorf("read the last comparison: %w", err)
	}
	s.verified = res
	return nil
}
