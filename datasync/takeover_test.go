package datasync

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

// withSidecars gives both clouds a sidecar table.
func (w *world) withSidecars() (a, z *fake.Table) {
	a = fake.New(proa.AWS, false, sidecar.Schema(), time.Now)
	z = fake.New(proa.Azure, true, sidecar.Schema(), time.Now)
	w.cfg.Sidecars = map[proa.Region]cloud.Table{proa.AWS: a, proa.Azure: z}
	return a, z
}

// switches turns a side off and on.
type switches struct {
	mu   sync.Mutex
	down bool
}

func (s *switches) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *switches) fault(string) fake.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return fake.Down
	}
	return fake.None
}

// freezer stops a node's calls at one moment, as SIGSTOP does, until it thaws.
type freezer struct {
	mu     sync.Mutex
	frozen chan struct{} // nil: not frozen
}

func (f *freezer) wait() {
	f.mu.Lock()
	c := f.frozen
	f.mu.Unlock()
	if c != nil {
		<-c
	}
}

func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = make(chan struct{})
}

func (f *freezer) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.frozen)
	f.frozen = nil
}

func TestAPendingDeleteOutlivesItsOwnerAndItsDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withSidecars()
	away := &switches{}
	w.az.Fault = away.fault
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	for i := range 20 {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	a.settle()
	away.set(true)
	for i := range 10 {
		w.aws.Delete(key(fmt.Sprint("k", i)), false, 0)
	}
	w.until("the deletes are captured", func() bool { d, _ := a.s.Replication(proa.AWS); return d.Backlog == 10 })
	k := a.s.parts.Load().keepers[0]
	w.until("the deletes are kept", func() bool { return !k.due() })
	time.Sleep(20 * time.Millisecond) // the write that is under way
	a.kill()
	away.set(false)
	b := w.join("node-2", vfs.NewMem())
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.settle()
	if n := w.equal(20); n != 10 {
		t.Errorf("%d keys, want 10", n)
	}
}

func TestADeleteIsKeptBeforeItsImageIsPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, z := w.withSidecars()
	away := &switches{}
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	w.aws.Put(order("k0", "x"), 0)
	a.settle()
	z.Fault = away.fault // the sidecar only
	away.set(true)
	w.aws.Delete(key("k0"), false, 0)
	w.until("the image is there", func() bool { return proa.SplitEnvelope(w.az.Item(key("k0"))).Tombstone() })
	time.Sleep(600 * time.Millisecond)
	if !proa.SplitEnvelope(w.az.Item(key("k0"))).Tombstone() {
		t.Fatal("the image was purged before its delete was kept")
	}
	away.set(false)
	w.until("the image is purged", func() bool { return w.az.Item(key("k0")) == nil })
	a.settle()
}

func TestAnIdleOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, z := w.withSidecars()
	n := w.join("node-1", vfs.NewMem())
	n.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	n.settle()
	w.aws.Put(order("k0", "x"), 0)
	n.settle()
	time.Sleep(2 * keepEvery)
	before := a.Events() + z.Events()
	time.Sleep(3 * keepEvery)
	if now := a.Events() + z.Events(); now != before {
		t.Errorf("%d writes of the sidecars while nothing happened", now-before)
	}
	if c := n.s.Cost(); c.Sidecar == 0 || c.Sidecar > 20 {
		t.Errorf("%d writes of the sidecars are counted", c.Sidecar)
	}
}

// TestOwnersComeAndGoUnderLoad kills, freezes, disowns and wipes owners while both sides are written.
func TestOwnersComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"disown", "kill", "wipe", "freeze"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.withSidecars()
			const keys = 40
			nodes := []*peer{w.join("node-0", vfs.NewMem()), w.join("node-1", vfs.NewMem())}
			stop := w.load(2, keys)
			defer stop()
			for epoch := range uint64(6) {
				me := int(epoch % 2)
				if nodes[me] == nil {
					nodes[me] = w.join(fmt.Sprint("node-", me), vfs.NewMem())
				}
				owner := Tenure{Owner: fmt.Sprint("node-", me), Epoch: epoch + 1}
				nodes[me].s.Assign(owner)
				time.Sleep(200 * time.Millisecond)
				switch how {
				case "disown":
					next := Tenure{Owner: fmt.Sprint("node-", 1-me), Epoch: epoch + 2}
					nodes[me].s.Assign(next)
				case "kill":
					fs := nodes[me].fs
					nodes[me].kill()
					nodes[me] = w.join(fmt.Sprint("node-", me), fs)
				case "wipe":
					nodes[me].kill()
					nodes[me] = nil
				case "freeze":
					// it is told nothing: it goes on until a sidecar refuses it
				}
			}
			stop()
			last := w.join("node-2", vfs.NewMem())
			last.s.Assign(Tenure{Owner: "node-2", Epoch: 9})
			last.settle()
			if n := w.equal(keys); n == 0 {
				t.Error("nothing is left")
			}
			for i, p := range nodes {
				if p == nil {
					continue
				}
				w.aws.Put(order(fmt.Sprint("p", i), "x"), 0)
				w.until("the former owner is fenced off, or knows that it is none", func() bool {
					st := p.s.Ownership().State
					return st == Fenced || st == Standby || how == "kill"
				})
			}
		})
	}
}

