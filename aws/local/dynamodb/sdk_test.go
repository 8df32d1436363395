package dynamodb_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/aws/local/dynamodb"
)

// clock is a wall clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 24, 3, 4, 5, 678e6, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a server on a loopback listener with the official clients in front of it.
type fixture struct {
	*dynamodb.Server
	clock   *clock
	url     string
	tables  *ddb.Client
	streams *dynamodbstreams.Client
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureWith(t, dynamodb.Config{FS: vfs.NewMem(), Dir: "ddb"})
}

func newFixtureWith(t testing.TB, cfg dynamodb.Config) *fixture {
	t.Helper()
	f := &fixture{clock: newClock()}
	if cfg.Clock == nil {
		cfg.Clock = f.clock.Now
	}
	s, err := dynamodb.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	web := httptest.NewServer(s)
	f.url = web.URL
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f.tables, f.streams = clients(web.URL)
	return f
}

func clients(url string) (*ddb.Client, *dynamodbstreams.Client) {
	creds := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
	return ddb.New(ddb.Options{
			BaseEndpoint: aws.String(url), Region: "us-east-1",
			Credentials: creds,
		}),
		dynamodbstreams.New(dynamodbstreams.Options{
			BaseEndpoint: aws.String(url), Region: "us-east-1", Credentials: creds,
		})
}

// createTable makes an on-demand table; a range key is made when its name is not empty. "name:N"
// gives the key's type.
func (f *fixture) createTable(t testing.TB, name, hash, rng string, view types.StreamViewType) {
	t.Helper()
	in := &ddb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	for _, part := range []struct {
		spec string
		kind types.KeyType
	}{{hash, types.KeyTypeHash}, {rng, types.KeyTypeRange}} {
		if part.spec == "" {
			continue
		}
		attr, typ := part.spec, types.ScalarAttributeTypeS
		if n := len(attr); n > 2 && attr[n-2] == ':' {
			attr, typ = attr[:n-2], types.ScalarAttributeType(attr[n-1:])
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			types.AttributeDefinition{AttributeName: &attr, AttributeType: typ})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{
			AttributeName: &attr,
			KeyType:       part.kind,
		})
	}
	if view != "" {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled:  aws.Bool(true),
			StreamViewType: view,
		}
	}
	if _, err := f.tables.CreateTable(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}

type attrs = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func (f *fixture) put(t testing.TB, table string, item attrs) {
	t.Helper()
	if _, err := f.tables.PutItem(context.Background(), &ddb.PutItemInput{
		TableName: &table,
		Item:      item,
	}); err != nil {
		t.Fatal(err)
	}
}

func dynamoOnDisk(t testing.TB) dynamodb.Config { return dynamodb.Config{Dir: t.TempDir()} }
