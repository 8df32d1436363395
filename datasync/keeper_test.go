package datasync

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/internal/store"
)

// What a sidecar tells an heir of a delete must not be ahead of this disk: the journal entry of what the
// delete has beaten would be lost with it.
func TestADeleteIsKeptOutsideOnlyOnceItIsDurableHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	side, _ := w.withSidecars()
	fs := vfs.NewCrashableMem()
	a := w.join("node-1", fs)
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	const n = 30
	for i := range n {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	a.settle()
	k := a.s.parts.Load().keepers[0]
	w.until("all is kept", func() bool { return !k.due() })
	var mu sync.Mutex
	var disks []*vfs.MemFS // of the moment at which a delete is first kept
	asked := false
	side.Fault = func(op string) fake.Fault {
		mu.Lock()
		defer mu.Unlock()
		if op == "swap" && asked {
			asked, disks = false, append(disks, fs.CrashClone(vfs.CrashCloneCfg{}))
		}
		return fake.None
	}
	for i := range n {
		mu.Lock()
		asked = true
		mu.Unlock()
		w.aws.Delete(key(fmt.Sprint("k", i)), false, 0)
		w.until("the delete is kept", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(disks) > i
		})
		w.until("nothing else is to be kept", func() bool { return !k.due() })
	}
	a.kill()
	for i, disk := range disks {
		if v := onDisk(t, disk, key(fmt.Sprint("k", i))); !v {
			t.Errorf("delete %d of %d was kept outside and not here", i+1, n)
		}
	}
}

// onDisk reports whether a disk has a key as deleted.
func onDisk(t *testing.T, fs *vfs.MemFS, k proa.Key) bool {
	t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := shadow.New(db, Default().Limits)
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.State(k)
	if err != nil {
		t.Fatal(err)
	}
	return st != nil && st.Winner.Tombstone
}

// More deletes than the keeper has room for: the place of the feed waits until all are kept, and an heir with an
// empty disk misses none of them.
func TestThePlaceOfAFeedWaitsForDeletesThatFoundNoRoom(t *testing.T) {
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
	const n = 30
	for i := range n {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	a.settle()
	k := a.s.parts.Load().keepers[0]
	w.until("all is kept", func() bool { return !k.due() })
	k.mu.Lock()
	k.room = 3
	k.mu.Unlock()
	w.az.Fault = away.fault
	unkept.set(true)
	away.set(true)
	for i := range n {
		w.aws.Delete(key(fmt.Sprint("k", i)), false, 0)
	}
	w.until("the deletes are captured", func() bool { d, _ := a.s.Replication(proa.AWS); return d.Backlog == n })
	if text := k.warning(); !strings.Contains(text, "is behind") {
		t.Errorf("the status warns of %q", text)
	}
	unkept.set(false)
	w.until("all is kept", func() bool { return !k.due() })
	if text := k.warning(); text != "" {
		t.Errorf("the status still warns of %q", text)
	}
	a.kill()
	away.set(false)
	b := w.join("node-2", vfs.NewMem())
	b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	b.settle()
	if left := w.equal(n); left != 0 {
		t.Errorf("%d deletes are undone", left)
	}
}

// Deletes at home are kept without a purge to wait for: they take no room from those that have one.
func TestDeletesAtHomeStopNoPurges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withSidecars()
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	const n = 30
	for i := range n {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	w.az.Put(order("z", "x"), 0)
	a.settle()
	for _, k := range a.s.parts.Load().keepers {
		k.mu.Lock()
		k.room = n - 10
		k.mu.Unlock()
	}
	for i := range n {
		w.aws.Delete(key(fmt.Sprint("k", i)), false, 0)
	}
	a.settle()
	w.az.Delete(key("z"), false, 0)
	w.until("the image is purged", func() bool { return w.aws.Item(key("z")) == nil && w.az.Item(key("z")) == nil })
	for _, k := range a.s.parts.Load().keepers {
		k.mu.Lock()
		if len(k.kept)+len(k.asked) > 0 {
			t.Errorf("%s: %d deletes wait for purges that never come", k.region, len(k.kept)+len(k.asked))
		}
		k.mu.Unlock()
	}
}

// A place that outgrows its row is told, and stops neither deletes nor their purges.
func TestAPlaceThatOutgrowsItsRowIsToldOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withSidecars()
	a := w.join("node-1", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	w.aws.Put(order("k", "x"), 0)
	a.settle()
	k := a.s.parts.Load().keepers[0]
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	k.feed("large", string(random), time.Now(), true)
	w.until("it is told", func() bool { return strings.Contains(k.warning(), "the place of large") })
	w.az.Delete(key("k"), false, 0)
	w.until("the image is purged", func() bool { return w.aws.Item(key("k")) == nil && w.az.Item(key("k")) == nil })
	k.feed("large", "small again", time.Now(), true)
	w.until("it is kept", func() bool { return k.warning() == "" })
}
