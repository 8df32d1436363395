package datasync

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

func number(n int) proa.Value { v, _ := proa.Number(strconv.Itoa(n)); return v }

// decidedBy gives the table's conflicts a policy.
func (w *world) decidedBy(table string, attributes map[string]string) {
	w.t.Helper()
	rule, err := policy.Parse(table)
	if err != nil {
		w.t.Fatal(err)
	}
	rules := map[string]policy.Rule{}
	for name, text := range attributes {
		if rules[name], err = policy.Parse(text); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.cfg.Tables[0].Rules.Policy, err = policy.New(schema, rule, rules); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ready() {
	w.t.Helper()
	w.start()
	w.until("ready", func() bool {
		a, _ := w.s.Replication(proa.AWS)
		z, _ := w.s.Replication(proa.Azure)
		return a.Known && !a.Scanning && z.Known && !z.Scanning
	})
}

// apart lets both sides be written without knowledge of each other.
func (w *world) apart(fn func()) {
	w.aws.Hide()
	w.az.Hide()
	fn()
	w.aws.Show(-1)
	w.az.Show(-1)
}

// content is what a side stores, without the envelope.
func content(item proa.Item) proa.Item { return proa.SplitEnvelope(item).Item }

func TestCountersAddUpOverBothSidesAndARestart(t *testing.T) {
	w := newWorld(t)
	w.decidedBy("merge", map[string]string{"n": "counter"})
	w.ready()
	w.aws.Put(proa.Item{"id": proa.String("k"), "n": number(10)}, 0)
	w.quiet()
	w.apart(func() {
		w.aws.Update(key("k"), proa.Item{"n": number(15), "a": proa.String("aws")}, 0)
		w.az.Update(key("k"), proa.Item{"n": number(7), "z": proa.String("azure")}, 0)
	})
	w.quiet()
	want := proa.Item{"id": proa.String("k"), "n": number(12), "a": proa.String("aws"), "z": proa.String("azure")}
	for _, side := range []interface{ Item(proa.Key) proa.Item }{w.aws, w.az} {
		if diff := cmp.Diff(want, content(side.Item(key("k")))); diff != "" {
			t.Error(diff)
		}
	}
	w.shutdown()
	w.start()
	w.quiet()
	if diff := cmp.Diff(want, content(w.az.Item(key("k")))); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	found, err := w.s.Conflicts(journal.Query{})
	if err != nil || len(found) != 1 || found[0].Outcome != "merged" || found[0].Base == nil {
		t.Fatalf("%+v, %v", found, err)
	}
}

func TestReplayTellsWhatAnotherPolicyWouldHaveDone(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.aws.Put(proa.Item{"id": proa.String("k"), "n": number(10)}, 0)
	w.quiet()
	w.apart(func() {
		w.aws.Update(key("k"), proa.Item{"n": number(11)}, 0)
		time.Sleep(1100 * time.Millisecond) // stamps are whole seconds
		w.az.Update(key("k"), proa.Item{"n": number(12)}, 0)
	})
	w.quiet()
	list, _, err := w.s.Replay(journal.Query{}, policy.Rule{}, map[string]policy.Rule{"n": {Kind: policy.Counter}})
	if err != nil || len(list) != 1 || list[0].Same || list[0].Would != "merged" || list[0].Item["n"].Str != "13" {
		t.Fatalf("counter: %+v, %v", list, err)
	}
	list, _, err = w.s.Replay(journal.Query{}, policy.Rule{Kind: policy.LWW}, nil)
	if err != nil || len(list) != 1 || !list[0].Same {
		t.Fatalf("lww: %+v, %v", list, err)
	}
	list, _, err = w.s.Replay(journal.Query{}, policy.Rule{Kind: policy.Prefer, Region: proa.AWS}, nil)
	if err != nil || len(list) != 1 || list[0].Item["n"].Str != "11" {
		t.Fatalf("prefer: %+v, %v", list, err)
	}
}

func TestRestoreBringsALoserBackOnBothSides(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.apart(func() {
		w.aws.Put(order("k", "one"), 0)
		w.az.Put(order("k", "two"), 0)
	})
	w.quiet()
	found, err := w.s.Conflicts(journal.Query{KeyID: key("k").ID()})
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	lost := found[0].Loser.Item
	if cmp.Equal(lost, content(w.aws.Item(key("k")))) {
		t.Fatal("the loser is stored")
	}
	r, err := w.s.Restore(t.Context(), found[0].ID, "")
	if err != nil || r.Version.Compare(found[0].Winner.Version) <= 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.quiet()
	for _, side := range []interface{ Item(proa.Key) proa.Item }{w.aws, w.az} {
		if diff := cmp.Diff(lost, content(side.Item(key("k")))); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := w.s.Restore(t.Context(), 99, ""); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("an entry that is not: %v", err)
	}
}

func TestAHeldConflictIsListedAndSettled(t *testing.T) {
	w := newWorld(t)
	w.decidedBy("manual", nil)
	w.ready()
	w.apart(func() {
		w.aws.Put(order("k", "one"), 0)
		w.az.Put(order("k", "two"), 0)
	})
	var list []Quarantined
	w.until("held", func() bool {
		var err error
		list, _, err = w.s.Quarantine(10)
		return err == nil && len(list) == 1 && list[0].Kind == QuarantineHeld
	})
	if list[0].Sides[proa.AWS].Item["text"].Str != "one" || list[0].Sides[proa.Azure].Item["text"].Str != "two" {
		t.Fatalf("both images: %+v", list[0])
	}
	w.shutdown()
	w.start()
	if _, err := w.s.Settle(key("other"), Settlement{Drop: true}); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("a key that is not held: %v", err)
	}
	if _, err := w.s.Settle(key("k"), Settlement{Item: order("other", "x")}); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("another key's content: %v", err)
	}
	if _, err := w.s.Settle(key("k"), Settlement{Take: proa.AWS}); err != nil {
		t.Fatal(err)
	}
	w.quiet()
	if got := content(w.az.Item(key("k")))["text"].Str; got != "one" {
		t.Errorf("azure has %q", got)
	}
	if _, total, err := w.s.Quarantine(10); err != nil || total != 0 {
		t.Errorf("%d, %v", total, err)
	}
}

