package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// pattern is the replicator that people write today, as two functions: each item carries an origin and
// a timestamp that its writer sets; a change whose origin is the other side is an echo and is dropped;
// any other is written if what is there is not newer.
type pattern struct {
	c         clients
	table     string
	arn       string
	container *azcosmos.ContainerClient

	shards map[string]*string // iterators
	token  string             // of the change feed
}

// document is an item of the pattern at Cosmos DB.
type document struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Origin string `json:"origin"`
	TS     int64  `json:"ts"`
	State  string `json:"state,omitempty"`
}

// forward applies what the stream has to Cosmos DB, and returns how many records it read.
func (p *pattern) forward(b *testing.B) int {
	b.Helper()
	out, err := p.c.streams.DescribeStream(b.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &p.arn})
	if err != nil {
		b.Fatal(err)
	}
	total := 0
	for _, shard := range out.StreamDescription.Shards {
		id := *shard.ShardId
		if _, ok := p.shards[id]; !ok {
			it, err := p.c.streams.GetShardIterator(b.Context(), &dynamodbstreams.GetShardIteratorInput{
				StreamArn: &p.arn, ShardId: &id, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
			})
			if err != nil {
				b.Fatal(err)
			}
			p.shards[id] = it.ShardIterator
		}
		for p.shards[id] != nil {
			page, err := p.c.streams.GetRecords(b.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: p.shards[id]})
			if err != nil {
				b.Fatal(err)
			}
			p.shards[id] = page.NextShardIterator
			if len(page.Records) == 0 {
				break
			}
			total += len(page.Records)
			// One goroutine a key at a time, as a batch of a real function has it.
			byKey := map[string][]streamtypes.Record{}
			var keys []string
			for _, r := range page.Records {
				k := streamText(r.Dynamodb.Keys["id"])
				if byKey[k] == nil {
					keys = append(keys, k)
				}
				byKey[k] = append(byKey[k], r)
			}
			each(b, len(keys), workers, func(ctx context.Context, i int) error {
				for _, r := range byKey[keys[i]] {
					if err := p.toCosmos(ctx, r); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return total
}

func streamText(v streamtypes.AttributeValue) string {
	switch v := v.(type) {
	case *streamtypes.AttributeValueMemberS:
		return v.Value
	case *streamtypes.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

func (p *pattern) toCosmos(ctx context.Context, r streamtypes.Record) error {
	image := r.Dynamodb.NewImage
	if image == nil || streamText(image["origin"]) == "azure" {
		return nil
	}
	ts, err := strconv.ParseInt(streamText(image["ts"]), 10, 64)
	if err != nil {
		return err
	}
	d := document{
		ID: streamText(image["id"]), Text: streamText(image["text"]), Origin: "aws", TS: ts,
		State: streamText(image["state"]),
	}
	key := azcosmos.NewPartitionKeyString(d.ID)
	out, err := p.container.ReadItem(ctx, key, d.ID, nil)
	var refused *azcore.ResponseError
	switch {
	case errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound:
	case err != nil:
		return err
	default:
		var have document
		if err := json.Unmarshal(out.Value, &have); err != nil {
			return err
		}
		if have.TS >= d.TS {
			return nil
		}
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = p.container.UpsertItem(ctx, key, body, nil)
	return err
}

// back applies what the change feed has to DynamoDB, and returns how many documents it read.
func (p *pattern) back(b *testing.B) int {
	b.Helper()
	total := 0
	for {
		o := &azcosmos.ChangeFeedOptions{MaxItemCount: 500, Continuation: &p.token}
		if p.token == "" {
			o = &azcosmos.ChangeFeedOptions{
				MaxItemCount: 500, FeedRange: &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"},
			}
		}
		out, err := p.container.ReadChangeFeed(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		p.token = out.ContinuationToken
		if len(out.Items) == 0 {
			return total
		}
		total += len(out.Items)
		each(b, len(out.Items), workers, func(ctx context.Context, i int) error {
			var d document
			if err := json.Unmarshal(out.Items[i], &d); err != nil {
				return err
			}
			if d.Origin == "aws" {
				return nil
			}
			return p.toDynamo(ctx, d)
		})
	}
}

func (p *pattern) toDynamo(ctx context.Context, d document) error {
	_, err := p.c.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &p.table,
		Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: d.ID}, "text": &types.AttributeValueMemberS{Value: d.Text},
			"origin": &types.AttributeValueMemberS{Value: "azure"},
			"ts":     &types.AttributeValueMemberN{Value: strconv.FormatInt(d.TS, 10)},
			"state":  &types.AttributeValueMemberS{Value: d.State},
		},
		ConditionExpression:      sdk.String("attribute_not_exists(#ts) OR #ts < :ts"),
		ExpressionAttributeNames: map[string]string{"#ts": "ts"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":ts": &types.AttributeValueMemberN{Value: strconv.FormatInt(d.TS, 10)},
		},
	})
	var older *types.ConditionalCheckFailedException
	if errors.As(err, &older) {
		return nil
	}
	return err
}

// settle runs both functions until neither has anything to do.
func (p *pattern) settle(b *testing.B) {
	b.Helper()
	for p.forward(b)+p.back(b) > 0 {
	}
}

// stamp gives the items of fill what the pattern's writers must not forget.
func (p *pattern) stamp(b *testing.B) {
	b.Helper()
	each(b, items, 16, func(ctx context.Context, i int) error {
		_, err := p.c.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &p.table, Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: fmt.Sprint("k", i)}, "text": &types.AttributeValueMemberS{Value: body(i)},
			"origin": &types.AttributeValueMemberS{Value: "aws"},
			"ts":     &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().UnixMilli(), 10)},
		}})
		return err
	})
}

