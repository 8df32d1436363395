package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	st "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/aws/local/dynamodb"
)

func (f *fixture) streamARN(t testing.TB, table string) string {
	t.Helper()
	d, err := f.tables.DescribeTable(context.Background(), &ddb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(d.Table.LatestStreamArn)
}

func (f *fixture) shards(t testing.TB, arn string) []st.Shard {
	t.Helper()
	d, err := f.streams.DescribeStream(context.Background(),
		&dynamodbstreams.DescribeStreamInput{StreamArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	return d.StreamDescription.Shards
}

func (f *fixture) iterator(
	arn, shard string, kind st.ShardIteratorType, seq string,
) (string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &arn, ShardId: &shard,
		ShardIteratorType: kind,
	}
	if seq != "" {
		in.SequenceNumber = &seq
	}
	out, err := f.streams.GetShardIterator(context.Background(), in)
	if err != nil {
		return "", err
	}
	return *out.ShardIterator, nil
}

// drain reads a shard from its trim horizon until it is closed and exhausted or has nothing new.
func (f *fixture) drain(t testing.TB, arn, shard string) []st.Record {
	t.Helper()
	it, err := f.iterator(arn, shard, st.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		t.Fatal(err)
	}
	var all []st.Record
	for next := &it; next != nil; {
		out, err := f.streams.GetRecords(context.Background(),
			&dynamodbstreams.GetRecordsInput{ShardIterator: next})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.Records...)
		if len(out.Records) == 0 {
			break
		}
		next = out.NextShardIterator
	}
	return all
}

// records drains every shard of the table's latest stream, parents first.
func (f *fixture) records(t testing.TB, table string) []st.Record {
	t.Helper()
	arn := f.streamARN(t, table)
	var all []st.Record
	for _, sh := range f.shards(t, arn) {
		all = append(all, f.drain(t, arn, *sh.ShardId)...)
	}
	return all
}

func TestStreamViewsHoldWhatTheyPromise(t *testing.T) {
	for _, view := range []types.StreamViewType{
		types.StreamViewTypeKeysOnly, types.StreamViewTypeNewImage, types.StreamViewTypeOldImage,
		types.StreamViewTypeNewAndOldImages,
	} {
		t.Run(string(view), func(t *testing.T) {
			ctx, f := context.Background(), newFixture(t)
			f.createTable(t, "tab", "id", "", view)
			name := "tab"
			f.put(t, name, attrs{"id": str("a"), "v": num("1")})
			f.put(t, name, attrs{"id": str("a"), "v": num("2")})
			f.put(t, name, attrs{"id": str("a"), "v": num("2.0")}) // changes nothing
			if _, err := f.tables.UpdateItem(ctx, &ddb.UpdateItemInput{
				TableName: &name, Key: attrs{"id": str("a")}, UpdateExpression: aws.String("SET v = v REMOVE " +
					"w"),
			}); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second finds nothing to delete
				if _, err := f.tables.DeleteItem(ctx, &ddb.DeleteItemInput{
					TableName: &name,
					Key:       attrs{"id": str("a")},
				}); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, r := range f.records(t, name) {
				if r.UserIdentity != nil || *r.EventSource != "aws:dynamodb" || *r.AwsRegion != "us-east-1" {
					t.Errorf("record %+v", r)
				}
				if r.Dynamodb.ApproximateCreationDateTime.UnixNano()%1e9 != 0 {
					t.Errorf("created at %v, want whole seconds", r.Dynamodb.ApproximateCreationDateTime)
				}
				got = append(got, fmt.Sprintf("%s %s>%s", r.EventName, number(r.Dynamodb.OldImage),
					number(r.Dynamodb.NewImage)))
			}
			old := view == types.StreamViewTypeOldImage || view == types.StreamViewTypeNewAndOldImages
			new := view == types.StreamViewTypeNewImage || view == types.StreamViewTypeNewAndOldImages
			pick := func(on bool, s string) string {
				if on {
					return s
				}
				return ""
			}
			want := []string{
				"INSERT >" + pick(new, "1"), "MODIFY " + pick(old, "1") + ">" + pick(new, "2"), "REMOVE " +
					pick(old, "2") + ">",
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func number(image map[string]st.AttributeValue) string {
	if n, ok := image["v"].(*st.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}

func TestTimeToLiveDeletesAsTheService(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewAndOldImages)
	name, now := "tab", f.clock.Now().Unix()
	f.put(t, name, attrs{"id": str("before"), "exp": num(fmt.Sprint(now + 5))})
	_, err := f.tables.UpdateTimeToLive(ctx, &ddb.UpdateTimeToLiveInput{
		TableName: &name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String("exp"),
			Enabled:       aws.Bool(true),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, name, attrs{"id": str("after"), "exp": num(fmt.Sprint(now + 5))})
	f.put(t, name, attrs{"id": str("later"), "exp": num(fmt.Sprint(now + 500))})
	f.put(t, name, attrs{"id": str("extended"), "exp": num(fmt.Sprint(now + 5))})
	f.put(t, name, attrs{"id": str("extended"), "exp": num(fmt.Sprint(now + 500))})
	f.put(t, name, attrs{"id": str("text"), "exp": str(fmt.Sprint(now + 5))})
	f.put(t, name, attrs{
		"id":  str("ancient"),
		"exp": num("1000"),
	}) // more than five years ago: a mistake, not an expiry
	f.clock.Advance(10 * time.Second)
	if err := f.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{}
	for _, r := range f.records(t, name) {
		if r.EventName != st.OperationTypeRemove {
			continue
		}
		gone[r.Dynamodb.Keys["id"].(*st.AttributeValueMemberS).Value] = true
		if r.UserIdentity == nil || *r.UserIdentity.Type != "Service" ||
			*r.UserIdentity.PrincipalId != "dynamodb.amazonaws.com" {
			t.Errorf("identity %+v", r.UserIdentity)
		}
	}
	if d := cmp.Diff(map[string]bool{"before": true, "after": true}, gone); d != "" {
		t.Error(d)
	}
	out, err := f.tables.Scan(ctx, &ddb.ScanInput{TableName: &name})
	if err != nil || out.Count != 4 {
		t.Errorf("%d items left, %v", out.Count, err)
	}
}

func TestShardsRollWithLineageAndEnd(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	const keys = 40
	write := func(v string) {
		for i := range keys {
			f.put(t, "tab", attrs{"id": str(fmt.Sprint(i)), "v": num(v)})
		}
	}
	write("1")
	if err := f.RollShards("tab"); err != nil {
		t.Fatal(err)
	}
	write("2")
	arn := f.streamARN(t, "tab")
	shards := f.shards(t, arn)
	if len(shards) != 8 {
		t.Fatalf("%d shards, want 4 parents and 4 children", len(shards))
	}
	seen := map[string]string{}
	ended := map[string]string{}
	for i, sh := range shards {
		closed := sh.SequenceNumberRange.EndingSequenceNumber
		if (i < 4) != (closed != nil) || (i < 4) != (sh.ParentShardId == nil) {
			t.Errorf("shard %d: %+v", i, sh)
		}
		if closed != nil {
			ended[*sh.ShardId] = *closed
		} else if end := ended[*sh.ParentShardId]; end == "" ||
			end >= *sh.SequenceNumberRange.StartingSequenceNumber {
			t.Errorf("child starts at %s, its parent ends at %q",
				*sh.SequenceNumberRange.StartingSequenceNumber, end)
		}
		for _, r := range f.drain(t, arn, *sh.ShardId) {
			id := r.Dynamodb.Keys["id"].(*st.AttributeValueMemberS).Value
			seen[id] += number(r.Dynamodb.NewImage)
		}
	}
	for id, order := range seen {
		if order != "12" {
			t.Errorf("key %s: %s, want its two writes in order", id, order)
		}
	}
	if len(seen) != keys {
		t.Errorf("%d keys seen", len(seen))
	}
	it, err := f.iterator(arn, *shards[0].ShardId, st.ShardIteratorTypeLatest, "")
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &it})
	if err != nil || out.NextShardIterator != nil || len(out.Records) != 0 {
		t.Errorf("closed shard: %v %v, want no next iterator", out, err)
	}
	d, err := f.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{
		StreamArn: &arn, ShardFilter: &st.ShardFilter{
			Type:    st.ShardFilterTypeChildShards,
			ShardId: shards[0].ShardId,
		},
	})
	if err != nil || len(d.StreamDescription.Shards) != 1 ||
		*d.StreamDescription.Shards[0].ParentShardId != *shards[0].ShardId {
		t.Errorf("child filter: %+v, %v", d, err)
	}
	page, err := f.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{
		StreamArn: &arn,
		Limit:     aws.Int32(5),
	})
	if err != nil || *page.StreamDescription.LastEvaluatedShardId != *shards[4].ShardId {
		t.Fatalf("first page: %v %v", page, err)
	}
	page, err = f.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{
		StreamArn: &arn, ExclusiveStartShardId: page.StreamDescription.LastEvaluatedShardId,
	})
	if err != nil || len(page.StreamDescription.Shards) != 3 ||
		page.StreamDescription.LastEvaluatedShardId != nil {
		t.Errorf("second page: %v %v", page, err)
	}
}

func TestIteratorsStartWhereAsked(t *testing.T) {
	ctx := context.Background()
	f := newFixtureWith(t, dynamodb.Config{FS: vfs.NewMem(), Dir: "d", StreamShards: 1})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	for _, v := range []string{"1", "2", "3"} {
		f.put(t, "tab", attrs{"id": str("a"), "v": num(v)})
	}
	arn := f.streamARN(t, "tab")
	shard := *f.shards(t, arn)[0].ShardId
	all := f.drain(t, arn, shard)
	second := *all[1].Dynamodb.SequenceNumber
	if len(second) < 21 || strings.Trim(second, "0123456789") != "" ||
		second <= *all[0].Dynamodb.SequenceNumber {
		t.Errorf("sequence numbers %s, %s", *all[0].Dynamodb.SequenceNumber, second)
	}
	latest, err := f.iterator(arn, shard, st.ShardIteratorTypeLatest, "")
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, "tab", attrs{"id": str("a"), "v": num("4")})
	read := func(it string) string {
		out, err := f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &it})
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for _, r := range out.Records {
			s += number(r.Dynamodb.NewImage)
		}
		return s
	}
	for _, tt := range []struct {
		kind      st.ShardIteratorType
		seq, want string
	}{
		{st.ShardIteratorTypeTrimHorizon, "", "1234"},
		{st.ShardIteratorTypeAtSequenceNumber, second, "234"},
		{st.ShardIteratorTypeAfterSequenceNumber, second, "34"},
	} {
		it, err := f.iterator(arn, shard, tt.kind, tt.seq)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(it); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.kind, got, tt.want)
		}
	}
	if got := read(latest); got != "4" {
		t.Errorf("LATEST: %s, want what came after it", got)
	}
	f.clock.Advance(15*time.Minute + time.Second)
	_, err = f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &latest})
	var expired *st.ExpiredIteratorException
	if !errors.As(err, &expired) {
		t.Errorf("after 15 minutes: %v", err)
	}
	_, err = f.streams.GetRecords(ctx,
		&dynamodbstreams.GetRecordsInput{ShardIterator: aws.String("nonsense")})
	if err == nil || !strings.Contains(err.Error(), "ValidationException: Invalid ShardIterator") {
		t.Errorf("nonsense: %v", err)
	}
}

