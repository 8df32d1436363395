package dynamodb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// call puts a raw request and returns the raw answer.
func call(t testing.TB, url, target, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", target)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, out
}

func TestEveryResponseCarriesRequestIDAndChecksum(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		target, body, kind string
		status             int
	}{
		{"DynamoDB_20120810.ListTables", "{}", "", 200},
		{
			"DynamoDB_20120810.DescribeTable", `{"TableName":"nosuch"}`,
			"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", 400,
		},
		{"DynamoDB_20120810.DescribeTable", `{}`, "com.amazon.coral.validate#ValidationException", 400},
		{
			"DynamoDB_20120810.DescribeTable", `{"TableName":1}`,
			"com.amazon.coral.service#SerializationException", 400,
		},
		{"DynamoDB_20120810.DescribeTable", `{`, "com.amazon.coral.service#SerializationException", 400},
		{
			"DynamoDB_20120810.ExecuteStatement", `{}`, "com.amazon.coral.service#UnknownOperationException",
			400,
		},
		{"DynamoDBStreams_20120810.ListStreams", `{}`, "", 200},
		{"", "", "com.amazon.coral.service#UnknownOperationException", 400},
		{
			"DynamoDB_20120810.PutItem", strings.Repeat(" ", 25<<20),
			"com.amazon.coral.service#RequestEntityTooLargeException", 413,
		},
		{
			"DynamoDB_20120810.PutItem", strings.Repeat("[", 100000),
			"com.amazon.coral.service#SerializationException", 400,
		},
		{
			"DynamoDB_20120810.PutItem", `{"TableName":"tab","Item":{"id":` + strings.Repeat(`{"L":[`,
				4000) + strings.Repeat(`]}`, 4000) + `}}`,
			"com.amazon.coral.validate#ValidationException", 400,
		},
	} {
		resp, out := call(t, f.url, tt.target, tt.body)
		sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(out)), 10)
		if resp.StatusCode != tt.status || resp.Header.Get("X-Amz-Crc32") != sum ||
			len(resp.Header.Get("X-Amzn-RequestId")) != 52 ||
			resp.Header.Get("Content-Type") != "application/x-amz-json-1.0" || !bytes.Contains(out,
			[]byte(tt.kind)) {
			t.Errorf("%s %.40s: %d %v %.200s", tt.target, tt.body, resp.StatusCode, resp.Header, out)
		}
	}
}

// TestItemsSurviveByteForByte is the property that replication rests on: canonical DynamoDB JSON
// goes in and comes out.
func TestItemsSurviveByteForByte(t *testing.T) {
	f := newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	rapid.Check(t, func(r *rapid.T) {
		item := proa.Item{}
		for i, v := range rapid.SliceOfN(valueOf(4), 0, 8).Draw(r, "values") {
			item[fmt.Sprintf("a%d<&>\"%s", i, rapid.StringN(0, 5, 20).Draw(r, "name"))] = v
		}
		item["id"] = proa.String("k")
		want := item.AppendJSON(nil)
		resp, out := call(t, f.url, "DynamoDB_20120810.PutItem",
			`{"TableName":"tab","Item":`+string(want)+`}`)
		if resp.StatusCode != 200 {
			r.Fatalf("%s", out)
		}
		_, out = call(t, f.url, "DynamoDB_20120810.GetItem", `{"TableName":"tab","Key":{"id":{"S":"k"}}}`)
		got := bytes.TrimSuffix(bytes.TrimPrefix(out, []byte(`{"Item":`)), []byte(`}`))
		if !bytes.Equal(got, want) {
			r.Fatalf("\nput %s\ngot %s", want, got)
		}
	})
}

