package aws

import (
	"context"
	"log/slog"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

// localCloud runs a whole local AWS and returns how to reach it.
func localCloud(t *testing.T) Config {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan local.Addresses, 1), make(chan error, 1)
	go func() {
		done <- local.Run(ctx, local.Config{
			Dir: t.TempDir(), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
			AccessKeyID: "AKIATEST", SecretAccessKey: proa.NewSecret("secret"), AccountID: "000000000000", Region: "us-east-1",
			Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Ready: func(a local.Addresses) { ready <- a },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return testConfig("http://" + a.API)
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	return Config{}
}

func testConfig(endpoint string) Config {
	return Config{
		Endpoint: endpoint, Region: "us-east-1", AccessKeyID: "AKIATEST", SecretAccessKey: proa.NewSecret("secret"),
		Timeout: 20 * time.Second,
	}
}

func createTable(t *testing.T, c Config, s proa.Schema) {
	t.Helper()
	createTableAs(t, c, s, &types.StreamSpecification{
		StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages,
	})
}

func createTableAs(t *testing.T, c Config, s proa.Schema, stream *types.StreamSpecification) {
	t.Helper()
	cfg, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := &dynamodb.CreateTableInput{
		TableName:           &s.Table,
		BillingMode:         types.BillingModePayPerRequest,
		StreamSpecification: stream,
	}
	add := func(name string, kind proa.Kind, role types.KeyType) {
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &name, KeyType: role})
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &name, AttributeType: types.ScalarAttributeType(kind.String()),
		})
	}
	add(s.HashName, s.HashKind, types.KeyTypeHash)
	if s.RangeName != "" {
		add(s.RangeName, s.RangeKind, types.KeyTypeRange)
	}
	db := dynamodb.NewFromConfig(cfg)
	if _, err := db.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	err = dynamodb.NewTableExistsWaiter(db, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 10 * time.Millisecond }).
		Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &s.Table}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
}

func schemas() []proa.Schema {
	return []proa.Schema{
		{Table: "orders", HashName: "id", HashKind: proa.KindS},
		{Table: "by-number", HashName: "n", HashKind: proa.KindN, RangeName: "when", RangeKind: proa.KindS},
		{Table: "by-bytes", HashName: "b", HashKind: proa.KindB, RangeName: "id", RangeKind: proa.KindN},
	}
}

func openTable(t *testing.T, c Config, s proa.Schema) *Table {
	t.Helper()
	table, err := NewTable(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func openFeed(t *testing.T, c Config, s proa.Schema) *Feed {
	t.Helper()
	feed, err := NewFeed(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

func TestTableConformance(t *testing.T) {
	c := localCloud(t)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunTable(t, func(t *testing.T) cloud.Table { return openTable(t, c, s) })
		})
	}
}

func TestFeedConformance(t *testing.T) {
	c := localCloud(t)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunFeed(t, openTable(t, c, s), func(t *testing.T) cloud.Feed { return openFeed(t, c, s) },
				cloudtest.FeedShows{AllVersions: true, OldImages: true})
		})
	}
}

func createBucket(t *testing.T, c Config, bucket string) {
	t.Helper()
	cfg, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
}

func TestBucketConformance(t *testing.T) {
	c := localCloud(t)
	createBucket(t, c, "attachments")
	cloudtest.RunBucket(t, func(t *testing.T) cloud.Bucket {
		bucket, err := NewBucket(t.Context(), c, "attachments")
		if err != nil {
			t.Fatal(err)
		}
		return bucket
	})
}
