package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

const (
	items   = 10_000
	workers = 64 // data sync's own
)

// clients are the vendors' SDKs against the system's clouds.
type clients struct {
	db      *dynamodb.Client
	streams *dynamodbstreams.Client
	cosmos  *azcosmos.DatabaseClient
}

func (s *system) clients() clients {
	s.b.Helper()
	a, z := s.env("aws"), s.env("azure")
	endpoint := a["AWS_ENDPOINT_URL"]
	cfg := sdk.Config{
		Region: a["AWS_REGION"], BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(a["AWS_ACCESS_KEY_ID"], a["AWS_SECRET_ACCESS_KEY"], ""),
	}
	key, err := azcosmos.NewKeyCredential(z["COSMOS_KEY"])
	if err != nil {
		s.b.Fatal(err)
	}
	o := &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{InsecureAllowCredentialWithHTTP: true}}
	client, err := azcosmos.NewClientWithKey(z["COSMOS_ENDPOINT"], key, o)
	if err != nil {
		s.b.Fatal(err)
	}
	database, err := client.NewDatabase("proa")
	if err != nil {
		s.b.Fatal(err)
	}
	return clients{dynamodb.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg), database}
}

// body is the text of a 1 KiB item.
func body(i int) string { return strings.Repeat(fmt.Sprintf("%08d-", i), 110) }

// fill writes the items to a DynamoDB table.
func (c clients) fill(b *testing.B, table, prefix string) {
	b.Helper()
	each(b, items/25, 8, func(ctx context.Context, n int) error {
		var puts []types.WriteRequest
		for i := n * 25; i < n*25+25; i++ {
			puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
				"id":   &types.AttributeValueMemberS{Value: fmt.Sprint(prefix, i)},
				"text": &types.AttributeValueMemberS{Value: body(i)},
			}}})
		}
		in := map[string][]types.WriteRequest{table: puts}
		for len(in) > 0 {
			out, err := c.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: in})
			if err != nil {
				return err
			}
			in = out.UnprocessedItems
		}
		return nil
	})
}

