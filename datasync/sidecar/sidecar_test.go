package sidecar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/hlc"
)

var (
	ctx = context.Background()
	now = time.Unix(1_800_000_000, 0).UTC()
)

func table(cosmos bool) *fake.Table {
	region := proa.AWS
	if cosmos {
		region = proa.Azure
	}
	return fake.New(region, cosmos, Schema(), func() time.Time { return now })
}

func tombstone(i int) Tombstone {
	return Tombstone{
		Key:     proa.Key{Table: "orders", Hash: proa.String(fmt.Sprint("k", i))},
		Version: proa.Version{Time: hlc.At(now) + hlc.Timestamp(i), Region: proa.AWS},
		Parent:  proa.Version{Time: 5, Region: proa.Azure, Hash: proa.Hash{1}},
		At:      now,
	}
}

func same(a, b Tombstone) bool {
	return a.Key.ID() == b.Key.ID() && a.Version == b.Version && a.Parent == b.Parent && a.At.Equal(b.At)
}

// deletes reads all deletes that count.
func deletes(t *testing.T, s *Sidecar) map[string]Tombstone {
	t.Helper()
	all := map[string]Tombstone{}
	err := s.Load(ctx, func(list []Tombstone) error {
		for _, d := range list {
			all[d.Key.Hash.Str] = d
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// onBoth runs a test with the semantics of both stores.
func onBoth(t *testing.T, test func(t *testing.T, f *fake.Table)) {
	t.Helper()
	for _, cosmos := range []bool{false, true} {
		t.Run(fmt.Sprint("cosmos=", cosmos), func(t *testing.T) { test(t, table(cosmos)) })
	}
}

func TestAStaleOwnerIsRefusedForEver(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fake.Table) {
		a, b := New(f, "proa", "a1", nil), New(f, "proa", "b1", nil)
		if _, err := a.Claim(ctx, 3, "node-a"); err != nil {
			t.Fatal(err)
		}
		if err := a.Save(ctx, map[string]Feed{"orders": {Cursor: "c1", At: now}}); err != nil {
			t.Fatal(err)
		}
		before, err := b.Claim(ctx, 4, "node-b")
		if err != nil || before.Epoch != 3 || before.Owner != "node-a" || before.Feeds["orders"].Cursor != "c1" ||
			!before.Feeds["orders"].At.Equal(now) {
			t.Fatalf("%+v, %v", before, err)
		}
		var stale *StaleError
		for range 3 {
			err := a.Save(ctx, map[string]Feed{"orders": {Cursor: "c2"}})
			if !errors.Is(err, proa.ErrStaleEpoch) || !errors.As(err, &stale) || stale.Later != 4 || stale.By != "node-b" {
				t.Fatalf("a stale save: %v", err)
			}
		}
		if _, err := a.Claim(ctx, 3, "node-a"); !errors.Is(err, proa.ErrStaleEpoch) {
			t.Errorf("a stale claim: %v", err)
		}
		if _, err := New(f, "proa", "c1", nil).Claim(ctx, 4, "node-c"); !errors.Is(err, proa.ErrStaleEpoch) {
			t.Errorf("a second owner of the same epoch: %v", err)
		}
		if err := b.Save(ctx, nil); err != nil || b.Root().Feeds["orders"].Cursor != "c1" {
			t.Errorf("the owner's save: %v, %+v", err, b.Root())
		}
	})
}

func TestDeletesOfAStaleOwnerDoNotCount(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fake.Table) {
		a, b := New(f, "proa", "a1", nil), New(f, "proa", "b1", nil)
		_, _ = a.Claim(ctx, 1, "node-a")
		if err := errors.Join(a.Remember(ctx, []Tombstone{tombstone(1)}), a.Save(ctx, nil)); err != nil {
			t.Fatal(err)
		}
		_, _ = b.Claim(ctx, 2, "node-b")
		if err := a.Remember(ctx, []Tombstone{tombstone(2)}); err != nil {
			t.Fatal(err)
		}
		if err := a.Save(ctx, nil); !errors.Is(err, proa.ErrStaleEpoch) {
			t.Fatal(err)
		}
		got := deletes(t, b)
		if len(got) != 1 || !same(got["k1"], tombstone(1)) {
			t.Errorf("%+v", got)
		}
		if err := b.Compact(ctx, now, time.Hour, func(Tombstone) (bool, error) { return true, nil }); err != nil {
			t.Fatal(err)
		}
		if segments, _ := b.Counts(); segments != 1 || f.Len() != 2 {
			t.Errorf("%d segments, %d rows: what does not count is still there", segments, f.Len())
		}
	})
}