func valueOf(depth int) *rapid.Generator[proa.Value] {
	number := rapid.Custom(func(r *rapid.T) proa.Value {
		digits := rapid.StringMatching(`[1-9][0-9]{0,37}`).Draw(r, "digits")
		v, err := proa.Number(rapid.SampledFrom([]string{"", "-"}).Draw(r, "sign") + digits + "e" +
			strconv.Itoa(rapid.IntRange(-130, 87).Draw(r, "exponent")))
		if err != nil {
			r.Fatal(err)
		}
		return v
	})
	binary := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), proa.Binary)
	text := rapid.Map(rapid.String(), proa.String)
	set := func(kind proa.Kind, member *rapid.Generator[proa.Value]) *rapid.Generator[proa.Value] {
		return rapid.Map(rapid.SliceOfN(member, 1, 4), func(vs []proa.Value) proa.Value {
			var members []string
			for _, v := range vs {
				members = append(members, v.Str)
			}
			return proa.SetOf(kind, members)
		})
	}
	kinds := []*rapid.Generator[proa.Value]{
		number, binary, text, rapid.Map(rapid.Bool(), proa.Bool), rapid.Just(proa.Null()),
		set(proa.KindSS, text), set(proa.KindNS, number), set(proa.KindBS, binary),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[proa.Value] { return valueOf(depth - 1) }), 0, 3),
				func(vs []proa.Value) proa.Value { return proa.List(vs...) }),
			rapid.Map(rapid.MapOfN(rapid.StringN(0, 5, 20),
				rapid.Deferred(func() *rapid.Generator[proa.Value] { return valueOf(depth - 1) }), 0, 3),
				func(m map[string]proa.Value) proa.Value { return proa.Map(m) }))
	}
	return rapid.OneOf(kinds...)
}

func TestConditionFailureReturnsTheItemWhenAsked(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	f.put(t, "tab", attrs{"id": str("a"), "v": num("1")})
	_, err := f.tables.PutItem(ctx, &ddb.PutItemInput{
		TableName: aws.String("tab"), Item: attrs{"id": str("a")},
		ConditionExpression:                 aws.String("attribute_not_exists(id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) || failed.ErrorMessage() != "The conditional request failed" {
		t.Fatal(err)
	}
	if v := failed.Item["v"].(*types.AttributeValueMemberN).Value; v != "1" {
		t.Errorf("item %v", failed.Item)
	}
}

// TestOnlyOneOfManyConditionalWritersWins is compare-and-set on one key from many connections.
func TestOnlyOneOfManyConditionalWritersWins(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	for round := range 20 {
		var wins atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := f.tables.UpdateItem(ctx, &ddb.UpdateItemInput{
					TableName: aws.String("tab"), Key: attrs{"id": str("a")},
					UpdateExpression:    aws.String("SET v = :next"),
					ConditionExpression: aws.String("attribute_not_exists(v) OR v = :now"),
					ExpressionAttributeValues: attrs{
						":now":  num(strconv.Itoa(round)),
						":next": num(strconv.Itoa(round + 1)),
					},
				})
				if err == nil {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, wins.Load())
		}
	}
}

// TestTransactionsKeepTheSum moves amounts between accounts from many connections; every
// transactional read sees the same sum.
func TestTransactionsKeepTheSum(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	const accounts = 4
	for i := range accounts {
		f.put(t, "tab", attrs{"id": str(strconv.Itoa(i)), "v": num("100")})
	}
	move := func(i int, amount string) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String("tab"), Key: attrs{"id": str(strconv.Itoa(i))},
			UpdateExpression:          aws.String("ADD v :n"),
			ExpressionAttributeValues: attrs{":n": num(amount)},
		}}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				from := (w + i) % accounts
				_, err := f.tables.TransactWriteItems(ctx,
					&ddb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
						move(from, "-7"), move((from+1)%accounts, "7"),
					}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 25 {
		in := &ddb.TransactGetItemsInput{}
		for i := range accounts {
			in.TransactItems = append(in.TransactItems, types.TransactGetItem{
				Get: &types.Get{TableName: aws.String("tab"), Key: attrs{"id": str(strconv.Itoa(i))}},
			})
		}
		out, err := f.tables.TransactGetItems(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, r := range out.Responses {
			n, _ := strconv.Atoi(r.Item["v"].(*types.AttributeValueMemberN).Value)
			sum += n
		}
		if sum != 100*accounts {
			t.Errorf("sum %d", sum)
		}
	}
	wg.Wait()
}