// odd is a feed that puts changes of its own between the real ones.
type odd struct {
	cloud.Feed
	mu      sync.Mutex
	inserts []proa.Change
}

func (f *odd) Read(ctx context.Context, cursor string) (cloud.Batch, error) {
	b, err := f.Feed.Read(ctx, cursor)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && len(b.Changes) > 0 {
		b.Changes = append(f.inserts, b.Changes...)
		f.inserts = nil
	}
	return b, err
}

func TestMalformedChangesAreSetAsideAndHoldNothingUp(t *testing.T) {
	w := newWorld(t)
	feed := &odd{Feed: w.feeds[proa.AWS], inserts: []proa.Change{
		{Region: proa.AWS, Key: proa.Key{Table: "orders"}, Position: "1", New: proa.Image{Item: proa.Item{}}},
		{Region: proa.AWS, Key: key("a"), Position: "one", New: proa.Image{Item: order("a", "x")}},
		{Region: proa.AWS, Key: key("b"), Position: "3", New: proa.Image{Item: order("c", "x")}},
		{Region: proa.AWS, Key: proa.Key{Table: "other", Hash: proa.String("d")}, Position: "4"},
		{Region: proa.AWS, Key: proa.Key{Table: "orders", Hash: number(1)}, Position: "5"},
		{Region: proa.AWS, Key: key("e"), Position: proa.Position(strings.Repeat("9", 500))},
		{Region: proa.AWS, Key: key("f"), Position: "7", New: proa.Image{Malformed: "a type that is not known"}},
		{Region: proa.AWS, Key: proa.Key{Table: "orders"}, New: proa.Image{Item: order("h", "x"), Malformed: "at no key"}},
	}}
	sides := w.cfg.Tables[0].Sides
	sides[proa.AWS] = TableSide{Table: w.aws, Feed: feed}
	w.ready()
	w.aws.Put(order("good", "x"), 0)
	w.until("the good one crosses", func() bool { return w.az.Item(key("good")) != nil })
	list, total, err := w.s.Quarantine(100)
	if err != nil || total != 8 || len(list) != 8 {
		t.Fatalf("%d %+v, %v", total, list, err)
	}
	for _, q := range list {
		if q.Kind != QuarantineFeed || q.Reason == "" || strings.Contains(q.Reason, "at no key") && q.Sides[proa.AWS].Item == nil {
			t.Errorf("%+v", q)
		}
	}
	if w.az.Len() != 1 {
		t.Errorf("azure has %d items", w.az.Len())
	}
	if err := w.s.DropMalformed(list[0].ID); err != nil {
		t.Error(err)
	}
	if err := w.s.DropMalformed(list[0].ID); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

func TestAPoisonedKeyIsShownWholeAndRetried(t *testing.T) {
	w := newWorld(t)
	w.ready()
	bad := order("k", "mine")
	bad[proa.EnvelopeAttr] = proa.String("rubbish")
	future := order("f", "later")
	e := proa.Envelope{Version: proa.Version{Time: 1 << 62, Region: proa.AWS, Hash: proa.ContentHash(future)}}
	future[proa.EnvelopeAttr] = e.Value()
	w.aws.Put(bad, 0)
	w.aws.Put(future, 0)
	var list []Quarantined
	w.until("quarantined", func() bool {
		list, _, _ = w.s.Quarantine(10)
		return len(list) == 2
	})
	for _, q := range list {
		if q.Kind != QuarantinePoison || q.Region != proa.AWS || q.Sides[proa.AWS].Item == nil {
			t.Errorf("%+v", q)
		}
	}
	if w.az.Len() != 0 {
		t.Fatal("it was applied")
	}
	one, err := w.s.QuarantinedKey(key("k"))
	if err != nil || !strings.HasPrefix(one.Reason, "malformed: envelope") {
		t.Errorf("%+v, %v", one, err)
	}
	if n, err := w.s.RetryAll("orders"); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	w.quiet()
	if w.az.Len() != 2 {
		t.Errorf("azure has %d items", w.az.Len())
	}
	if _, err := w.s.QuarantinedKey(key("k")); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestWhatMayNotLeaveARegionDoesNot(t *testing.T) {
	w := newWorld(t)
	rules, err := residency.New(schema, residency.Open, map[string]residency.Mode{
		"ssn": residency.NeverCopied, "card": residency.Masked, "mail": residency.Hashed, "note": residency.NeverLogged,
	}, proa.NewSecret("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Tables[0].Residency = rules
	w.ready()
	s := proa.String
	mine := proa.Item{"id": s("k"), "x": s("1"), "ssn": s("078-05-1120"), "card": s("4111-1111-4111-1111"), "mail": s("a@b"), "note": s("secret note")}
	w.aws.Put(mine, 0)
	w.quiet()
	got := content(w.az.Item(key("k")))
	if _, ok := got["ssn"]; ok || got["card"].Str != "[masked]" || !strings.HasPrefix(got["mail"].Str, "[hashed]") ||
		got["note"].Str != "secret note" || got["x"].Str != "1" {
		t.Fatalf("%v", got)
	}
	// The receiving side has values of its own, and a partial update comes back.
	w.az.Update(key("k"), proa.Item{"x": s("2"), "ssn": s("own"), "card": s("own card")}, 0)
	w.quiet()
	want := proa.Item{"id": s("k"), "x": s("2"), "ssn": s("078-05-1120"), "card": s("4111-1111-4111-1111"), "mail": s("a@b"), "note": s("secret note")}
	if diff := cmp.Diff(want, content(w.aws.Item(key("k")))); diff != "" {
		t.Errorf("aws: %s", diff)
	}
	w.aws.Update(key("k"), proa.Item{"x": s("3"), "ssn": s("changed")}, 0)
	w.quiet()
	if z := content(w.az.Item(key("k"))); z["ssn"].Str != "own" || z["card"].Str != "own card" || z["x"].Str != "3" {
		t.Errorf("azure: %v", z)
	}
	// A conflict's entry and the change log say nothing of what is never logged.
	w.apart(func() {
		w.aws.Update(key("k"), proa.Item{"note": s("secret one")}, 0)
		w.az.Update(key("k"), proa.Item{"note": s("secret two")}, 0)
	})
	w.quiet()
	found, err := w.s.Conflicts(journal.Query{})
	if err != nil || len(found) != 1 || !cmp.Equal(found[0].Redacted, []string{"note"}) {
		t.Fatalf("%+v, %v", found, err)
	}
	events, _, err := w.s.Log().Read(0, 100)
	if err != nil || len(events) == 0 {
		t.Fatal(events, err)
	}
	for _, text := range []string{fmt.Sprintf("%+v", found), fmt.Sprintf("%+v", events)} {
		for _, secret := range []string{"secret ", "078-05-1120", "4111-1111-4111-1111", "a@b", "own card"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is told: %s", secret, text)
			}
		}
	}
	if _, err := w.s.Restore(t.Context(), found[0].ID, ""); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("restored an entry that is not whole: %v", err)
	}
	w.aws.Delete(key("k"), false, 0)
	w.quiet()
	if w.az.Item(key("k")) != nil {
		t.Errorf("after a delete azure has %v", w.az.Item(key("k")))
	}
}

func TestExpiryCountsWhereTheRuleSaysSo(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tables[0].Rules.Expiry.Ignore[0] = true
	w.ready()
	w.aws.Put(order("k", "x"), 0)
	w.aws.Put(order("j", "x"), 0)
	w.quiet()
	w.aws.Delete(key("k"), true, 0)
	w.until("lapsed", func() bool { return w.s.Metrics().Lapsed == 1 })
	w.quiet() // and a comparison finds no difference
	if w.az.Item(key("k")) == nil || w.aws.Item(key("k")) != nil {
		t.Fatal("an ignored expiry changed the other side, or was undone")
	}
	w.az.Delete(key("j"), true, 0)
	w.until("deleted", func() bool { return w.aws.Item(key("j")) == nil })
	w.az.Put(order("k", "y"), 0)
	w.quiet()
	if got := content(w.aws.Item(key("k")))["text"].Str; got != "y" {
		t.Errorf("aws has %q", got)
	}
}