func TestEpochZeroTakesTheNextOne(t *testing.T) {
	f := table(false)
	_, _ = New(f, "proa", "a1", nil).Claim(ctx, 41, "node-a")
	b := New(f, "proa", "b1", nil)
	if _, err := b.Claim(ctx, 0, "node-b"); err != nil || b.Root().Epoch != 42 {
		t.Errorf("%v, %+v", err, b.Root())
	}
	other := New(f, "elsewhere", "o1", nil)
	if before, err := other.Claim(ctx, 1, "node-o"); err != nil || before.Epoch != 0 {
		t.Errorf("another deployment: %+v, %v", before, err)
	}
}

func TestWritesWithAnUnknownOutcomeAreMadeSureOf(t *testing.T) {
	for _, fault := range []fake.Fault{fake.LostReply, fake.LostWrite, fake.Late, fake.Throttle} {
		onBoth(t, func(t *testing.T, f *fake.Table) {
			a := New(f, "proa", "a1", nil)
			if _, err := a.Claim(ctx, 1, "node-a"); err != nil {
				t.Fatal(err)
			}
			once := fault
			f.Fault = func(op string) fake.Fault {
				if op != "swap" {
					return fake.None
				}
				now := once
				once = fake.None
				return now
			}
			_ = a.Save(ctx, map[string]Feed{"orders": {Cursor: "c1"}})
			f.Land()
			if err := a.Save(ctx, map[string]Feed{"orders": {Cursor: "c2"}}); err != nil {
				t.Fatalf("fault %d: %v", fault, err)
			}
			b := New(f, "proa", "b1", nil)
			if before, err := b.Claim(ctx, 2, "node-b"); err != nil || before.Feeds["orders"].Cursor != "c2" {
				t.Errorf("fault %d: %+v, %v", fault, before, err)
			}
		})
	}
}

func TestSmallSegmentsBecomeOneAndDeadDeletesGo(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fake.Table) {
		written := 0
		a := New(f, "proa", "a1", func(int) { written++ })
		_, _ = a.Claim(ctx, 1, "node-a")
		for i := range compactAt {
			err := errors.Join(a.Remember(ctx, []Tombstone{tombstone(2 * i), tombstone(2*i + 1)}), a.Save(ctx, nil))
			if err != nil {
				t.Fatal(err)
			}
		}
		even := func(d Tombstone) (bool, error) { return uint64(d.Version.Time-hlc.At(now))%2 == 0, nil }
		if err := a.Compact(ctx, now, time.Hour, even); err != nil {
			t.Fatal(err)
		}
		if segments, kept := a.Counts(); segments != 1 || kept != compactAt {
			t.Errorf("%d segments with %d deletes", segments, kept)
		}
		if got := deletes(t, a); len(got) != compactAt || !same(got["k4"], tombstone(4)) {
			t.Errorf("%d deletes are left", len(got))
		}
		before := written
		if err := a.Compact(ctx, now, time.Hour, even); err != nil || written != before {
			t.Errorf("%v, %d writes where nothing was to do", err, written-before)
		}
		none := func(Tombstone) (bool, error) { return false, nil }
		if err := a.Compact(ctx, now.Add(2*time.Hour), time.Hour, none); err != nil {
			t.Fatal(err)
		}
		if segments, _ := a.Counts(); segments != 0 || f.Len() != 1 {
			t.Errorf("%d segments, %d rows after the grace", segments, f.Len())
		}
	})
}

