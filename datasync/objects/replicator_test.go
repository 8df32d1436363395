package objects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/internal/store"
)

// pair is a replicator between two buckets in memory.
type pair struct {
	t     *testing.T
	fs    *vfs.MemFS
	store *shadow.Store
	s3    *bucket
	blob  *bucket
	r     *Replicator
	stop  func()
	// what the replicator is given in the place of the buckets themselves
	sides map[proa.Region]cloud.Bucket
	tune  func(*Bucket)
	// what is done to the shadow index before the replicator has it
	prepare func(*shadow.Store) error
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, fs: vfs.NewMem(), s3: newBucket(false), blob: newBucket(true)}
	t.Cleanup(func() {
		if p.stop != nil {
			p.stop()
		}
	})
	return p
}

func (p *pair) start() {
	p.t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: p.fs})
	if err != nil {
		p.t.Fatal(err)
	}
	if p.store, err = shadow.New(db, shadow.DefaultLimits()); err != nil {
		p.t.Fatal(err)
	}
	if p.prepare != nil {
		if err := p.prepare(p.store); err != nil {
			p.t.Fatal(err)
		}
	}
	var mu sync.Mutex
	last := time.Time{}
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		last = maxTime(time.Now(), last.Add(1))
		return last
	}
	b := Bucket{
		Name: "attachments", Sides: map[proa.Region]cloud.Bucket{
			proa.AWS:   p.s3,
			proa.Azure: p.blob,
		},
		SweepMin: 2 * time.Millisecond, SweepMax: 5 * time.Millisecond, Page: 3,
		RetryMax: 20 * time.Millisecond,
	}
	b.Versions = map[proa.Region]Versions{proa.AWS: p.s3, proa.Azure: p.blob}
	if p.sides != nil {
		b.Sides = p.sides
	}
	if p.tune != nil {
		p.tune(&b)
	}
	p.r, err = New(b, p.store, now, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := p.r
	go func() { done <- r.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("run: %v", err)
		}
		if err := db.Close(); err != nil {
			p.t.Error(err)
		}
		p.stop = nil
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// settled waits until two sweeps of both sides have found nothing to do.
func (p *pair) settled() {
	p.t.Helper()
	from := p.r.now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		quiet := true
		for _, region := range proa.Regions() {
			d := p.r.Direction(region)
			quiet = quiet && d.Known && d.Backlog == 0 && d.Through.After(from)
		}
		if !quiet {
			continue
		}
		if from.Add(30 * time.Millisecond).Before(time.Now()) {
			return
		}
	}
	p.t.Fatalf("never settled: %+v %+v", p.r.Direction(proa.AWS), p.r.Direction(proa.Azure))
}

