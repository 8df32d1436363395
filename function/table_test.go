package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
	"github.com/proa-cloud/proa/hlc"
)

var schema = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

func none(string) string { return "" }

// newTable makes a table in memory whose clock stands at 1970 plus an hour.
func newTable(t *testing.T) (*Table, *cloudtest.Table) {
	t.Helper()
	store := cloudtest.NewTable(schema)
	clock := func() time.Time { return time.UnixMilli(3_600_000) }
	return &Table{store: store, region: proa.AWS, clock: clock, announce: newAnnouncer(none, proa.AWS)}, store
}

func order(id, text string) proa.Item {
	return proa.Item{"id": proa.String(id), "text": proa.String(text)}
}

func (t *Table) raw(ctx context.Context, id string) cloud.Row {
	row, err := t.store.Get(ctx, t.Key(proa.String(id)))
	if err != nil {
		panic(err)
	}
	return row
}

func TestWritesAreStampedAfterWhatTheySaw(t *testing.T) {
	table, store := newTable(t)
	ctx := t.Context()
	v1, err := table.PutNew(ctx, order("1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if v1.Time.MS() != 3_600_000 || v1.Region != proa.AWS || v1.Hash != proa.ContentHash(order("1", "a")) {
		t.Errorf("first version %v", v1)
	}
	// A version from the future: the next one comes after it all the same.
	future := proa.Envelope{Version: proa.Version{
		Time: hlc.FromMS(9_000_000), Region: proa.Azure,
		Hash: proa.ContentHash(order("1", "b")),
	}}
	row, _, err := store.Swap(ctx, table.raw(ctx, "1"), proa.Image{Item: order("1", "b"), Envelope: &future})
	if err != nil {
		t.Fatal(err)
	}
	v3, err := table.Put(ctx, order("1", "c"))
	if err != nil {
		t.Fatal(err)
	}
	e := table.raw(ctx, "1").Image.Envelope
	if v3.Time != future.Version.Time.Next() || e.Parent != row.Image.Envelope.Version || e.Version != v3 {
		t.Errorf("version %v, envelope %+v", v3, e)
	}
}

func TestConditionsHold(t *testing.T) {
	table, _ := newTable(t)
	ctx := t.Context()
	key := table.Key(proa.String("1"))
	v1, err := table.PutNew(ctx, order("1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	_, err = table.PutNew(ctx, order("1", "b"))
	want("PutNew over an item", err, proa.ErrExists)
	v2, err := table.PutIf(ctx, order("1", "b"), v1)
	want("PutIf of the version", err, nil)
	_, err = table.PutIf(ctx, order("1", "c"), v1)
	want("PutIf of a stale version", err, proa.ErrConflict)
	_, err = table.PutIf(ctx, order("2", "c"), v1)
	want("PutIf of nothing", err, proa.ErrConflict)
	want("DeleteIf of a stale version", table.DeleteIf(ctx, key, v1), proa.ErrConflict)
	want("DeleteIf", table.DeleteIf(ctx, key, v2), nil)
	want("DeleteIf of nothing", table.DeleteIf(ctx, key, v2), proa.ErrConflict)
	want("Delete of nothing", table.Delete(ctx, key), nil)
	_, err = table.Get(ctx, key)
	want("Get of nothing", err, proa.ErrNotFound)
	_, err = table.Put(ctx, proa.Item{"x": proa.Null()})
	want("Put without a key", err, proa.ErrInvalid)
	_, err = table.Update(ctx, key, func(Entry) (proa.Item, error) { return nil, nil })
	want("Update of nothing", err, proa.ErrNotFound)
}

func TestTombstonesAreNotThereButAreParents(t *testing.T) {
	table, store := newTable(t)
	ctx := t.Context()
	key := table.Key(proa.String("1"))
	dead := proa.Envelope{Version: proa.Version{Time: 5, Region: proa.Azure}, Tombstone: true}
	img := proa.Image{Item: schema.Attributes(key), Envelope: &dead}
	if _, _, err := store.Swap(ctx, cloud.Row{Key: key}, img); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Get(ctx, key); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if entries, _, err := table.List(ctx, "", 10); err != nil || len(entries) != 0 {
		t.Errorf("List: %v, %v", entries, err)
	}
	if err := table.Delete(ctx, key); err != nil || !table.raw(ctx, "1").Image.Tombstone() {
		t.Errorf("Delete: %v, and the tombstone image must stay: it is proa's", err)
	}
	if _, err := table.PutNew(ctx, order("1", "again")); err != nil {
		t.Fatal(err)
	}
	if e := table.raw(ctx, "1").Image.Envelope; e.Parent != dead.Version || e.Tombstone {
		t.Errorf("the new item's envelope: %+v", e)
	}
}

func TestForeignWritesHaveVersionsToCompare(t *testing.T) {
	table, store := newTable(t)
	ctx := t.Context()
	if _, err := table.PutNew(ctx, order("1", "a")); err != nil {
		t.Fatal(err)
	}
	row := table.raw(ctx, "1")
	stale := proa.Image{Item: order("1", "changed by another SDK"), Envelope: row.Image.Envelope}
	if _, _, err := store.Swap(ctx, row, stale); err != nil {
		t.Fatal(err)
	}
	e, err := table.Get(ctx, table.Key(proa.String("1")))
	if err != nil || e.Version == row.Image.Envelope.Version || e.Version.Hash != proa.ContentHash(e.Item) {
		t.Fatalf("got %+v, %v", e, err)
	}
	if _, err := table.PutIf(ctx, order("1", "b"), e.Version); err != nil {
		t.Error(err)
	}
}

func TestUpdatesOfManyAreAllKept(t *testing.T) {
	table, _ := newTable(t)
	ctx := t.Context()
	if _, err := table.PutNew(ctx, proa.Item{"id": proa.String("1"), "list": proa.List()}); err != nil {
		t.Fatal(err)
	}
	const n = 6
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			_, err := table.Update(ctx, table.Key(proa.String("1")), func(e Entry) (proa.Item, error) {
				e.Item["list"] = proa.List(append(e.Item["list"].List[:len(e.Item["list"].List):len(e.Item["list"].List)],
					proa.String(fmt.Sprint(i)))...)
				return e.Item, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	e, err := table.Get(ctx, table.Key(proa.String("1")))
	if err != nil || len(e.Item["list"].List) != n {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestARepeatedCallWhoseAnswerWasLostIsASuccess(t *testing.T) {
	table, store := newTable(t)
	table.store = lossy{store}
	if _, err := table.PutNew(t.Context(), order("1", "a")); err != nil {
		t.Errorf("got %v", err)
	}
}

// lossy stores the first write and then answers as the SDK's second try would be answered.
type lossy struct{ *cloudtest.Table }

func (l lossy) Swap(ctx context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	if _, _, err := l.Table.Swap(ctx, seen, next); err != nil {
		return cloud.Row{}, nil, err
	}
	return l.Table.Swap(ctx, seen, next)
}

func TestErrorsOfTheStoreAreTheCallers(t *testing.T) {
	table, store := newTable(t)
	store.Fail = func(string) error { return fmt.Errorf("down: %w", proa.ErrUnavailable) }
	if _, err := table.Put(t.Context(), order("1", "a")); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAcknowledgedWritesAreAnnounced(t *testing.T) {
	var got []proa.Announcement
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a proa.Announcement
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &a); err != nil || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s: %v", body, err)
		}
		a.At = time.Time{}
		got = append(got, a)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer node.Close()
	env := map[string]string{"PROA_ANNOUNCE_URL": node.URL, "PROA_ANNOUNCE_TOKEN": "secret"}
	announce := newAnnouncer(func(name string) string { return env[name] }, proa.AWS)
	table, _ := newTable(t)
	table.announce = announce
	bucket := &Bucket{name: "attachments", bucket: cloudtest.NewBucket(), announce: announce}
	ctx := t.Context()
	v1, err := table.PutNew(ctx, order("1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	_, refused := table.PutNew(ctx, order("1", "b"))
	if refused == nil || table.Delete(ctx, table.Key(proa.String("1"))) != nil {
		t.Fatal(refused)
	}
	info, err := bucket.Put(ctx, "o", strings.NewReader("x"), 1, cloud.PutOptions{})
	if err != nil || bucket.Delete(ctx, "o", info.ETag) != nil {
		t.Fatal(err)
	}
	key := proa.Item{"id": proa.String("1")}
	deleted := proa.Version{Time: v1.Time.Next(), Region: proa.AWS}
	want := []proa.Announcement{
		{Region: proa.AWS, Table: "orders", Key: key, Version: v1},
		{Region: proa.AWS, Table: "orders", Key: key, Version: deleted, Deleted: true},
		{Region: proa.AWS, Bucket: "attachments", Object: "o", ETag: info.ETag},
		{Region: proa.AWS, Bucket: "attachments", Object: "o", Deleted: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if announce.sent.Load() != 4 || announce.failed.Load() != 0 {
		t.Errorf("sent %d, failed %d", announce.sent.Load(), announce.failed.Load())
	}
}

func TestNobodyListeningNeverFailsAWrite(t *testing.T) {
	calls := 0
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer node.Close()
	table, _ := newTable(t)
	now := time.UnixMilli(1_000_000)
	table.announce = newAnnouncer(none, proa.AWS)
	table.announce.nodes, table.announce.clock = []*listener{newListener(node.URL)}, func() time.Time { return now }
	for i := range 3 {
		if _, err := table.Put(t.Context(), order("1", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 || table.announce.failed.Load() != 3 {
		t.Errorf("%d calls within the rest, %d failures counted", calls, table.announce.failed.Load())
	}
	now = now.Add(announceRest)
	if _, err := table.Put(t.Context(), order("1", "later")); err != nil || calls != 2 {
		t.Errorf("after the rest: %d calls, %v", calls, err)
	}
}

// Nodes that are late, as on a machine under load, know of every write a little later.
func TestALateNodeIsToldAllTheSame(t *testing.T) {
	var known atomic.Int64
	node := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(announceWait + 50*time.Millisecond)
		known.Add(1)
	}))
	defer node.Close()
	table, _ := newTable(t)
	table.announce = newAnnouncer(none, proa.AWS)
	table.announce.nodes = []*listener{newListener(node.URL)}
	const writes = 20
	for i := range writes {
		if _, err := table.Put(t.Context(), order(fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); known.Load() < writes && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if n := known.Load(); n != writes {
		t.Errorf("the node knows of %d of %d writes", n, writes)
	}
}

// A frozen node takes connections and says nothing: what is under way to it has a bound, and writes wait for it three times a second.
func TestAFrozenNodeCostsLittle(t *testing.T) {
	thaw := make(chan struct{})
	node := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-thaw }))
	defer node.Close()
	defer close(thaw)
	table, _ := newTable(t)
	table.announce = newAnnouncer(none, proa.AWS)
	n := newListener(node.URL)
	n.ways = make(chan struct{}, 5)
	table.announce.nodes = []*listener{n}
	stopped := time.Now() // the clock stands still once the waits were in vain
	table.announce.clock = func() time.Time { return stopped }
	for i := range 100 {
		if _, err := table.Put(t.Context(), order(fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	if under, failed := len(n.ways), table.announce.failed.Load(); under != 5 || failed != 100 {
		t.Errorf("%d announcements under way, want 5; %d writes not known, want 100", under, failed)
	}
	if took := time.Since(stopped); took > 20*announceWait {
		t.Errorf("100 writes took %s", took)
	}
}

func TestEveryNodeIsToldAndOneIsEnough(t *testing.T) {
	var told atomic.Int64
	answers := func(status int) string {
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			told.Add(1)
			w.WriteHeader(status)
		}))
		t.Cleanup(node.Close)
		return node.URL
	}
	urls := answers(http.StatusServiceUnavailable) + ", " + answers(http.StatusOK) + "," + answers(http.StatusServiceUnavailable)
	env := map[string]string{"PROA_ANNOUNCE_URL": urls}
	table, _ := newTable(t)
	table.announce = newAnnouncer(func(name string) string { return env[name] }, proa.AWS)
	if _, err := table.Put(t.Context(), order("1", "x")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); told.Load() < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if told.Load() != 3 || table.announce.sent.Load() != 1 || table.announce.failed.Load() != 0 {
		t.Errorf("%d nodes told, %d sent, %d failed", told.Load(), table.announce.sent.Load(), table.announce.failed.Load())
	}
}

func TestTheEnvironmentTellsTheRegion(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want proa.Region
	}{
		{nil, proa.AWS},
		{map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", "COSMOS_ENDPOINT": "y"}, proa.AWS},
		{map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "1"}, proa.Azure},
		{map[string]string{"COSMOS_ENDPOINT": "y"}, proa.Azure},
		{map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", "PROA_REGION": "azure"}, proa.Azure},
	} {
		if got, err := regionOf(func(name string) string { return c.env[name] }); got != c.want || err != nil {
			t.Errorf("%v: got %s, %v", c.env, got, err)
		}
	}
	_, err := openTable(t.Context(), schema, func(name string) string {
		return map[string]string{"PROA_REGION": "mars"}[name]
	})
	if !errors.Is(err, proa.ErrInvalidConfig) {
		t.Errorf("an unknown region: %v", err)
	}
	_, err = openBucket(t.Context(), "b", func(name string) string {
		return map[string]string{"PROA_REGION": "azure"}[name]
	})
	if !errors.Is(err, proa.ErrInvalidConfig) {
		t.Errorf("Azure without a connection string: %v", err)
	}
}

func TestJSONNumbersAreExact(t *testing.T) {
	item, err := FromJSON([]byte(`{"id":"1","n":123456789012345678901234567890.5,"e":1e3,"deep":[{"x":null,"y":[]}],"t":true,"s":"<é"}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"deep":[{"x":null,"y":[]}],"e":1000,"id":"1","n":123456789012345678901234567890.5,"s":"<é","t":true}`
	if got := string(AppendJSON(nil, item)); got != want {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{
		`{"a":"\ud83d"}`,
		``, `[]`, `null`, `{`, `{} {}`, `{}}`, `{}]`, `{"a":"` + "\xff" + `"}`, `{"a":1e400}`, `{"a":1234567890123456789012345678901234567890.5}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		if _, err := FromJSON([]byte(bad)); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%.40s: got %v", bad, err)
		}
	}
}

// A function of an older proa does not write over what a later one has written, which it has not understood.
func TestALaterFormatIsNotWrittenOver(t *testing.T) {
	table, store := newTable(t)
	ctx := t.Context()
	fields := proa.Envelope{Version: proa.Version{Region: proa.AWS, Hash: proa.ContentHash(order("1", "a"))}}.Value().Map
	fields["f"] = proa.Value{Kind: proa.KindN, Str: "2"}
	stored := order("1", "a")
	stored[proa.EnvelopeAttr] = proa.Map(fields)
	img := proa.SplitEnvelope(stored)
	if _, _, err := store.Swap(ctx, cloud.Row{Key: table.Key(proa.String("1"))}, img); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Put(ctx, order("1", "b")); !errors.Is(err, proa.ErrInvalid) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("%v, want ErrInvalid that says what to do", err)
	}
	if got := table.raw(ctx, "1"); !got.Image.Item.Equal(order("1", "a")) {
		t.Errorf("it has become %v", got.Image.Item)
	}
}