// BenchmarkPattern has data sync and the pattern of origin flag and timestamp, with as many workers, bring the same
// 10,000 items of 1 KiB from DynamoDB to Cosmos DB in the same clouds, and reports items a second and CPU time an item of
// both, and the ratios (below 1: data sync is slower, or cheaper). Then 500 documents are written at Azure and, once they
// are at AWS, changed there as applications do, by an update of one attribute that says nothing of origin and time. It
// reports how many keys then differ for good between the two sides, with each replicator.
func BenchmarkPattern(b *testing.B) {
	s := start(b)
	c := s.clients()
	var speed, cpu, wrongOurs, wrongPattern float64
	for round := range b.N {
		ours, rate := s.catchUp(c, fmt.Sprint("p", round, "-"))
		p := &pattern{c: c, table: fmt.Sprint("pattern", round), shards: map[string]*string{}}
		p.arn, p.container = s.tables(c, p.table)
		p.stamp(b)
		before, began := ownCPU(b), time.Now()
		p.forward(b)
		theirRate := items / time.Since(began).Seconds()
		p.settle(b)
		theirs := float64((ownCPU(b) - before).Microseconds()) / items
		b.Logf("round %d: data sync %.0f items/s, %.0f µs; pattern %.0f items/s, %.0f µs", round, rate, ours, theirRate, theirs)
		speed, cpu = speed+rate/theirRate, cpu+ours/theirs
		wrongPattern += float64(p.partialUpdates(b))
		wrongOurs += float64(s.partialUpdates(c, fmt.Sprint("u", round, "-")))
	}
	n := float64(b.N)
	b.ReportMetric(speed/n, "speed-ratio")
	b.ReportMetric(cpu/n, "cpu-ratio")
	b.ReportMetric(wrongOurs/n, "keys-wrong")
	b.ReportMetric(wrongPattern/n, "pattern-keys-wrong")
	b.ReportMetric(0, "ns/op")
}

const partial = 500

// change is what an application does to an item that it knows to be there.
func (c clients) change(b *testing.B, table, prefix string) {
	b.Helper()
	each(b, partial, 8, func(ctx context.Context, i int) error {
		_, err := c.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &table, Key: map[string]types.AttributeValue{
				"id": &types.AttributeValueMemberS{Value: fmt.Sprint(prefix, i)},
			},
			UpdateExpression:         sdk.String("SET #s = :s"),
			ConditionExpression:      sdk.String("attribute_exists(id)"),
			ExpressionAttributeNames: map[string]string{"#s": "state"},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":s": &types.AttributeValueMemberS{Value: "paid"},
			},
		})
		return err
	})
}

// create writes documents at Azure.
func create(b *testing.B, container *azcosmos.ContainerClient, prefix string) {
	b.Helper()
	each(b, partial, 8, func(ctx context.Context, i int) error {
		id := fmt.Sprint(prefix, i)
		doc, err := json.Marshal(document{ID: id, Text: "new", Origin: "azure", TS: time.Now().UnixMilli()})
		if err != nil {
			return err
		}
		_, err = container.CreateItem(ctx, azcosmos.NewPartitionKeyString(id), doc, nil)
		return err
	})
}

// unpaid counts the documents that do not have the change.
func unpaid(b *testing.B, container *azcosmos.ContainerClient, prefix string) int {
	b.Helper()
	var mu sync.Mutex
	wrong := 0
	each(b, partial, 8, func(ctx context.Context, i int) error {
		id := fmt.Sprint(prefix, i)
		out, err := container.ReadItem(ctx, azcosmos.NewPartitionKeyString(id), id, nil)
		if err != nil {
			return err
		}
		var d document
		if err := json.Unmarshal(out.Value, &d); err != nil {
			return err
		}
		if d.State != "paid" {
			mu.Lock()
			wrong++
			mu.Unlock()
		}
		return nil
	})
	return wrong
}

func (p *pattern) partialUpdates(b *testing.B) int {
	b.Helper()
	create(b, p.container, "u")
	p.settle(b)
	p.c.change(b, p.table, "u")
	p.settle(b)
	return unpaid(b, p.container, "u")
}

func (s *system) partialUpdates(c clients, prefix string) int {
	s.b.Helper()
	container, err := c.cosmos.NewContainer("orders")
	if err != nil {
		s.b.Fatal(err)
	}
	create(s.b, container, prefix)
	s.settled()
	c.change(s.b, "orders", prefix)
	s.settled()
	return unpaid(s.b, container, prefix)
}

// settled waits until both sides are equal, by digests of a moment after the call.
func (s *system) settled() {
	s.b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		out, err := s.run("verify", "-o", "json")
		var v struct {
			Differences int64 `json:"differences"`
			InFlight    int64 `json:"in_flight"`
		}
		if err == nil && json.Unmarshal(out, &v) == nil && v.Differences+v.InFlight == 0 {
			return
		}
	}
	s.b.Fatal("the sides never became equal")
}