func (p *pair) equal(want map[string]string) {
	p.t.Helper()
	for side, b := range map[string]*bucket{"s3": p.s3, "blob": p.blob} {
		got := map[string]string{}
		for _, name := range b.names() {
			if !Own(name) {
				got[name], _ = b.content(name)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			p.t.Errorf("%s: %s", side, d)
		}
	}
}

func (p *pair) conflicts() []journal.Conflict {
	p.t.Helper()
	found, err := p.store.Journal.Find(journal.Query{})
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

func TestObjectsCrossBothWaysWithTheirDescription(t *testing.T) {
	p := newPair(t)
	p.s3.put("a", "from s3", map[string]string{"owner": "me"})
	p.start()
	p.settled()
	p.blob.put("b/c", "from blob", nil)
	p.s3.put("a2", strings.Repeat("x", 100_000), nil)
	p.settled()
	p.equal(map[string]string{"a": "from s3", "b/c": "from blob", "a2": strings.Repeat("x", 100_000)})
	info, err := p.blob.Head(context.Background(), "a")
	if err != nil || info.Metadata["owner"] != "me" || info.ContentType != "text/plain" {
		t.Errorf("description is lost: %+v, %v", info, err)
	}
	p.s3.put("a", "second", nil)
	p.blob.del("b/c")
	p.settled()
	p.equal(map[string]string{"a": "second", "a2": strings.Repeat("x", 100_000)})
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

func TestNothingIsCopiedWhenNothingChanged(t *testing.T) {
	p := newPair(t)
	for i := range 20 {
		p.s3.put(fmt.Sprint("o", i), "content", nil)
	}
	p.start()
	p.settled()
	p.settled()
	counts := func() (n int) {
		for _, b := range []*bucket{p.s3, p.blob} {
			b.mu.Lock()
			n += b.calls["head"] + b.calls["get"] + b.calls["put"] + b.calls["delete"]
			b.mu.Unlock()
		}
		return n
	}
	before := counts()
	p.settled()
	if n := counts() - before; n != 0 {
		t.Errorf("%d calls beside listings", n)
	}
}

// TestEqualObjectsAreNoConflictWhicheverIsSeenFirst has one side, of which Blob stores no checksum,
// seen while the other cannot be reached.
func TestEqualObjectsAreNoConflictWhicheverIsSeenFirst(t *testing.T) {
	for _, first := range proa.Regions() {
		p := newPair(t)
		p.blob.noCRC = true
		p.s3.put("same", "3", nil)
		p.blob.put("same", "3", nil)
		var both atomic.Bool
		second := map[proa.Region]*bucket{proa.AWS: p.blob, proa.Azure: p.s3}[first]
		second.fault = func(string, string) error {
			if both.Load() {
				return nil
			}
			return proa.ErrUnavailable
		}
		p.start()
		for end := time.Now().Add(10 * time.Second); p.r.Objects() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		both.Store(true)
		p.settled()
		p.equal(map[string]string{"same": "3"})
		if c := p.conflicts(); len(c) > 0 {
			t.Errorf("%s first: conflicts over equal objects: %+v", first, c)
		}
		p.stop()
	}
}

func TestFreshShadowUnitesAndDeletesNothing(t *testing.T) {
	p := newPair(t)
	p.blob.noCRC = true
	p.s3.put("only-s3", "1", nil)
	p.blob.put("only-blob", "2", nil)
	p.s3.put("same", "3", nil)
	p.blob.put("same", "3", nil)
	p.start()
	p.settled()
	p.equal(map[string]string{"only-s3": "1", "only-blob": "2", "same": "3"})
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts over equal objects: %+v", c)
	}
}

func TestLoserIsKeptBeforeItIsWrittenOver(t *testing.T) {
	for _, versions := range []bool{false, true} {
		p := newPair(t)
		p.s3.versions = versions
		now := time.Now()
		p.s3.now = func() time.Time { return now.Add(-time.Hour) }
		p.s3.put("a", "older", map[string]string{"k": "v"})
		p.blob.put("a", "newer", nil)
		p.start()
		p.settled()
		p.equal(map[string]string{"a": "newer"})
		c := p.conflicts()
		if len(c) != 1 || c[0].Loser.Object == nil {
			t.Fatalf("conflicts: %+v", c)
		}
		lost := c[0].Loser.Object
		if versions {
			if lost.VersionID == "" || lost.Kept != "" {
				t.Errorf("loser is not named by its version: %+v", lost)
			}
			continue
		}
		if body, ok := p.s3.content(lost.Kept); !ok || body != "older" || lost.KeptAt != proa.AWS {
			t.Errorf("loser is not kept: %+v", lost)
		}
		if p.stop != nil {
			p.stop()
		}
	}
}

func TestDeleteOnMissingEvidenceIsNone(t *testing.T) {
	p := newPair(t)
	p.s3.put("a", "1", nil)
	p.start()
	p.settled()
	p.blob.mu.Lock()
	p.blob.fault = func(op, _ string) error {
		if op == "head" || op == "list" {
			return proa.ErrUnavailable
		}
		return nil
	}
	p.blob.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	p.blob.mu.Lock()
	p.blob.fault = nil
	p.blob.mu.Unlock()
	p.settled()
	p.equal(map[string]string{"a": "1"})
}

func TestWritesWhoseAnswerIsLostAreKnownAsOurs(t *testing.T) {
	p := newPair(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, b := range []*bucket{p.s3, p.blob} {
		b.lost = func(string, string) bool { return rng.IntN(2) == 0 }
	}
	p.start()
	want := map[string]string{}
	for i := range 30 {
		name := fmt.Sprint("o", i%10)
		body := fmt.Sprint("body ", i)
		p.s3.put(name, body, nil)
		want[name] = body
		if i%7 == 0 {
			p.settled()
		}
	}
	p.settled()
	p.s3.del("o3")
	delete(want, "o3")
	p.settled()
	p.equal(want)
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("our own writes conflict: %+v", c[0])
	}
}

func TestCorruptStreamIsNotStored(t *testing.T) {
	p := newPair(t)
	p.s3.put("a", "right", nil)
	p.s3.mu.Lock()
	o := p.s3.objects["a"]
	o.body = []byte("wrong")
	p.s3.objects["a"] = o
	p.s3.mu.Unlock()
	p.start()
	time.Sleep(50 * time.Millisecond)
	if body, ok := p.blob.content("a"); ok {
		t.Errorf("stored %q", body)
	}
	if d := p.r.Direction(proa.AWS); d.Backlog != 1 {
		t.Errorf("backlog %d, want 1", d.Backlog)
	}
}

// TestRandomObjectsConverge writes both sides at random with faults and restarts, and holds both
// sides equal in the end.
func TestRandomObjectsConverge(t *testing.T) {
	for seed := range uint64(6) {
		p := newPair(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		calm := false
		for _, b := range []*bucket{p.s3, p.blob} {
			b.fault = func(op, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				if !calm && rng.IntN(10) == 0 {
					return proa.ErrUnavailable
				}
				return nil
			}
			b.lost = func(string, string) bool {
				mu.Lock()
				defer mu.Unlock()
				return !calm && rng.IntN(8) == 0
			}
		}
		p.start()
		ops := rand.New(rand.NewPCG(seed, 2))
		for i := range 60 {
			b := []*bucket{p.s3, p.blob}[ops.IntN(2)]
			name := fmt.Sprint("n", ops.IntN(6))
			switch ops.IntN(6) {
			case 0:
				b.del(name)
			case 1:
				p.stop()
				p.start()
			default:
				b.put(name, fmt.Sprint("body ", i), nil)
			}
			time.Sleep(time.Duration(ops.IntN(4)) * time.Millisecond)
		}
		mu.Lock()
		calm = true
		mu.Unlock()
		p.settled()
		want := map[string]string{}
		for _, name := range p.s3.names() {
			if !Own(name) {
				want[name], _ = p.s3.content(name)
			}
		}
		p.equal(want)
		for _, c := range p.conflicts() {
			l := c.Loser
			if l.Tombstone || l.Object.Kept == "" {
				continue
			}
			b := map[proa.Region]*bucket{proa.AWS: p.s3, proa.Azure: p.blob}[l.Object.KeptAt]
			if _, err := b.Head(context.Background(), l.Object.Kept); errors.Is(err, proa.ErrNotFound) {
				t.Logf("seed %d: loser %s was written over at its own side before it was kept", seed, l.Version)
			}
		}
		p.stop()
	}
}
