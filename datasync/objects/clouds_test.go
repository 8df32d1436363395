package objects

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	awslocal "github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/azure"
	azurelocal "github.com/proa-cloud/proa/azure/local"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/faults"
)

// localS3 runs a local AWS with a bucket.
func localS3(t *testing.T) *aws.Bucket {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- awslocal.Run(ctx, awslocal.Config{
			Dir: t.TempDir(), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", AccessKeyID: "AKIATEST",
			SecretAccessKey: proa.NewSecret("secret"), AccountID: "000000000000", Region: "us-east-1", Clock: time.Now,
			Logger: slog.New(slog.DiscardHandler), Ready: func(a awslocal.Addresses) { ready <- a.API },
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	endpoint := "http://" + <-ready
	api := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})
	if _, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: sdk.String("attachments")}); err != nil {
		t.Fatal(err)
	}
	b, err := aws.NewBucket(t.Context(), aws.Config{
		Endpoint: endpoint, Region: "us-east-1", AccessKeyID: "AKIATEST", SecretAccessKey: proa.NewSecret("secret"),
	}, "attachments")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// localBlob runs a local Azure with a container, whose faults are read from a folder.
func localBlob(t *testing.T, faultDir string) *azure.Bucket {
	t.Helper()
	key := base64.StdEncoding.EncodeToString([]byte("a key of no particular secrecy!!"))
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- azurelocal.Run(ctx, azurelocal.Config{
			Dir: t.TempDir(), Listen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", Account: "proalocal",
			CosmosKey: proa.NewSecret(key), StorageKey: proa.NewSecret(key), MonitorToken: proa.NewSecret("token"),
			Clock: time.Now, Faults: faults.Open(faults.Path(faultDir)),
			Ready: func(a azurelocal.Addresses) { ready <- a.Data },
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	connection := fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=proalocal;AccountKey=%s;BlobEndpoint=http://%s/proalocal;",
		key, <-ready)
	client, err := container.NewClientFromConnectionString(connection, "attachments", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b, err := azure.NewBucket(azure.Config{StorageConnection: proa.NewSecret(connection)}, "attachments")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCopiesInFlightFollowACloudThatThrottles has the local Blob Storage refuse nine requests in ten in its own words, as
// `proa throttle azure` does, through the vendor's SDK with its retries: fewer copies are under way until it takes them,
// then more again, and all arrive.
func TestCopiesInFlightFollowACloudThatThrottles(t *testing.T) {
	dir := t.TempDir()
	throttle := func(rate float64) {
		if err := faults.Write(dir, faults.Set{ThrottleRate: rate}); err != nil {
			t.Fatal(err)
		}
	}
	throttle(0)
	from, into := localS3(t), localBlob(t, dir)
	p := newPair(t)
	p.sides = map[proa.Region]cloud.Bucket{proa.AWS: from, proa.Azure: into}
	p.tune = func(b *Bucket) { b.Page, b.SweepMin, b.SweepMax = 1000, 50*time.Millisecond, 200*time.Millisecond }
	add := func(prefix string, n int) {
		for i := range n {
			name := fmt.Sprintf("%s%04d", prefix, i)
			_, err := from.Put(t.Context(), name, strings.NewReader(name), int64(len(name)), cloud.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	add("a", 100)
	throttle(0.9)
	p.start()
	wait(t, "fewer to be sent", func() bool { return p.r.width(proa.Azure) <= 8 })
	if w := p.r.width(proa.AWS); w < 16 {
		t.Errorf("the side that does not throttle is down to %d copies at a time", w)
	}
	throttle(0)
	add("b", 400)
	wait(t, "as many to be sent as before", func() bool { return p.r.width(proa.Azure) >= 16 })
	wait(t, "all to be seen", func() bool { return p.r.Objects() == 500 })
	crossed(t, p)
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
	page, _, err := into.List(t.Context(), "", 1000)
	if err != nil || len(page) != 500 {
		t.Errorf("%d blobs, %v", len(page), err)
	}
}