// TestAThawedOwnerDoesNoHarm freezes an owner within a write, which lands after its successor's.
func TestAThawedOwnerDoesNoHarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withSidecars()
	ice := &freezer{}
	frozen := w.cfg.Tables[0]
	sides := map[proa.Region]TableSide{}
	for r, s := range frozen.Sides {
		sides[r] = TableSide{Table: icy{s.Table, ice}, Feed: s.Feed}
	}
	plain := w.cfg.Tables[0].Sides
	w.cfg.Tables[0].Sides = sides
	a := w.join("node-1", vfs.NewMem())
	w.cfg.Tables = []Table{{Schema: frozen.Schema, Rules: frozen.Rules, Sides: plain}}
	b := w.join("node-2", vfs.NewMem())
	until := time.Now().Add(time.Hour)
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1, Until: until})
	a.settle()
	for i := range 20 {
		w.aws.Put(order(fmt.Sprint("k", i), "one"), 0)
	}
	a.settle()
	ice.freeze()
	for i := range 20 {
		w.aws.Put(order(fmt.Sprint("k", i), "two"), 0)
		w.az.Delete(key(fmt.Sprint("k", i+10)), false, 0)
	}
	w.until("writes are under way", func() bool { return a.s.store.Depth("orders", proa.Azure).InFlight > 0 })
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1, Until: time.Now().Add(-time.Millisecond)}) // unheard by the frozen
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.settle()
	for i := range 20 {
		w.az.Put(order(fmt.Sprint("k", i), "three"), 0)
	}
	b.settle()
	ice.thaw()
	time.Sleep(50 * time.Millisecond)
	b.settle()
	if n := w.equal(20); n != 20 {
		t.Errorf("%d keys, want 20", n)
	}
	for i := range 20 {
		if got := w.aws.Item(key(fmt.Sprint("k", i)))["text"].Str; got != "three" {
			t.Errorf("k%d is %q: what the thawed owner wrote has won", i, got)
		}
	}
	if _, err := b.s.Conflicts(journal.Query{}); err != nil {
		t.Error(err)
	}
}

// icy is a table whose writes freeze with their node.
type icy struct {
	cloud.Table
	ice *freezer
}

func (t icy) Swap(
	ctx context.Context, seen cloud.Row, next proa.Image,
) (cloud.Row, *proa.Image, error) {
	t.ice.wait()
	return t.Table.Swap(ctx, seen, next)
}

func (t icy) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	t.ice.wait()
	return t.Table.Purge(ctx, seen)
}

// pendingDelete has one item deleted at AWS while Azure, which still holds it, is away.
func (w *world) pendingDelete(away *switches) *peer {
	w.t.Helper()
	w.az.Fault = away.fault
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	w.aws.Put(order("k0", "x"), 0)
	a.settle()
	away.set(true)
	w.aws.Delete(key("k0"), false, 0)
	w.until("the delete is captured", func() bool { d, _ := a.s.Replication(proa.AWS); return d.Backlog == 1 })
	return a
}

func TestAnHeirThatCrashesRecallsTheDeletesOfARegionThatItHadNotReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stateA, _ := w.withSidecars()
	away, gone := &switches{}, &switches{}
	a := w.pendingDelete(away)
	k := a.s.parts.Load().keepers[0]
	w.until("the delete is kept", func() bool { return !k.due() })
	time.Sleep(20 * time.Millisecond) // the write that is under way
	a.kill()
	w.aws.Fault, stateA.Fault = gone.fault, gone.fault
	gone.set(true)
	away.set(false)
	fs := vfs.NewMem()
	b := w.join("node-2", fs)
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	w.s = b.s
	w.until("azure is read", func() bool { d, _ := b.s.Replication(proa.Azure); return d.Known })
	b.kill()
	gone.set(false)
	b = w.join("node-2", fs)
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.settle()
	if n := w.equal(1); n != 0 {
		t.Error("the delete is undone")
	}
}

func TestADeleteThatWaitedToBeKeptOutlivesACrashAndThenTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stateA, _ := w.withSidecars()
	away, unkept := &switches{}, &switches{}
	stateA.Fault = func(op string) fake.Fault {
		if op == "swap" {
			return unkept.fault(op)
		}
		return fake.None
	}
	w.cfg.RetryMax = 50 * time.Millisecond
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	fs := a.fs
	w.az.Fault = away.fault
	w.aws.Put(order("k0", "x"), 0)
	a.settle()
	k := a.s.parts.Load().keepers[0]
	w.until("all is kept", func() bool { return !k.due() })
	unkept.set(true)
	away.set(true)
	w.aws.Delete(key("k0"), false, 0)
	w.until("the delete is captured", func() bool { d, _ := a.s.Replication(proa.AWS); return d.Backlog == 1 })
	a.kill()
	unkept.set(false)
	a = w.join("node-1", fs)
	w.s = a.s
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	captured := a.s.Metrics().EventsCaptured
	w.aws.Put(order("k1", "later"), 0)
	w.until("the feed is read", func() bool { return a.s.Metrics().EventsCaptured > captured })
	k = a.s.parts.Load().keepers[0]
	time.Sleep(20 * time.Millisecond) // the place is past the delete
	w.until("all is kept", func() bool { return !k.due() })
	time.Sleep(20 * time.Millisecond)
	a.kill()
	away.set(false)
	b := w.join("node-2", vfs.NewMem())
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.settle()
	if w.az.Item(key("k0")) != nil || w.aws.Item(key("k0")) != nil {
		t.Error("the delete is undone")
	}
}
