package dynamodb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	st "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/aws/local/dynamodb"
)

// reopen starts a server on what a crash left of a file system.
func reopen(t *testing.T, fs vfs.FS) *fixture {
	t.Helper()
	return newFixtureWith(t, dynamodb.Config{FS: fs, Dir: "d"})
}

// TestAcknowledgedWritesSurviveACrash cuts the power at random moments under concurrent load. What
// was acknowledged before is there with its stream record; of what was not, either both or neither;
// transactions are whole.
func TestAcknowledgedWritesSurviveACrash(t *testing.T) {
	for round := range 5 {
		t.Run(strconv.Itoa(round), func(t *testing.T) { crashOnce(t, int64(round)) })
	}
}

func crashOnce(t *testing.T, seed int64) {
	mem := vfs.NewCrashableMem()
	f := newFixtureWith(t, dynamodb.Config{FS: mem, Dir: "d", StreamShards: 2})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	const writers = 8
	var mu sync.Mutex
	acked := map[string]int{}
	stop, progress := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := writePair(f, w, i); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[strconv.Itoa(w)] = i
				mu.Unlock()
				select {
				case progress <- struct{}{}:
				case <-stop:
				}
			}
		})
	}
	for range 20 + 17*seed { // the load runs; the moment does not matter
		<-progress
	}
	mu.Lock()
	before := map[string]int{}
	for k, v := range acked {
		before[k] = v
	}
	mu.Unlock()
	crashed := mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: int(seed * 25),
		RNG:                 rand.New(rand.NewPCG(uint64(seed), 0)),
	})
	close(stop)
	wg.Wait()
	verifyCrash(t, reopen(t, crashed), before)
}

// writePair puts key w and key w-pair to the same number: in one transaction every third time, else
// one after the other.
func writePair(f *fixture, w, i int) error {
	ctx, table := context.Background(), "tab"
	item := func(suffix string) attrs {
		return attrs{"id": str(strconv.Itoa(w) + suffix), "v": num(strconv.Itoa(i))}
	}
	if i%3 == 0 {
		_, err := f.tables.TransactWriteItems(ctx,
			&ddb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: &table, Item: item("")}},
				{Put: &types.Put{TableName: &table, Item: item("-pair")}},
			}})
		return err
	}
	for _, suffix := range []string{"-pair", ""} {
		if _, err := f.tables.PutItem(ctx, &ddb.PutItemInput{
			TableName: &table,
			Item:      item(suffix),
		}); err != nil {
			return err
		}
	}
	return nil
}

func verifyCrash(t *testing.T, f *fixture, acked map[string]int) {
	ctx, table := context.Background(), "tab"
	out, err := f.tables.Scan(ctx, &ddb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for _, item := range out.Items {
		v, _ := strconv.Atoi(item["v"].(*types.AttributeValueMemberN).Value)
		stored[item["id"].(*types.AttributeValueMemberS).Value] = v
	}
	for w, v := range acked {
		if stored[w] < v {
			t.Errorf("key %s: %d acknowledged, %d found", w, v, stored[w])
		}
		if pair := stored[w+"-pair"]; pair < stored[w] || pair%3 == 0 && pair != stored[w] {
			t.Errorf("key %s: %d, its pair %d: half a transaction", w, stored[w], pair)
		}
	}
	streamed := map[string]int{}
	for _, r := range f.records(t, table) {
		id := r.Dynamodb.Keys["id"].(*st.AttributeValueMemberS).Value
		v, _ := strconv.Atoi(number(r.Dynamodb.NewImage))
		if v != streamed[id]+1 {
			t.Errorf("key %s: record %d after %d", id, v, streamed[id])
		}
		streamed[id] = v
	}
	for id, v := range stored {
		if streamed[id] != v {
			t.Errorf("key %s: item %d, last stream record %d", id, v, streamed[id])
		}
	}
	d, err := f.tables.DescribeTable(ctx, &ddb.DescribeTableInput{TableName: &table})
	if err != nil || *d.Table.ItemCount != int64(len(stored)) {
		t.Errorf("item count %d, %d items: %v", *d.Table.ItemCount, len(stored), err)
	}
	f.put(t, table, attrs{"id": str("fresh"), "v": num("1")}) // sequence numbers go on
	last := ""
	for _, sh := range f.shards(t, f.streamARN(t, table)) {
		for _, r := range f.drain(t, f.streamARN(t, table), *sh.ShardId) {
			if last = *r.Dynamodb.SequenceNumber; last == "" {
				t.Error("no sequence number")
			}
		}
	}
}

// TestEverythingIsThereAfterARestart closes and reopens a data folder on disk.
func TestEverythingIsThereAfterARestart(t *testing.T) {
	ctx, dir, clk := context.Background(), t.TempDir(), newClock()
	cfg := dynamodb.Config{Dir: dir, Clock: clk.Now}
	s, err := dynamodb.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	f := &fixture{Server: s, clock: clk}
	f.tables, f.streams = clients(web.URL)
	f.createTable(t, "tab", "id", "r:N", types.StreamViewTypeNewAndOldImages)
	name := "tab"
	for i := range 20 {
		f.put(t, name, attrs{
			"id": str("a"), "r": num(fmt.Sprint(i - 10)),
			"exp": num(fmt.Sprint(clk.Now().Unix() + 100)),
		})
	}
	arn := f.streamARN(t, name)
	if _, err := f.tables.TagResource(ctx, &ddb.TagResourceInput{
		ResourceArn: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/tab"),
		Tags:        []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.tables.UpdateTimeToLive(ctx, &ddb.UpdateTimeToLiveInput{
		TableName: &name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String("exp"),
			Enabled:       aws.Bool(true),
		},
	}); err != nil {
		t.Fatal(err)
	}
	token := &ddb.TransactWriteItemsInput{
		ClientRequestToken: aws.String("once"),
		TransactItems: []types.TransactWriteItem{{
			Update: &types.Update{
				TableName: &name, Key: attrs{"id": str("t"), "r": num("1")},
				UpdateExpression:          aws.String("ADD n :one"),
				ExpressionAttributeValues: attrs{":one": num("1")},
			},
		}},
	}
	if _, err := f.tables.TransactWriteItems(ctx, token); err != nil {
		t.Fatal(err)
	}
	web.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	g := newFixtureWith(t, cfg)
	if got := g.streamARN(t, name); got != arn {
		t.Errorf("stream %s, was %s", got, arn)
	}
	if n := len(g.records(t, name)); n != 21 {
		t.Errorf("%d stream records, want 21", n)
	}
	if _, err := g.tables.TransactWriteItems(ctx, token); err != nil {
		t.Fatal(err)
	}
	got, err := g.tables.GetItem(ctx, &ddb.GetItemInput{TableName: &name, Key: attrs{
		"id": str("t"),
		"r":  num("1"),
	}})
	if err != nil || got.Item["n"].(*types.AttributeValueMemberN).Value != "1" {
		t.Errorf("the replayed transaction ran again: %v %v", got, err)
	}
	tags, err := g.tables.ListTagsOfResource(ctx, &ddb.ListTagsOfResourceInput{
		ResourceArn: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/tab"),
	})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("tags %v %v", tags, err)
	}
	clk.Advance(200 * time.Second)
	if err := g.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := g.tables.Scan(ctx, &ddb.ScanInput{TableName: &name})
	if err != nil || left.Count != 1 {
		t.Errorf("%d items left after expiry, %v", left.Count, err)
	}
}