func TestManyDeletesBecomeSegmentsWithinTheStoresLimits(t *testing.T) {
	f := table(false)
	a := New(f, "proa", "a1", nil)
	_, _ = a.Claim(ctx, 1, "node-a")
	var list []Tombstone
	for i := range 3*maxTombstones + 1 {
		list = append(list, tombstone(i))
	}
	if err := errors.Join(a.Remember(ctx, list), a.Save(ctx, nil)); err != nil {
		t.Fatal(err)
	}
	if segments, kept := a.Counts(); segments != 4 || kept != len(list) {
		t.Errorf("%d segments, %d deletes", segments, kept)
	}
	if got := deletes(t, a); len(got) != len(list) {
		t.Errorf("%d of %d are read again", len(got), len(list))
	}
}

func TestACorruptRootIsNotTakenForAnEmptyOne(t *testing.T) {
	f := table(false)
	f.Put(proa.Item{"id": proa.String("proa:root"), "epoch": proa.String("seven")}, 0)
	if _, err := New(f, "proa", "a1", nil).Claim(ctx, 9, "node-a"); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// shards is a cursor as package aws writes one: n shards, with the digits of their names and numbers as random as
// DynamoDB's.
func shards(n int) string {
	var b strings.Builder
	d := rand.New(rand.NewPCG(1, 2))
	b.WriteString(`{"s":"arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-11-24T00:00:00.000","p":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"shardId-%020d-%08x":{"q":"%024d"}`, 1_800_000_000_000+int64(i)*7919, d.Uint32(), 100_000_000_000+d.Int64N(1e17))
	}
	return b.String() + "}}"
}

// A table of 1,000 partitions whose shards roll every four hours lists those of a day.
func TestThePlaceOfALargeTableIsKept(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fake.Table) {
		a := New(f, "proa", "a1", nil)
		_, _ = a.Claim(ctx, 1, "node-a")
		cursor := shards(7000)
		if len(cursor) < maxRoot {
			t.Fatalf("a cursor of %d bytes only", len(cursor))
		}
		if err := a.Save(ctx, map[string]Feed{"orders": {Cursor: cursor, At: now}, "small": {Cursor: "c", At: now}}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes take %d", len(cursor), a.Size())
		before, err := New(f, "proa", "b1", nil).Claim(ctx, 2, "node-b")
		if err != nil || before.Feeds["orders"].Cursor != cursor || before.Feeds["small"].Cursor != "c" {
			t.Fatalf("%v, %d bytes are read again", err, len(before.Feeds["orders"].Cursor))
		}
	})
}

// A place that no row can hold is left where it was: all else is kept, and the error says it.
func TestAPlaceThatIsTooLargeStopsNothingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fake.Table) {
		a := New(f, "proa", "a1", nil)
		_, _ = a.Claim(ctx, 1, "node-a")
		if err := a.Save(ctx, map[string]Feed{"large": {Cursor: "c1"}, "small": {Cursor: "c1"}}); err != nil {
			t.Fatal(err)
		}
		err := errors.Join(a.Remember(ctx, []Tombstone{tombstone(1)}))
		if err != nil {
			t.Fatal(err)
		}
		var large *TooLargeError
		err = a.Save(ctx, map[string]Feed{"large": {Cursor: shards(60_000)}, "small": {Cursor: "c2"}})
		if !errors.As(err, &large) || large.Table != "large" || !errors.Is(err, proa.ErrInvalid) {
			t.Fatalf("%v", err)
		}
		b := New(f, "proa", "b1", nil)
		before, err := b.Claim(ctx, 2, "node-b")
		if err != nil || before.Feeds["large"].Cursor != "c1" || before.Feeds["small"].Cursor != "c2" {
			t.Errorf("%v, %+v", err, before.Feeds)
		}
		if n := len(deletes(t, b)); n != 1 {
			t.Errorf("%d deletes are kept", n)
		}
	})
}