func TestCancellationSaysWhichActionFailed(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	f.put(t, "tab", attrs{"id": str("a"), "v": num("1")})
	_, err := f.tables.TransactWriteItems(ctx,
		&ddb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("tab"), Item: attrs{"id": str("b")}}},
			{ConditionCheck: &types.ConditionCheck{
				TableName: aws.String("tab"), Key: attrs{"id": str("a")},
				ConditionExpression:                 aws.String("attribute_not_exists(id)"),
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}},
		}})
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		t.Fatal(err)
	}
	var codes []string
	for _, r := range cancelled.CancellationReasons {
		codes = append(codes, aws.ToString(r.Code))
	}
	if d := cmp.Diff([]string{"None", "ConditionalCheckFailed"}, codes); d != "" {
		t.Error(d)
	}
	if len(cancelled.CancellationReasons[1].Item) != 2 {
		t.Errorf("item %v", cancelled.CancellationReasons[1].Item)
	}
	out, err := f.tables.GetItem(ctx, &ddb.GetItemInput{
		TableName: aws.String("tab"),
		Key:       attrs{"id": str("b")},
	})
	if err != nil || out.Item != nil {
		t.Errorf("the cancelled put is there: %v %v", out, err)
	}
}

func TestClientRequestTokenMakesATransactionIdempotent(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	add := func(n string) error {
		_, err := f.tables.TransactWriteItems(ctx, &ddb.TransactWriteItemsInput{
			ClientRequestToken: aws.String("token"),
			TransactItems: []types.TransactWriteItem{{Update: &types.Update{
				TableName: aws.String("tab"), Key: attrs{"id": str("a")},
				UpdateExpression:          aws.String("ADD v :n"),
				ExpressionAttributeValues: attrs{":n": num(n)},
			}}},
		})
		return err
	}
	var mismatch *types.IdempotentParameterMismatchException
	if err := errors.Join(add("1"), add("1")); err != nil {
		t.Fatal(err)
	}
	if err := add("2"); !errors.As(err, &mismatch) {
		t.Errorf("other parameters: %v", err)
	}
	f.clock.Advance(10 * time.Minute)
	if err := errors.Join(f.Sweep(ctx), add("2")); err != nil {
		t.Errorf("after ten minutes: %v", err)
	}
	out, err := f.tables.GetItem(ctx, &ddb.GetItemInput{
		TableName: aws.String("tab"),
		Key:       attrs{"id": str("a")},
	})
	if err != nil || out.Item["v"].(*types.AttributeValueMemberN).Value != "3" {
		t.Errorf("%v %v", out, err)
	}
}

func TestPagesCoverATableOnce(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "r:N", "")
	const items = 60
	for i := range items {
		f.put(t, "tab", attrs{
			"id": str(fmt.Sprint(i % 7)), "r": num(fmt.Sprint(i - 30)),
			"big": str(strings.Repeat("x", 40<<10)),
		})
	}
	seen := map[string]int{}
	add := func(list []attrs) {
		for _, item := range list {
			seen[item["id"].(*types.AttributeValueMemberS).Value+"/"+item["r"].(*types.AttributeValueMemberN).Value]++
		}
	}
	check := func(how string) {
		t.Helper()
		for k, n := range seen {
			if n != 1 {
				t.Errorf("%s: %s seen %d times", how, k, n)
			}
		}
		if len(seen) != items {
			t.Errorf("%s: %d of %d seen", how, len(seen), items)
		}
		clear(seen)
	}
	pages := 0
	for p := ddb.NewScanPaginator(f.tables,
		&ddb.ScanInput{TableName: aws.String("tab")}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		add(out.Items)
	}
	if check("scan"); pages != 3 {
		t.Errorf("%d pages of 1 MB for 2.4 MB", pages)
	}
	for segment := range int32(5) {
		p := ddb.NewScanPaginator(f.tables, &ddb.ScanInput{
			TableName: aws.String("tab"), Segment: aws.Int32(segment), TotalSegments: aws.Int32(5),
			Limit: aws.Int32(3),
		})
		for p.HasMorePages() {
			out, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			add(out.Items)
		}
	}
	check("segments")
	for _, forward := range []bool{true, false} {
		for id := range 7 {
			p := ddb.NewQueryPaginator(f.tables, &ddb.QueryInput{
				TableName: aws.String("tab"), KeyConditionExpression: aws.String("id = :i"),
				Limit:                     aws.Int32(2),
				ExpressionAttributeValues: attrs{":i": str(fmt.Sprint(id))}, ScanIndexForward: &forward,
			})
			last := 0
			for n := 0; p.HasMorePages(); n++ {
				out, err := p.NextPage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				add(out.Items)
				for _, item := range out.Items {
					r, _ := strconv.Atoi(item["r"].(*types.AttributeValueMemberN).Value)
					if n > 0 && (r > last) != forward {
						t.Errorf("%d after %d, forward %t", r, last, forward)
					}
					last = r
				}
			}
		}
		check("query")
	}
}

