package datasync

import (
	"fmt"
	"sync"
	"testing"

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
