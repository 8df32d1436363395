package function

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/faults"
)

// OpenTable opens a table of the region in which this process runs, from its environment. It makes no call to the table.
func OpenTable(ctx context.Context, schema proa.Schema) (*Table, error) {
	return openTable(ctx, schema, os.Getenv)
}

func openTable(ctx context.Context, schema proa.Schema, getenv func(string) string) (*Table, error) {
	region, err := regionOf(getenv)
	if err != nil {
		return nil, err
	}
	clock := faults.Open(getenv(faults.Env)).Clock(time.Now) // a local cloud's can be put wrong on purpose
	t := &Table{region: region, clock: clock, announce: newAnnouncer(getenv, region), lease: newLease(getenv, region, schema.Table)}
	if region == proa.AWS {
		var store *aws.Table
		if store, err = aws.NewTable(ctx, awsConfig(getenv), schema); err == nil {
			t.store = countedStore(store, region, getenv)
		}
		return t, err
	}
	c, err := azureConfig(getenv, "COSMOS_KEY")
	if err != nil {
		return nil, err
	}
	store, err := azure.NewTable(c, schema)
	if err != nil {
		return nil, err
	}
	t.store = countedStore(store, region, getenv)
	return t, nil
}

// OpenBucket opens a bucket of the region in which this process runs, from its environment. It makes no call to the bucket.
func OpenBucket(ctx context.Context, name string) (*Bucket, error) {
	return openBucket(ctx, name, os.Getenv)
}

func openBucket(ctx context.Context, name string, getenv func(string) string) (*Bucket, error) {
	region, err := regionOf(getenv)
	if err != nil {
		return nil, err
	}
	var bucket cloud.Bucket
	if region == proa.AWS {
		bucket, err = aws.NewBucket(ctx, awsConfig(getenv), name)
	} else {
		var c azure.Config
		if c, err = azureConfig(getenv, "AZURE_STORAGE_CONNECTION_STRING"); err == nil {
			bucket, err = azure.NewBucket(c, name)
		}
	}
	if err != nil {
		return nil, err
	}
	bucket = countedBucket(bucket, region, getenv)
	return &Bucket{name: name, bucket: bucket, announce: newAnnouncer(getenv, region)}, nil
}

// awsConfig takes keys and endpoint from the environment, where Lambda puts them; without keys the SDK's default chain decides.
func awsConfig(getenv func(string) string) aws.Config {
	return aws.Config{
		Endpoint: getenv("AWS_ENDPOINT_URL"), Region: orDefault(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
	}
}

// azureConfig takes endpoints and keys from the environment; where the variable of the key that is needed is not set, the managed identity is
// used.
func azureConfig(getenv func(string) string, key string) (azure.Config, error) {
	c := azure.Config{
		CosmosEndpoint:    getenv("COSMOS_ENDPOINT"),
		CosmosKey:         proa.NewSecret(getenv("COSMOS_KEY")),
		Database:          getenv("COSMOS_DATABASE"),
		StorageConnection: proa.NewSecret(getenv("AZURE_STORAGE_CONNECTION_STRING")),
		StorageEndpoint:   getenv("AZURE_STORAGE_ENDPOINT"),
	}
	if getenv(key) != "" {
		return c, nil
	}
	if key == "COSMOS_KEY" && c.CosmosEndpoint == "" || key != "COSMOS_KEY" && c.StorageEndpoint == "" {
		return c, &proa.Error{
			Op: "open", Region: proa.Azure, Err: fmt.Errorf("the environment names no %s: %w", key, proa.ErrInvalidConfig),
			Hint: "set COSMOS_ENDPOINT and COSMOS_KEY, and AZURE_STORAGE_CONNECTION_STRING",
		}
	}
	identity, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		return c, &proa.Error{Op: "open", Region: proa.Azure, Err: fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err)}
	}
	c.Credential = identity
	return c, nil
}

// NewTable makes a Table of a store that the caller opened, such as a fake in a test. It announces nothing.
func NewTable(store Store, region proa.Region) *Table {
	nothing := newAnnouncer(func(string) string { return "" }, region)
	return &Table{store: store, region: region, clock: time.Now, announce: nothing}
}
