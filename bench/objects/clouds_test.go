// Package objects measures the replication of objects beside rclone bisync and beside what the two
// endpoints give to a bare parallel copy with the vendors' SDKs, in one run on one machine.
package objects

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	awslocal "github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/azure"
	azurelocal "github.com/proa-cloud/proa/azure/local"
)

const (
	serveIn    = "PROA_BENCH_CLOUDS" // the folder in which the child serves both clouds
	account    = "proalocal"
	keyID      = "AKIAPROABENCH0000000"
	secret     = "a secret of no particular secrecy, 40 ch"
	storageKey = "YSBrZXkgb2Ygbm8gcGFydGljdWxhciBzZWNyZWN5ISE="
)

// clouds are both local clouds in a process of their own.
type clouds struct {
	S3, Blob string // host:port

	requests atomic.Int64 // of clients that count
	kinds    sync.Map     // requests by what they ask, *atomic.Int64
}

// TestMain serves the clouds where it is the child.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveIn); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve serves until its standard input ends, and prints the addresses.
func serve(dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	ready := make(chan string, 2)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return awslocal.Run(ctx, awslocal.Config{
			Dir: filepath.Join(dir, "aws"), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
			AccessKeyID: keyID, SecretAccessKey: proa.NewSecret(secret), AccountID: "000000000000",
			Region: "us-east-1", Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
			Ready: func(a awslocal.Addresses) { ready <- a.API },
		})
	})
	first := <-ready
	file := azurelocal.File{EventSubscriptions: []azurelocal.EventSubscription{{Container: "idle", Queue: "idle"}}}
	if err := os.MkdirAll(filepath.Join(dir, "azure"), 0o700); err != nil {
		return err
	}
	if err := file.Write(filepath.Join(dir, "azure", azurelocal.FileName)); err != nil {
		return err
	}
	g.Go(func() error {
		return azurelocal.Run(ctx, azurelocal.Config{
			Dir: filepath.Join(dir, "azure"), Listen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
			Account: account, CosmosKey: proa.NewSecret(storageKey), StorageKey: proa.NewSecret(storageKey),
			MonitorToken: proa.NewSecret("token"), Clock: time.Now,
			Ready: func(a azurelocal.Addresses) { ready <- a.Data },
		})
	})
	if err := json.NewEncoder(os.Stdout).Encode(&clouds{S3: first, Blob: <-ready}); err != nil {
		return err
	}
	return g.Wait()
}

func startClouds(b *testing.B) *clouds {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveIn+"="+b.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	c := &clouds{}
	if err == nil {
		err = json.Unmarshal(line, c)
	}
	if err != nil {
		b.Fatal("the clouds did not start: ", err)
	}
	return c
}

// RoundTrip counts requests.
func (c *clouds) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	kind := "blob"
	switch path := r.URL.Path; {
	case r.URL.Host == c.Blob && strings.HasPrefix(path, "/queue/"):
		kind = "storage-queue"
	case r.Header.Get("X-Amz-Target") != "":
		kind = "sqs"
	case r.URL.Host == c.S3:
		kind = "s3"
	}
	if r.URL.Query().Get("list-type")+r.URL.Query().Get("comp") != "" {
		kind += "-list"
	} else {
		kind += "-" + strings.ToLower(r.Method)
	}
	n, _ := c.kinds.LoadOrStore(kind, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	return transport.RoundTrip(r)
}

var transport = &http.Transport{
	MaxIdleConnsPerHost: 128, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
}

func (c *clouds) connection() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=http://%s/%s;QueueEndpoint=http://%s/queue/%s;",
		account, storageKey, c.Blob, account, c.Blob, account)
}

func (c *clouds) s3() *s3.Client {
	endpoint := "http://" + c.S3
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: sdk.NewCredentialsCache(credentials.NewStaticCredentialsProvider(keyID, secret, "")),
		HTTPClient:  &http.Client{Transport: transport},
	})
}

func (c *clouds) blob(b *testing.B, name string) *container.Client {
	b.Helper()
	o := &container.ClientOptions{}
	o.Transport = &http.Client{Transport: transport}
	o.Retry = policy.RetryOptions{MaxRetries: 3}
	client, err := container.NewClientFromConnectionString(c.connection(), name, o)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := client.Create(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	return client
}

func (c *clouds) sides(b *testing.B, bucket, name string) (*aws.Bucket, *azure.Bucket) {
	b.Helper()
	client := &http.Client{Transport: c}
	source, err := aws.NewBucket(b.Context(), aws.Config{
		Endpoint: "http://" + c.S3, Region: "us-east-1", AccessKeyID: keyID,
		SecretAccessKey: proa.NewSecret(secret), HTTPClient: client,
	}, bucket)
	if err != nil {
		b.Fatal(err)
	}
	target, err := azure.NewBucket(azure.Config{
		StorageConnection: proa.NewSecret(c.connection()), HTTPClient: client,
	}, name)
	if err != nil {
		b.Fatal(err)
	}
	return source, target
}
