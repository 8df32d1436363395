package datasync

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/internal/store"
)

var schema = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

func key(id string) proa.Key { return proa.Key{Table: "orders", Hash: proa.String(id)} }

func order(id, text string) proa.Item {
	return proa.Item{"id": proa.String(id), "text": proa.String(text)}
}

// world is two fake clouds and a service between them.
type world struct {
	t        testing.TB
	patience time.Duration // of until; a minute when 0, as machines are slow at times
	fs       *vfs.MemFS
	db       *pebble.DB
	aws, az  *fake.Table
	feeds    map[proa.Region]*fake.Feed
	cfg      Config
	s        *Service
	stop     func()
	finished chan error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, fs: vfs.NewMem(), aws: fake.New(proa.AWS, false, schema, time.Now),
		az: fake.New(proa.Azure, true, schema, time.Now),
	}
	w.feeds = map[proa.Region]*fake.Feed{proa.AWS: {Table: w.aws}, proa.Azure: {Table: w.az}}
	w.cfg = Default()
	w.cfg.Clock = time.Now
	w.cfg.PollMin, w.cfg.PollMax = time.Millisecond, 5*time.Millisecond
	w.cfg.Upkeep = 50 * time.Millisecond
	if os.Getenv("DATASYNC_LOG") != "" {
		w.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	rules := resolve.DefaultRules(schema)
	rules.FeedWait = 50 * time.Millisecond
	w.cfg.Tables = []Table{{Schema: schema, Rules: rules, Sides: map[proa.Region]TableSide{
		proa.AWS:   {Table: w.aws, Feed: w.feeds[proa.AWS]},
		proa.Azure: {Table: w.az, Feed: w.feeds[proa.Azure]},
	}}}
	t.Cleanup(func() {
		if w.stop != nil {
			w.shutdown()
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: w.fs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.db, w.cfg.DB = db, db
	if w.s, err = New(w.cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.finished = make(chan error, 1)
	s := w.s
	go func() { w.finished <- s.Run(ctx) }()
	w.stop = cancel
}

// runOn runs the service that was made and returns what stops it.
func (w *world) runOn() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func (w *world) shutdown() {
	w.t.Helper()
	w.stop()
	w.stop = nil
	if err := <-w.finished; err != nil {
		w.t.Errorf("run: %v", err)
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

// until waits for something to hold.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	if w.patience == 0 {
		w.patience = time.Minute
	}
	for end := time.Now().Add(w.patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	st, _ := w.s.Status()
	w.t.Fatalf("never: %s; %+v", what, st)
}

// quiet waits until both sides hold the same.
func (w *world) quiet() {
	w.t.Helper()
	w.until("both directions caught up", func() bool {
		for _, r := range proa.Regions() {
			d, err := w.s.Replication(r)
			if err != nil || !d.Known || d.Backlog > 0 || d.Scanning || d.Quarantined > 0 {
				return false
			}
			if q := w.s.store.Depth("orders", r); q.Ready+q.Delayed+q.InFlight > 0 {
				return false
			}
		}
		a, z := w.s.tables()[0].sides[0], w.s.tables()[0].sides[1]
		from := time.Now()
		for a.freshness().Before(from) || z.freshness().Before(from) {
			time.Sleep(time.Millisecond)
		}
		for _, r := range proa.Regions() {
			if q := w.s.store.Depth("orders", r); q.Ready+q.Delayed+q.InFlight > 0 {
				return false
			}
		}
		return true
	})
	res, err := w.s.Verify(context.Background(), VerifyOptions{})
	if err != nil || res.Differences+res.InFlight > 0 {
		w.t.Fatalf("verify: %+v, %v", res, err)
	}
}

func TestWritesCrossBothWays(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	for i := range 50 {
		w.aws.Put(order(fmt.Sprint("a", i), "from aws"), 0)
		w.az.Put(order(fmt.Sprint("z", i), "from azure"), 0)
	}
	w.quiet()
	if a, z := w.aws.Len(), w.az.Len(); a != 100 || z != 100 {
		t.Fatalf("%d and %d items, want 100", a, z)
	}
	for i := range 50 {
		w.aws.Delete(key(fmt.Sprint("z", i)), false, 0)
	}
	w.quiet()
	if a, z := w.aws.Len(), w.az.Len(); a != 50 || z != 50 {
		t.Fatalf("%d and %d items after deletes, want 50", a, z)
	}
	found, err := w.s.Conflicts(journal.Query{})
	if err != nil || len(found) != 0 {
		t.Fatalf("conflicts %v, %v", found, err)
	}
}
