package datasync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/internal/store"
)

// peer is one of several nodes between the same two clouds, with a disk of its own.
type peer struct {
	w    *world
	name string
	fs   *vfs.MemFS
	db   *pebble.DB
	s    *Service
	kill func()
}

// join starts a node. Its clock is the test's.
func (w *world) join(name string, fs *vfs.MemFS) *peer {
	w.t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: fs})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.cfg
	cfg.DB, cfg.Node, cfg.Shared = db, name, true
	s, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	p := &peer{w: w, name: name, fs: fs, db: db, s: s}
	p.kill = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s: %v", name, err)
		}
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(p.kill)
	return p
}

// settle waits until the owner has brought both sides to the same.
func (p *peer) settle() {
	p.w.t.Helper()
	p.w.s = p.s
	p.w.until(p.name+" has opened both feeds", func() bool { return p.s.Ownership().State == Owning })
	p.w.quiet()
}

// equal fails the test unless both sides hold the same, and returns how many keys there are.
func (w *world) equal(keys int) int {
	w.t.Helper()
	n := 0
	for i := range keys {
		k := key(fmt.Sprint("k", i))
		a, z := proa.SplitEnvelope(w.aws.Item(k)), proa.SplitEnvelope(w.az.Item(k))
		if !a.Item.Equal(z.Item) || a.Exists() != z.Exists() {
			w.t.Errorf("%s: aws %v, azure %v", k, a.Item, z.Item)
		}
		if a.Exists() {
			n++
		}
	}
	return n
}

// load writes and deletes on both sides until it is stopped.
func (w *world) load(seed uint64, keys int) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i, side := range []*fake.Table{w.aws, w.az} {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				k := key(fmt.Sprint("k", rng.IntN(keys)))
				if rng.IntN(5) == 0 {
					side.Delete(k, false, 0)
				} else {
					side.Put(order(k.Hash.Str, fmt.Sprint(side.Region, " ", n)), 0)
				}
				time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func TestOnlyTheOwnerReadsAndWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.join("node-1", vfs.NewMem()), w.join("node-2", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	b.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	w.aws.Put(order("k1", "x"), 0)
	a.settle()
	if n := b.s.Metrics().EventsReads; n != 0 {
		t.Errorf("the standby has read feeds %d times", n)
	}
	if own := b.s.Ownership(); own.State != Standby || own.Owner != "node-1" || own.Epoch != 1 {
		t.Errorf("%+v", own)
	}
	if d, _ := b.s.Replication(proa.AWS); d.Known {
		t.Errorf("a standby knows a lag: %+v", d)
	}
	err := b.s.Rescan("orders")
	if !errors.Is(err, proa.ErrNotOwner) || err.Error() != "scan: not the owner: the owner is node-1 (ask node-1)" {
		t.Errorf("%v", err)
	}
	a.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	w.az.Put(order("k2", "y"), 0)
	b.settle()
	if w.aws.Item(key("k2")) == nil {
		t.Error("the second owner has written nothing")
	}
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	if own := a.s.Ownership(); own.Epoch != 2 || own.State != Standby {
		t.Errorf("an old plan was taken: %+v", own)
	}
}

func TestALapsedLeaseStopsTheOwnerUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1, Until: time.Now().Add(time.Hour)})
	a.settle()
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1, Until: time.Now().Add(-time.Millisecond)})
	w.aws.Put(order("k1", "x"), 0)
	time.Sleep(100 * time.Millisecond)
	if w.az.Item(key("k1")) != nil || a.s.Ownership().State != Lapsed {
		t.Errorf("written without a lease, or %+v", a.s.Ownership())
	}
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1, Until: time.Now().Add(time.Hour)})
	a.settle()
	if w.az.Item(key("k1")) == nil {
		t.Error("nothing is written under the renewed lease")
	}
}

// TestHandOversUnderLoadEndEqual gives data sync from node to node while both sides are written.
func TestHandOversUnderLoadEndEqual(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const keys = 40
	nodes := []*peer{w.join("node-0", vfs.NewMem()), w.join("node-1", vfs.NewMem())}
	stop := w.load(1, keys)
	defer stop()
	for epoch := range uint64(6) {
		name := fmt.Sprint("node-", epoch%2)
		for _, p := range nodes {
			p.s.Assign(Tenure{Owner: name, Epoch: epoch + 1})
		}
		time.Sleep(150 * time.Millisecond)
	}
	stop()
	nodes[1].settle()
	if n := w.equal(keys); n == 0 {
		t.Error("nothing is left")
	}
}

func TestAStandbyKeepsAnnouncementsUntilTheOwnerHasSeenThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.join("node-1", vfs.NewMem()), w.join("node-2", vfs.NewMem())
	for _, p := range []*peer{a, b} {
		p.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	}
	a.settle()
	announced := func() int {
		n, _, err := b.s.store.Announced(proa.AWS, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.aws.Hide()
	content := order("k1", "x")
	old := time.Now().Add(-time.Minute)
	for i, at := range []time.Time{old, time.Now()} {
		v := proa.Version{Time: hlc.At(at) + hlc.Timestamp(i), Region: proa.AWS, Hash: proa.ContentHash(content)}
		err := b.s.Announce(t.Context(), proa.Announcement{
			Region: proa.AWS, Table: "orders", Key: schema.Attributes(key("k1")), Version: v, At: at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := announced(); n != 2 {
		t.Fatalf("%d announcements are kept", n)
	}
	progress := a.s.Progress()
	if len(progress) != 2 || len(b.s.Progress()) != 0 {
		t.Fatalf("progress %v and %v", progress, b.s.Progress())
	}
	if err := b.s.Followed(progress); err != nil || announced() != 1 {
		t.Errorf("%v, %d announcements are left", err, announced())
	}
}

// TestAWriteFromBeforeTheFeedIsNotMissedForEver: what was acknowledged before data sync first read a feed comes by the
// scan, and no change in the feed will ever settle its announcement.
func TestAWriteFromBeforeTheFeedIsNotMissedForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.join("node-1", vfs.NewMem())
	content, at := order("k1", "x"), time.Now().Add(-time.Minute)
	err := a.s.Announce(t.Context(), proa.Announcement{
		Region: proa.AWS, Table: "orders", Key: schema.Attributes(key("k1")), At: at,
		Version: proa.Version{Time: hlc.At(at), Region: proa.AWS, Hash: proa.ContentHash(content)},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n, _, err := a.s.store.Announced(proa.AWS, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d announcements are kept after everything was shown", n)
		}
	}
}