// each runs fn for 0 to n-1 on some goroutines.
func each(b *testing.B, n, parallel int, fn func(ctx context.Context, i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	work := make(chan int)
	for range parallel {
		wg.Go(func() {
			for i := range work {
				if err := fn(b.Context(), i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// BenchmarkItems has data sync apply a backlog of 10,000 items of 1 KiB that were written to DynamoDB while Azure was cut off, and
// then makes the same calls of the vendors' SDKs in a bare loop on tables of its own in the same clouds: read the stream, create
// each document, put the envelope beside each item, read the change feed. It reports applied items a second, the CPU time of the
// nodes' processes and of the loop for each item, and their ratio. The nodes' includes the fsynced log, probes, DNS and the
// two nodes that do not own data sync; net-ratio leaves out what the three use in as long a time when nothing is written.
func BenchmarkItems(b *testing.B) {
	s := start(b)
	c := s.clients()
	var node, net, bare, rate float64
	idle := s.idleCPU()
	rounds := 0
	for range b.N {
		rounds++
		prefix := fmt.Sprint("r", rounds, "-")
		began := time.Now()
		n, perSecond := s.catchUp(c, prefix)
		still := idle * time.Since(began).Seconds() * 1e6 / items
		l := s.bareLoop(c, fmt.Sprint("bare", rounds))
		load, _ := os.ReadFile("/proc/loadavg")
		b.Logf("round %d: nodes %.0f µs an item, of which %.0f µs whatever is written, bare loop %.0f µs, ratio %.2f, net %.2f, "+
			"%.0f items/s, load %s", rounds, n, still, l, n/l, (n-still)/l, perSecond, load)
		node, net, bare, rate = node+n, net+n-still, bare+l, rate+perSecond
	}
	k := float64(rounds)
	b.ReportMetric(node/k, "node-cpu-µs/item")
	b.ReportMetric(bare/k, "bare-cpu-µs/item")
	b.ReportMetric(node/bare, "ratio")
	b.ReportMetric(net/bare, "net-ratio")
	b.ReportMetric(rate/k, "items/s")
	b.ReportMetric(0, "ns/op")
}

// idleCPU is the CPU time in seconds that the nodes use in a second when nothing is written.
func (s *system) idleCPU() float64 {
	s.b.Helper()
	before, began := s.nodeCPU(), time.Now()
	time.Sleep(10 * time.Second)
	return (s.nodeCPU() - before).Seconds() / time.Since(began).Seconds()
}

// catchUp returns the nodes' CPU time an item in µs and the items a second from the moment when Azure could be reached again.
func (s *system) catchUp(c clients, prefix string) (cpu, perSecond float64) {
	s.b.Helper()
	before := s.nodeCPU()
	s.must("partition", "azure")
	c.fill(s.b, "orders", prefix)
	for s.backlog() < items {
		time.Sleep(250 * time.Millisecond)
	}
	began := time.Now()
	s.must("heal", "partition")
	for s.backlog() != 0 {
		time.Sleep(250 * time.Millisecond)
	}
	took := time.Since(began)
	time.Sleep(2 * time.Second) // envelopes and echoes
	used := s.nodeCPU() - before
	return float64(used.Microseconds()) / items, items / took.Seconds()
}

func (s *system) backlog() int64 {
	st, err := s.status()
	if err != nil || st.Regions["aws"].Backlog == nil {
		return -1
	}
	return *st.Regions["aws"].Backlog
}

// bareLoop returns this process's CPU time an item in µs for the same calls without data sync.
func (s *system) bareLoop(c clients, table string) float64 {
	s.b.Helper()
	arn, container := s.tables(c, table)
	c.fill(s.b, table, "k")
	before := ownCPU(s.b)
	c.readStream(s.b, arn)
	each(s.b, items, workers, func(ctx context.Context, i int) error {
		id := fmt.Sprint("k", i)
		doc, err := json.Marshal(map[string]any{"id": id, "text": body(i), "_proa": map[string]any{
			"v": "01a20d072b8ebb37", "o": "aws", "h": "b29afd614d8053635582f948dda7c270", "w": "abcdefghi",
		}})
		if err != nil {
			return err
		}
		if _, err := container.CreateItem(ctx, azcosmos.NewPartitionKeyString(id), doc, nil); err != nil {
			return err
		}
		_, err = c.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &table, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
			UpdateExpression:         sdk.String("SET #e = :e"),
			ConditionExpression:      sdk.String("attribute_exists(#id) AND attribute_not_exists(#e)"),
			ExpressionAttributeNames: map[string]string{"#e": "_proa", "#id": "id"},
			ExpressionAttributeValues: map[string]types.AttributeValue{":e": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
				"v": &types.AttributeValueMemberS{Value: "01a20d072b8ebb37"}, "o": &types.AttributeValueMemberS{Value: "aws"},
				"h": &types.AttributeValueMemberS{Value: "b29afd614d8053635582f948dda7c270"},
				"w": &types.AttributeValueMemberS{Value: "abcdefghi"},
			}}},
			ReturnValues: types.ReturnValueAllOld,
		})
		return err
	})
	c.readStream(s.b, arn) // the first half again, then the echoes
	c.readFeed(s.b, container)
	return float64((ownCPU(s.b) - before).Microseconds()) / items
}

// tables makes a table with a stream and a container that no data sync knows.
func (s *system) tables(c clients, name string) (arn string, container *azcosmos.ContainerClient) {
	s.b.Helper()
	out, err := c.db.CreateTable(s.b.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: sdk.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: sdk.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		s.b.Fatal(err)
	}
	wait := dynamodb.NewTableExistsWaiter(c.db)
	if err := wait.Wait(s.b.Context(), &dynamodb.DescribeTableInput{TableName: &name}, 30*time.Second); err != nil {
		s.b.Fatal(err)
	}
	_, err = c.cosmos.CreateContainer(s.b.Context(), azcosmos.ContainerProperties{
		ID: name, PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/id"}},
	}, nil)
	if err != nil {
		s.b.Fatal(err)
	}
	if container, err = c.cosmos.NewContainer(name); err != nil {
		s.b.Fatal(err)
	}
	return *out.TableDescription.LatestStreamArn, container
}

// readStream reads every shard from its beginning to where it is empty.
func (c clients) readStream(b *testing.B, arn string) {
	b.Helper()
	out, err := c.streams.DescribeStream(b.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &arn})
	if err != nil {
		b.Fatal(err)
	}
	records := 0
	for _, shard := range out.StreamDescription.Shards {
		it, err := c.streams.GetShardIterator(b.Context(), &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &arn, ShardId: shard.ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			b.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			page, err := c.streams.GetRecords(b.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: next})
			if err != nil {
				b.Fatal(err)
			}
			records += len(page.Records)
			if len(page.Records) == 0 {
				break
			}
			next = page.NextShardIterator
		}
	}
	if records < items {
		b.Fatalf("%d records in the stream", records)
	}
}

// readFeed reads the container's change feed from its beginning.
func (c clients) readFeed(b *testing.B, container *azcosmos.ContainerClient) {
	b.Helper()
	whole := &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	o := &azcosmos.ChangeFeedOptions{FeedRange: whole, MaxItemCount: 500}
	documents := 0
	for {
		out, err := container.ReadChangeFeed(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		documents += len(out.Items)
		if len(out.Items) == 0 {
			break
		}
		token := out.ContinuationToken
		o = &azcosmos.ChangeFeedOptions{Continuation: &token, MaxItemCount: 500}
	}
	if documents != items {
		b.Fatalf("%d documents in the feed", documents)
	}
}