func TestProvisionedCapacityThrottles(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	_, err := f.tables.CreateTable(ctx, &ddb.CreateTableInput{
		TableName: aws.String("tab"),
		AttributeDefinitions: []types.AttributeDefinition{{
			AttributeName: aws.String("id"),
			AttributeType: "S",
		}},
		KeySchema: []types.KeySchemaElement{{
			AttributeName: aws.String("id"),
			KeyType:       "HASH",
		}},
		ProvisionedThroughput: &types.ProvisionedThroughput{
			ReadCapacityUnits:  aws.Int64(1),
			WriteCapacityUnits: aws.Int64(1),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	big := attrs{"id": str("a"), "x": str(strings.Repeat("x", 299<<10))}
	f.put(t, "tab", big) // spends the 300 seconds of burst
	_, err = f.tables.PutItem(ctx, &ddb.PutItemInput{
		TableName: aws.String("tab"),
		Item:      attrs{"id": str("b")},
	})
	var throttled *types.ProvisionedThroughputExceededException
	if !errors.As(err, &throttled) {
		t.Fatalf("past the burst: %v", err)
	}
	f.clock.Advance(2 * time.Second)
	f.put(t, "tab", attrs{"id": str("b")})
}

func TestBatchesAnswerForEveryKey(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	in := &ddb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{}}
	keys := []attrs{}
	for i := range 25 {
		key := attrs{"id": str(fmt.Sprint(i))}
		in.RequestItems["tab"] = append(in.RequestItems["tab"],
			types.WriteRequest{PutRequest: &types.PutRequest{Item: key}})
		keys = append(keys, key)
	}
	if out, err := f.tables.BatchWriteItem(ctx, in); err != nil || len(out.UnprocessedItems) != 0 {
		t.Fatal(out, err)
	}
	out, err := f.tables.BatchGetItem(ctx,
		&ddb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			"tab": {Keys: append(keys, attrs{"id": str("none")})},
		}})
	if err != nil || len(out.Responses["tab"]) != 25 || len(out.UnprocessedKeys) != 0 {
		t.Errorf("%v %v", out, err)
	}
}

// BenchmarkDurablePut measures acknowledged, fsynced writes of 300 bytes with eight workers over
// HTTP on loopback.
func BenchmarkDurablePut(b *testing.B) {
	for _, stream := range []types.StreamViewType{"", types.StreamViewTypeNewAndOldImages} {
		b.Run("stream="+string(stream), func(b *testing.B) {
			f := newFixtureWith(b, dynamoOnDisk(b))
			f.createTable(b, "tab", "id", "", stream)
			var n atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 8 {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						f.put(b, "tab", attrs{
							"id": str(fmt.Sprint(i % 10000)), "v": num(fmt.Sprint(i)),
							"x": str(strings.Repeat("x", 280)),
						})
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
	}
}