func TestRecordsAreTrimmedAfterADay(t *testing.T) {
	ctx := context.Background()
	f := newFixtureWith(t, dynamodb.Config{
		FS: vfs.NewMem(), Dir: "d", StreamShards: 1,
		ShardAge: 1000 * time.Hour,
	})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	f.put(t, "tab", attrs{"id": str("a"), "v": num("1")})
	arn := f.streamARN(t, "tab")
	shard := *f.shards(t, arn)[0].ShardId
	first := *f.drain(t, arn, shard)[0].Dynamodb.SequenceNumber
	f.clock.Advance(23*time.Hour + 50*time.Minute)
	f.put(t, "tab", attrs{"id": str("a"), "v": num("2")})
	old, err := f.iterator(arn, shard, st.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(11 * time.Minute)
	if err := f.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	var trimmed *st.TrimmedDataAccessException
	if _, err := f.iterator(arn, shard, st.ShardIteratorTypeAtSequenceNumber, first); !errors.As(err,
		&trimmed) {
		t.Errorf("AT a trimmed record: %v", err)
	}
	_, err = f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &old})
	if !errors.As(err, &trimmed) {
		t.Errorf("iterator before the horizon: %v", err)
	}
	if got := f.drain(t, arn, shard); len(got) != 1 || number(got[0].Dynamodb.NewImage) != "2" {
		t.Errorf("left: %v", got)
	}
}

