package aws

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb"
	"github.com/proa-cloud/proa/cloud"
)

var orders = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

// shardedDynamoDB is a local DynamoDB whose time stands still until it is moved, with two shards a stream that live for an hour.
type shardedDynamoDB struct {
	*dynamodb.Server
	Config
	now    atomic.Int64 // Unix seconds
	answer atomic.Pointer[func(w http.ResponseWriter, op string) bool]
}

func newSharded(t *testing.T) *shardedDynamoDB {
	t.Helper()
	d := &shardedDynamoDB{}
	d.now.Store(time.Now().Unix())
	server, err := dynamodb.New(dynamodb.Config{
		Dir: t.TempDir(), Clock: func() time.Time { return time.Unix(d.now.Load(), 0) }, StreamShards: 2, ShardAge: time.Hour,
		StreamRetention: 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Server = server
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if answer := d.answer.Load(); answer != nil && (*answer)(w, op) {
			return
		}
		server.ServeHTTP(w, r)
	}))
	d.Config = testConfig(listener.URL)
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	createTable(t, d.Config, orders)
	return d
}

// pass moves the clock and lets shards roll and records be trimmed.
func (d *shardedDynamoDB) pass(t *testing.T, by time.Duration) {
	t.Helper()
	d.now.Add(int64(by / time.Second))
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (d *shardedDynamoDB) put(t *testing.T, table *Table, id, text string) {
	t.Helper()
	key := proa.Key{Table: "orders", Hash: proa.String(id)}
	row, err := table.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	item := proa.Item{"id": key.Hash, "text": proa.String(text)}
	if _, _, err := table.Swap(t.Context(), row, proa.Image{Item: item}); err != nil {
		t.Fatal(err)
	}
}

// drain reads until nothing more is known to come and returns what came, as id=text.
func drain(t *testing.T, feed *Feed, cursor string) ([]string, string) {
	t.Helper()
	var got []string
	for quiet, tries := 0, 0; quiet < 3; tries++ {
		batch, err := feed.Read(t.Context(), cursor)
		if err != nil || tries > 1000 {
			t.Fatalf("after %d reads: %v", tries, err)
		}
		for _, c := range batch.Changes {
			got = append(got, c.Key.Hash.Str+"="+c.New.Item["text"].Str)
		}
		cursor = batch.Next
		quiet++
		if batch.More {
			quiet = 0
		} else {
			time.Sleep(6 * time.Millisecond) // past the least interval between two reads of a shard
		}
	}
	return got, cursor
}

func TestParentsAreReadBeforeTheirChildren(t *testing.T) {
	d := newSharded(t)
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const keys, rounds = 8, 4
	want := map[string][]string{}
	for round := range rounds {
		for k := range keys {
			id, text := fmt.Sprint("k", k), fmt.Sprint(round)
			d.put(t, table, id, text)
			want[id] = append(want[id], text)
		}
		d.pass(t, 2*time.Hour) // every shard ends and has a child
	}
	for name, reader := range map[string]*Feed{"the same process": feed, "a restarted one": openFeed(t, d.Config, orders)} {
		changes, _ := drain(t, reader, cursor)
		got := map[string][]string{}
		for _, c := range changes {
			id, text, _ := strings.Cut(c, "=")
			got[id] = append(got[id], text)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestACursorFollowsItsShardsForDays(t *testing.T) {
	d := newSharded(t)
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for day := range 3 {
		for hour := range 12 {
			d.pass(t, 2*time.Hour)
			text := fmt.Sprint(day, "/", hour)
			d.put(t, table, "k", text)
			var got []string
			if got, cursor = drain(t, feed, cursor); len(got) != 1 || got[0] != "k="+text {
				t.Fatalf("got %v, want %s", got, text)
			}
		}
		feed = openFeed(t, d.Config, orders) // iterators are gone, shards of yesterday too
	}
	if len(cursor) > 2000 {
		t.Errorf("the cursor grew to %d bytes: %s", len(cursor), cursor)
	}
}

func TestWhatWasTrimmedUnreadIsAGap(t *testing.T) {
	d := newSharded(t)
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.put(t, table, "k", "1")
	_, cursor = drain(t, feed, cursor)
	for range 30 {
		d.put(t, table, "k", "unread")
		d.pass(t, 2*time.Hour)
	}
	_, err = openFeed(t, d.Config, orders).Read(t.Context(), cursor)
	var typed *proa.Error
	if !errors.Is(err, proa.ErrFeedGap) || !errors.As(err, &typed) {
		t.Fatalf("got %v", err)
	}
	if cursor, err = feed.Now(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.put(t, table, "k", "after")
	if got, _ := drain(t, feed, cursor); fmt.Sprint(got) != "[k=after]" {
		t.Errorf("after Now: %v", got)
	}
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, code, message)
}

func TestExpiredIteratorsAreRenewed(t *testing.T) {
	d := newSharded(t)
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.put(t, table, "k", "1")
	_, cursor = drain(t, feed, cursor)
	d.put(t, table, "k", "2")
	var expired atomic.Int32
	expire := func(w http.ResponseWriter, op string) bool {
		if op != "GetRecords" || expired.Add(1) > 1 {
			return false
		}
		refuse(w, "ExpiredIteratorException", "Iterator expired")
		return true
	}
	d.answer.Store(&expire)
	if got, _ := drain(t, feed, cursor); fmt.Sprint(got) != "[k=2]" {
		t.Errorf("got %v", got)
	}
	if expired.Load() < 2 {
		t.Error("no iterator had expired")
	}
}

// throttleOne changes both shards and refuses the next read of one.
func (d *shardedDynamoDB) throttleOne(t *testing.T, table *Table) {
	t.Helper()
	for k := range 20 { // enough for both shards
		d.put(t, table, fmt.Sprint("k", k), "1")
	}
	var reads atomic.Int32
	throttle := func(w http.ResponseWriter, op string) bool {
		if op != "GetRecords" || reads.Add(1) != 1 {
			return false
		}
		refuse(w, "ProvisionedThroughputExceededException", "slow down")
		return true
	}
	d.answer.Store(&throttle)
}

func TestOneThrottledShardDoesNotHoldBackTheOthers(t *testing.T) {
	d := newSharded(t)
	d.Attempts = 1
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.throttleOne(t, table)
	batch, err := feed.Read(t.Context(), cursor)
	if err != nil || len(batch.Changes) == 0 || len(batch.Changes) == 20 {
		t.Fatalf("got %d changes, %v", len(batch.Changes), err)
	}
	rest, _ := drain(t, feed, batch.Next)
	if len(rest)+len(batch.Changes) != 20 {
		t.Errorf("%d and %d changes came", len(batch.Changes), len(rest))
	}
	all := func(w http.ResponseWriter, op string) bool {
		refuse(w, "ProvisionedThroughputExceededException", "slow down")
		return true
	}
	d.answer.Store(&all)
	time.Sleep(10 * time.Millisecond) // past the least interval
	if _, err := feed.Read(t.Context(), batch.Next); !errors.Is(err, proa.ErrThrottled) {
		t.Errorf("got %v", err)
	}
}

func TestARestartBeforeTheFirstChangeMissesNone(t *testing.T) {
	d := newSharded(t)
	table := openTable(t, d.Config, orders)
	d.put(t, table, "k", "long before")
	d.pass(t, 10*time.Minute)
	feed := openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.now.Store(time.Now().Unix()) // the cursor is stamped by the real clock
	d.put(t, table, "k", "after")
	if got, _ := drain(t, openFeed(t, d.Config, orders), cursor); len(got) == 0 || got[len(got)-1] != "k=after" {
		t.Errorf("got %v", got)
	}
}

func TestAStreamWithoutImagesIsRefused(t *testing.T) {
	c := localCloud(t)
	plain := proa.Schema{Table: "plain", HashName: "id", HashKind: proa.KindS}
	createTableAs(t, c, plain, nil)
	if _, err := openFeed(t, c, plain).Now(t.Context()); !errors.Is(err, proa.ErrUnsupported) {
		t.Errorf("no stream: %v", err)
	}
	createTableAs(t, c, orders, &types.StreamSpecification{
		StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly,
	})
	if _, err := openFeed(t, c, orders).Now(t.Context()); !errors.Is(err, proa.ErrUnsupported) {
		t.Errorf("keys only: %v", err)
	}
	bare := proa.Schema{Table: "bare", HashName: "id", HashKind: proa.KindS}
	if _, err := openFeed(t, c, bare).Now(t.Context()); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("no table: %v", err)
	}
}

// The service lets each shard be read five times a second, for all its readers together.
func TestAShardIsReadNoMoreOftenThanTheServiceAllows(t *testing.T) {
	d := newSharded(t)
	d.FeedInterval = 200 * time.Millisecond // as in the cloud
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int32
	count := func(_ http.ResponseWriter, op string) bool {
		if op == "GetRecords" {
			reads.Add(1)
		}
		return false
	}
	d.answer.Store(&count)
	began, asked := time.Now(), 0
	for ; asked < 30 || time.Since(began) < time.Second; asked++ {
		d.put(t, table, "k", fmt.Sprint(asked))
		batch, err := feed.Read(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		cursor = batch.Next
	}
	const shards = 2
	// One more each: the first read of a second need not wait.
	allowed := shards * (int32(time.Since(began)/d.FeedInterval) + 1)
	if n := reads.Load(); n > allowed || n == 0 {
		t.Errorf("%d reads of %d shards, %d are allowed; asked %d times", n, shards, allowed, asked)
	}
}

// A read within the service's interval reads nothing: it must not be taken for one that found nothing.
func TestAReadThatReadsNothingSaysHowOldItsWordIs(t *testing.T) {
	d := newSharded(t)
	d.FeedInterval = time.Minute
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := feed.Read(t.Context(), cursor)
	if err != nil || first.More || first.Age == 0 || first.Age > 30*time.Second {
		t.Fatalf("first read: %+v, %v", first, err)
	}
	written := time.Now()
	d.put(t, table, "k", "1")
	batch, err := feed.Read(t.Context(), first.Next)
	if read := time.Now().Add(-batch.Age); err != nil || len(batch.Changes) != 0 || !read.Before(written) {
		t.Errorf("a read that skipped both shards says that it has all until %s after the write: %+v, %v", read.Sub(written), batch, err)
	}
}

// A shard that cannot be read holds back what the whole feed is known to have shown.
func TestAThrottledShardHoldsBackTheFeedsAge(t *testing.T) {
	d := newSharded(t)
	d.Attempts = 1
	table, feed := openTable(t, d.Config, orders), openFeed(t, d.Config, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.throttleOne(t, table)
	batch, err := feed.Read(t.Context(), cursor)
	if err != nil || len(batch.Changes) == 0 || batch.Age != cloud.AgeUnknown {
		t.Fatalf("%d changes, age %s, %v", len(batch.Changes), batch.Age, err)
	}
	for range 100 {
		time.Sleep(6 * time.Millisecond) // past the least interval
		if batch, err = feed.Read(t.Context(), batch.Next); err != nil {
			t.Fatal(err)
		}
		if batch.Age != cloud.AgeUnknown {
			return
		}
	}
	t.Errorf("still %+v", batch)
}
