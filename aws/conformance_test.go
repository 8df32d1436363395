package aws

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/proa-cloud/proa"
	localdynamodb "github.com/proa-cloud/proa/aws/local/dynamodb"
	locals3 "github.com/proa-cloud/proa/aws/local/s3"
	"github.com/proa-cloud/proa/aws/local/sigv4"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

// localDynamoDB serves the local DynamoDB on loopback and returns how to reach it.
func localDynamoDB(t *testing.T) Config {
	t.Helper()
	server, err := localdynamodb.New(localdynamodb.Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return testConfig(listener.URL)
}

func testConfig(endpoint string) Config {
	return Config{
		Endpoint: endpoint, Region: "us-east-1", AccessKeyID: "AKIATEST", SecretAccessKey: proa.NewSecret("secret"),
		Timeout: 20 * time.Second,
	}
}

func createTable(t *testing.T, c Config, s proa.Schema) {
	t.Helper()
	cfg, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := &dynamodb.CreateTableInput{
		TableName:   &s.Table,
		BillingMode: types.BillingModePayPerRequest,
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
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
	c := localDynamoDB(t)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunTable(t, func(t *testing.T) cloud.Table { return openTable(t, c, s) })
		})
	}
}

func TestFeedConformance(t *testing.T) {
	c := localDynamoDB(t)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunFeed(t, openTable(t, c, s), func(t *testing.T) cloud.Feed { return openFeed(t, c, s) },
				cloudtest.FeedShows{AllVersions: true, OldImages: true})
		})
	}
}

// counter counts the calls by their targets.
type counter struct {
	next  http.RoundTripper
	calls chan string
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	select {
	case c.calls <- op:
	default:
	}
	return c.next.RoundTrip(r)
}

// localS3 serves the local S3 on loopback, with one bucket.
func localS3(t *testing.T, bucket string) Config {
	t.Helper()
	server, err := locals3.New(locals3.Config{
		Dir: t.TempDir(), Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Region: "us-east-1", AccountID: "000000000000",
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier := &sigv4.Verifier{
		Lookup: func(id string) (sigv4.Secret, bool) { return sigv4.NewSecret("secret"), id == "AKIATEST" },
		Clock:  time.Now,
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := verifier.Verify(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := testConfig(listener.URL)
	createBucket(t, c, bucket)
	return c
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
	c := localS3(t, "attachments")
	cloudtest.RunBucket(t, func(t *testing.T) cloud.Bucket {
		bucket, err := NewBucket(t.Context(), c, "attachments")
		if err != nil {
			t.Fatal(err)
		}
		return bucket
	})
}
