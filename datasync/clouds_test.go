package datasync_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	awslocal "github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/sidecar"
	"github.com/proa-cloud/proa/internal/store"
)

var orders = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

// localAWS runs a local AWS with the tables.
func localAWS(t *testing.T) aws.Config {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan awslocal.Addresses, 1), make(chan error, 1)
	go func() {
		done <- awslocal.Run(ctx, awslocal.Config{
			Dir: t.TempDir(), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", AccessKeyID: "AKIATEST",
			SecretAccessKey: proa.NewSecret("secret"), AccountID: "000000000000", Region: "us-east-1", Clock: time.Now,
			Logger: slog.New(slog.DiscardHandler), Ready: func(a awslocal.Addresses) { ready <- a },
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	endpoint := "http://" + (<-ready).API
	db := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})
	for _, s := range []proa.Schema{orders, sidecar.Schema()} {
		_, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &s.Table, BillingMode: types.BillingModePayPerRequest,
			KeySchema: []types.KeySchemaElement{{AttributeName: &s.HashName, KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: &s.HashName, AttributeType: types.ScalarAttributeTypeS},
			},
			StreamSpecification: &types.StreamSpecification{
				StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return aws.Config{
		Endpoint: endpoint, Region: "us-east-1", AccessKeyID: "AKIATEST",
		SecretAccessKey: proa.NewSecret("secret"),
	}
}

// localCosmos runs a local Cosmos DB with the containers.
func localCosmos(t *testing.T) azure.Config {
	t.Helper()
	key := base64.StdEncoding.EncodeToString([]byte("a key of no particular secrecy!!"))
	server, err := cosmos.New(cosmos.Config{Dir: t.TempDir(), Clock: time.Now, Ranges: 2})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Config{
		Account: "proalocal", CosmosKey: key, Clock: time.Now, CosmosResource: cosmos.ResourceOf,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(verifier.Wrap(server))
	ctx, stop := context.WithCancel(context.Background())
	expiring := make(chan error, 1)
	go func() { expiring <- server.Run(ctx) }()
	t.Cleanup(func() { listener.Close(); stop(); <-expiring; _ = server.Close() })
	credential, err := azcosmos.NewKeyCredential(key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(listener.URL, credential, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{InsecureAllowCredentialWithHTTP: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "proa"}, nil); err != nil {
		t.Fatal(err)
	}
	database, err := client.NewDatabase("proa")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []proa.Schema{orders, sidecar.Schema()} {
		_, err := database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
			ID:                     s.Table,
			PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{azure.PartitionKeyPath(s)}},
			DefaultTimeToLive:      sdk.Int32(-1), // items may have their own
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	return azure.Config{CosmosEndpoint: listener.URL, CosmosKey: proa.NewSecret(key), Database: "proa"}
}

// between opens both clouds for data sync.
func between(t *testing.T, a aws.Config, z azure.Config) datasync.Config {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	dynamo, err := aws.NewTable(t.Context(), a, orders)
	must(err)
	stream, err := aws.NewFeed(t.Context(), a, orders)
	must(err)
	container, err := azure.NewTable(z, orders)
	must(err)
	feed, err := azure.NewFeed(z, orders)
	must(err)
	stateA, err := aws.NewTable(t.Context(), a, sidecar.Schema())
	must(err)
	stateZ, err := azure.NewTable(z, sidecar.Schema())
	must(err)
	cfg := datasync.Default()
	cfg.Clock, cfg.Shared = time.Now, true
	cfg.Sidecars = map[proa.Region]cloud.Table{proa.AWS: stateA, proa.Azure: stateZ}
	cfg.Tables = []datasync.Table{{Schema: orders, Sides: map[proa.Region]datasync.TableSide{
		proa.AWS: {Table: dynamo, Feed: stream}, proa.Azure: {Table: container, Feed: feed},
	}}}
	return cfg
}

// run starts a node with an empty disk; kill ends it.
func run(t *testing.T, cfg datasync.Config, name string) (s *datasync.Service, kill func()) {
	t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DB, cfg.Node = db, name
	if s, err = datasync.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = db.Close()
	}
}

// TestATakeoverBetweenTheLocalClouds gives data sync from a node that is lost with its disk to one
// with an empty disk, through the vendors' wire protocols.
func TestATakeoverBetweenTheLocalClouds(t *testing.T) {
	t.Parallel()
	cfg := between(t, localAWS(t), localCosmos(t))
	dynamo, container := cfg.Tables[0].Sides[proa.AWS].Table, cfg.Tables[0].Sides[proa.Azure].Table
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	key := func(i int) proa.Key {
		return proa.Key{Table: "orders", Hash: proa.String(fmt.Sprint("k", i))}
	}
	put := func(i int, text string) {
		item := proa.Item{"id": key(i).Hash, "text": proa.String(text)}
		row, err := dynamo.Get(t.Context(), key(i))
		if err == nil {
			_, _, err = dynamo.Swap(t.Context(), row, proa.Image{Item: item})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(i int) string {
		row, err := container.Get(t.Context(), key(i))
		if err != nil || row.Image.Tombstone() {
			return ""
		}
		return row.Image.Item["text"].Str
	}
	caughtUp := func(s *datasync.Service) func() bool {
		return func() bool {
			res, err := s.Compare()
			d, derr := s.Replication(proa.AWS)
			return err == nil && derr == nil && !d.Scanning && d.Backlog == 0 && res.Differences+res.InFlight == 0
		}
	}
	const keys = 300
	first, kill := run(t, cfg, "node-1")
	first.Assign(datasync.Tenure{Owner: "node-1", Epoch: 1})
	for i := range keys {
		put(i, "one")
	}
	until("the last key is there", func() bool { return text(keys-1) == "one" })
	until("all is equal", caughtUp(first))
	kill()
	for i := range 20 {
		row, err := dynamo.Get(t.Context(), key(i))
		if err == nil {
			_, err = dynamo.Purge(t.Context(), row) // a delete by an application
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(keys, "new")
	put(100, "two")
	second, kill := run(t, cfg, "node-2")
	defer kill()
	began := time.Now()
	second.Assign(datasync.Tenure{Owner: "node-2", Epoch: 2})
	until("the new key is there", func() bool { return text(keys) == "new" })
	t.Logf("first change after %s", time.Since(began))
	until("the changed key is there", func() bool { return text(100) == "two" })
	t.Logf("an old key's change after %s", time.Since(began))
	until("all is equal", caughtUp(second))
	for i := range 20 {
		if text(i) != "" {
			t.Errorf("k%d is back", i)
		}
	}
	if text(50) != "one" {
		t.Errorf("k50 is %q", text(50))
	}
	if own := second.Ownership(); own.State != datasync.Owning || own.Epoch != 2 {
		t.Errorf("%+v", own)
	}
}