func TestClosedShardsGoADayAfterTheyClosed(t *testing.T) {
	ctx := context.Background()
	f := newFixtureWith(t, dynamodb.Config{FS: vfs.NewMem(), Dir: "d", StreamShards: 2})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	arn := f.streamARN(t, "tab")
	for range 8 { // 32 hours
		f.clock.Advance(4 * time.Hour)
		if err := f.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// Closed at 4, 8, …, 32 h; those up to 8 h are a day old.
	if got := len(f.shards(t, arn)); got != 2*(6+1) {
		t.Errorf("%d shards, want those closed in the last day and the open ones", got)
	}
}

func TestStreamOutlivesDisablingAndTable(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	name := "tab"
	f.put(t, name, attrs{"id": str("a"), "v": num("1")})
	first := f.streamARN(t, name)
	off := &ddb.UpdateTableInput{
		TableName:           &name,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(false)},
	}
	if _, err := f.tables.UpdateTable(ctx, off); err != nil {
		t.Fatal(err)
	}
	f.put(t, name, attrs{"id": str("a"), "v": num("2")})
	f.clock.Advance(time.Second)
	on := &ddb.UpdateTableInput{TableName: &name, StreamSpecification: &types.StreamSpecification{
		StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly,
	}}
	if _, err := f.tables.UpdateTable(ctx, on); err != nil {
		t.Fatal(err)
	}
	second := f.streamARN(t, name)
	if first == second {
		t.Error("the new stream has the old one's ARN")
	}
	if _, err := f.tables.DeleteTable(ctx, &ddb.DeleteTableInput{TableName: &name}); err != nil {
		t.Fatal(err)
	}
	list, err := f.streams.ListStreams(ctx, &dynamodbstreams.ListStreamsInput{TableName: &name})
	if err != nil || len(list.Streams) != 2 {
		t.Fatalf("streams: %v %v", list, err)
	}
	count := 0
	for _, sh := range f.shards(t, first) {
		if sh.SequenceNumberRange.EndingSequenceNumber == nil {
			t.Error("a disabled stream has an open shard")
		}
		count += len(f.drain(t, first, *sh.ShardId))
	}
	if count != 1 {
		t.Errorf("%d records, want that of the write before", count)
	}
	f.clock.Advance(25 * time.Hour)
	if err := f.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = f.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &first})
	var gone *st.ResourceNotFoundException
	if !errors.As(err, &gone) {
		t.Errorf("a day later: %v", err)
	}
}

