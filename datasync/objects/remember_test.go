package objects

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
)

// cut takes a side away, or gives it back.
func (b *bucket) cut(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = nil
	if away {
		b.fault = func(string, string) error { return proa.ErrUnavailable }
	}
}

// marks counts the deletes that are kept in a bucket.
func (b *bucket) marks() (n int) {
	for _, name := range b.names() {
		if strings.HasPrefix(name, ".proa/deleted/") {
			n++
		}
	}
	return n
}

// loseDisk ends the process and its disk.
func (p *pair) loseDisk() {
	p.t.Helper()
	p.stop()
	p.fs = vfs.NewMem()
}

// deletedAlone is a pair that has deleted "gone" at one side while the other one was away.
func deletedAlone(t *testing.T, notices bool) *pair {
	t.Helper()
	p := newPair(t)
	if notices {
		withNotices(p)
	}
	p.s3.put("gone", "1", nil)
	p.s3.put("stays", "2", nil)
	p.start()
	if notices {
		p.unhurried()
	}
	p.settled()
	p.blob.cut(true)
	p.s3.del("gone")
	wait(t, "the delete to be kept", func() bool { return p.s3.marks() == 1 })
	return p
}

func TestADeleteOutlivesItsOwnersDisk(t *testing.T) {
	for _, notices := range []bool{false, true} {
		p := deletedAlone(t, notices)
		p.loseDisk()
		p.blob.cut(false)
		p.start()
		p.settled()
		p.equal(map[string]string{"stays": "2"})
		wait(t, "the kept delete to be dropped", func() bool { return p.s3.marks() == 0 })
		if c := p.conflicts(); len(c) > 0 {
			t.Errorf("conflicts: %+v", c)
		}
		p.stop()
	}
}

func TestADeleteOutlivesItsProcess(t *testing.T) {
	p := deletedAlone(t, true)
	p.stop()
	p.blob.cut(false)
	p.start()
	p.settled()
	p.equal(map[string]string{"stays": "2"})
	wait(t, "the kept delete to be dropped", func() bool { return p.s3.marks() == 0 })
}

// TestAWriteAfterAKeptDeleteIsNotDeleted puts the object back, at either side, before the next owner reads the delete.
func TestAWriteAfterAKeptDeleteIsNotDeleted(t *testing.T) {
	for _, at := range proa.Regions() {
		p := deletedAlone(t, false)
		p.loseDisk()
		p.blob.cut(false)
		side := p.s3
		if at == proa.Azure {
			side = p.blob
		}
		side.now = func() time.Time { return time.Now().Add(2 * time.Second) }
		side.put("gone", "put back", nil)
		p.start()
		p.settled()
		p.equal(map[string]string{"stays": "2", "gone": "put back"})
		wait(t, "the kept delete to be dropped", func() bool { return p.s3.marks() == 0 })
		p.stop()
	}
}

// TestNothingIsCopiedToASideWhoseKeptDeletesAreUnread has the listing of a side fail for a while.
func TestNothingIsCopiedToASideWhoseKeptDeletesAreUnread(t *testing.T) {
	p := deletedAlone(t, false)
	p.loseDisk()
	p.blob.cut(false)
	p.s3.mu.Lock()
	p.s3.fault = func(op, _ string) error {
		if op == "list" {
			return proa.ErrThrottled
		}
		return nil
	}
	puts := p.s3.calls["put"]
	p.s3.mu.Unlock()
	p.start()
	wait(t, "the other side's sweep", func() bool { return p.r.Direction(proa.Azure).Known })
	p.s3.mu.Lock()
	if n := p.s3.calls["put"] - puts; n > 0 {
		t.Errorf("%d objects were written", n)
	}
	p.s3.fault = nil
	p.s3.mu.Unlock()
	p.settled()
	p.equal(map[string]string{"stays": "2"})
}

// TestDeletesOfASideInReachAreNotKept wants no more requests for them than before.
func TestDeletesOfASideInReachAreNotKept(t *testing.T) {
	p := newPair(t)
	for _, name := range []string{"a", "b", "c"} {
		p.s3.put(name, "1", nil)
	}
	p.start()
	p.settled()
	p.s3.mu.Lock()
	puts := p.s3.calls["put"]
	p.s3.mu.Unlock()
	p.s3.del("a")
	p.s3.del("b")
	p.settled()
	p.equal(map[string]string{"c": "1"})
	if n := p.s3.count("put") - puts; n > 0 {
		t.Errorf("%d writes", n)
	}
}

// TestAKeptDeleteThatIsDamagedIsLeftAlone wants neither a delete nor an end by what is no mark.
func TestAKeptDeleteThatIsDamagedIsLeftAlone(t *testing.T) {
	p := newPair(t)
	p.s3.put("a", "1", nil)
	p.blob.put("a", "1", nil)
	p.s3.put(".proa/deleted/x", "{", nil)
	p.s3.put(".proa/deleted/y", `{"name":"a","winner":{"tombstone":true,"version":"zz"}}`, nil)
	p.s3.put(".proa/deleted/z", `{"name":"a","winner":{"tombstone":true}}`, nil)
	p.start()
	p.settled()
	p.equal(map[string]string{"a": "1"})
}
