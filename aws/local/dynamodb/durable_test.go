package dynamodb_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	st "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/aws/local/dynamodb"
)

// TestWhatWasReadSurvivesACrash cuts the power right after a read, while a writer counts up: no
// reader may have seen a number that is then gone.
func TestWhatWasReadSurvivesACrash(t *testing.T) {
	ctx, table := context.Background(), aws.String("tab")
	mem := vfs.NewCrashableMem()
	f := newFixtureWith(t, dynamodb.Config{FS: mem, Dir: "d", StreamShards: 1})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	arn := f.streamARN(t, "tab")
	f.put(t, "tab", attrs{"id": str("a"), "v": num("1")})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 2; ; i++ {
			select {
			case <-stop:
				return
			default:
				f.put(t, "tab", attrs{"id": str("a"), "v": num(strconv.Itoa(i))})
			}
		}
	})
	value := func(item attrs) string { return item["v"].(*types.AttributeValueMemberN).Value }
	readers := map[string]func(*fixture) string{
		"GetItem": func(f *fixture) string {
			out, err := f.tables.GetItem(ctx, &ddb.GetItemInput{
				TableName: table,
				Key:       attrs{"id": str("a")},
			})
			if err != nil {
				t.Fatal(err)
			}
			return value(out.Item)
		},
		"Scan": func(f *fixture) string {
			out, err := f.tables.Scan(ctx, &ddb.ScanInput{TableName: table})
			if err != nil {
				t.Fatal(err)
			}
			return value(out.Items[0])
		},
		"TransactGetItems": func(f *fixture) string {
			out, err := f.tables.TransactGetItems(ctx,
				&ddb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
					{Get: &types.Get{TableName: table, Key: attrs{"id": str("a")}}},
				}})
			if err != nil {
				t.Fatal(err)
			}
			return value(out.Responses[0].Item)
		},
		"GetRecords": func(f *fixture) string {
			all := f.drain(t, arn, *f.shards(t, arn)[0].ShardId)
			return number(all[len(all)-1].Dynamodb.NewImage)
		},
	}
	for name, read := range readers {
		for range 15 {
			seen, _ := strconv.Atoi(read(f))
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			left, _ := strconv.Atoi(readers["GetItem"](reopen(t, crashed)))
			if left < seen {
				t.Errorf("%s saw %d, the crash left %d", name, seen, left)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// TestBurstOfRecordsComesInPages reads more than one page of a shard, by count and by size.
func TestBurstOfRecordsComesInPages(t *testing.T) {
	ctx := context.Background()
	f := newFixtureWith(t, dynamodb.Config{FS: vfs.NewMem(), Dir: "d", StreamShards: 1})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	big := str(string(make([]byte, 100<<10)))
	for i := range 25 {
		f.put(t, "tab", attrs{"id": str(strconv.Itoa(i)), "big": big})
	}
	arn := f.streamARN(t, "tab")
	next, err := f.iterator(arn, *f.shards(t, arn)[0].ShardId, st.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		t.Fatal(err)
	}
	var pages []int
	for range 4 {
		out, err := f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &next})
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(out.Records))
		next = *out.NextShardIterator
	}
	if pages[0] != 10 || pages[1] != 10 || pages[2] != 5 || pages[3] != 0 {
		t.Errorf("pages of %v records of 100 KB, want 1 MB at most", pages)
	}
}
