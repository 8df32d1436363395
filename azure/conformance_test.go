package azure

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/blob"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

var testKey = base64.StdEncoding.EncodeToString([]byte("a key of no particular secrecy!!"))

// localBlob serves the local Blob storage on loopback, with one container, and keeps versions where versioning is set.
func localBlob(t *testing.T, name string, versioning bool) Config {
	t.Helper()
	server, err := blob.New(blob.Config{Dir: t.TempDir(), Account: "proalocal", Clock: time.Now, Versioning: versioning})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Config{
		Account: "proalocal", StorageKey: testKey, Clock: time.Now,
		CosmosResource: func(*http.Request) (string, string) { return "", "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(verifier.Wrap(server))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Timeout: 20 * time.Second, StorageConnection: proa.NewSecret(fmt.Sprintf(
		"DefaultEndpointsProtocol=http;AccountName=proalocal;AccountKey=%s;BlobEndpoint=%s/proalocal;", testKey, listener.URL))}
	createContainer(t, c, name)
	return c
}

func createContainer(t *testing.T, c Config, name string) {
	t.Helper()
	client, err := container.NewClientFromConnectionString(c.StorageConnection.Reveal(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func TestBucketConformance(t *testing.T) {
	c := localBlob(t, "attachments", false)
	cloudtest.RunBucket(t, func(t *testing.T) cloud.Bucket {
		bucket, err := NewBucket(c, "attachments")
		if err != nil {
			t.Fatal(err)
		}
		return bucket
	})
}

// localCosmos serves the local Cosmos DB on loopback, with a database proa.
func localCosmos(t *testing.T, ranges int) Config {
	t.Helper()
	server, err := cosmos.New(cosmos.Config{Dir: t.TempDir(), Clock: time.Now, Ranges: ranges})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Config{
		Account: "proalocal", CosmosKey: testKey, Clock: time.Now, CosmosResource: cosmos.ResourceOf,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(verifier.Wrap(server))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Timeout: 20 * time.Second, CosmosEndpoint: listener.URL, CosmosKey: proa.NewSecret(testKey)}
	createDatabase(t, c)
	return c
}

func cosmosClient(t *testing.T, c Config) *azcosmos.Client {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(c.CosmosKey.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(c.CosmosEndpoint, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func createDatabase(t *testing.T, c Config) {
	t.Helper()
	_, err := cosmosClient(t, c).CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "proa"}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func createTable(t *testing.T, c Config, s proa.Schema) {
	t.Helper()
	database, err := cosmosClient(t, c).NewDatabase("proa")
	if err != nil {
		t.Fatal(err)
	}
	_, err = database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
		ID: s.Table,
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Kind: azcosmos.PartitionKeyKindHash, Version: 2, Paths: []string{PartitionKeyPath(s)},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func schemas() []proa.Schema {
	return []proa.Schema{
		{Table: "orders", HashName: "id", HashKind: proa.KindS},
		{Table: "by-number", HashName: "n", HashKind: proa.KindN, RangeName: "when", RangeKind: proa.KindS},
		{Table: "by-text", HashName: "customer", HashKind: proa.KindS, RangeName: "id", RangeKind: proa.KindB},
	}
}

func openTable(t *testing.T, c Config, s proa.Schema) *Table {
	t.Helper()
	table, err := NewTable(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func openFeed(t *testing.T, c Config, s proa.Schema) *Feed {
	t.Helper()
	feed, err := NewFeed(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

func TestTableConformance(t *testing.T) {
	c := localCosmos(t, 1)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunTable(t, func(t *testing.T) cloud.Table { return openTable(t, c, s) })
		})
	}
}

func TestFeedConformance(t *testing.T) {
	for _, ranges := range []int{1, 3} {
		c := localCosmos(t, ranges)
		for _, s := range schemas() {
			createTable(t, c, s)
			t.Run(fmt.Sprint(s.Table, " over ", ranges), func(t *testing.T) {
				cloudtest.RunFeed(t, openTable(t, c, s), func(t *testing.T) cloud.Feed { return openFeed(t, c, s) },
					cloudtest.FeedShows{AllVersions: true})
			})
		}
	}
}