// TestReaderNeverSkipsARecord polls a shard while many writers commit: what a reader gets is
// without gaps and in order.
func TestReaderNeverSkipsARecord(t *testing.T) {
	ctx := context.Background()
	f := newFixtureWith(t, dynamodb.Config{Dir: t.TempDir(), StreamShards: 1})
	f.createTable(t, "tab", "id", "", types.StreamViewTypeNewImage)
	arn := f.streamARN(t, "tab")
	const writers, each = 8, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				f.put(t, "tab", attrs{"id": str(fmt.Sprint(w)), "v": num(fmt.Sprint(i))})
			}
		})
	}
	it, err := f.iterator(arn, *f.shards(t, arn)[0].ShardId, st.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	last, got := "", 0
	for deadline := time.Now().Add(30 * time.Second); got < writers*each &&
		time.Now().Before(deadline); {
		out, err := f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{
			ShardIterator: &it,
			Limit:         aws.Int32(7),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Records {
			id := r.Dynamodb.Keys["id"].(*st.AttributeValueMemberS).Value
			if v := number(r.Dynamodb.NewImage); v != fmt.Sprint(next[id]) ||
				*r.Dynamodb.SequenceNumber <= last {
				t.Fatalf("key %s: %s at %s after %s, want %d", id, v, *r.Dynamodb.SequenceNumber, last,
					next[id])
			}
			next[id]++
			last = *r.Dynamodb.SequenceNumber
			got++
		}
		it = *out.NextShardIterator
	}
	wg.Wait()
	if got != writers*each {
		t.Errorf("%d records of %d", got, writers*each)
	}
}
