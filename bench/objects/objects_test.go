package objects

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/internal/store"
)

const (
	parallel = 32 // copies at a time: proa's own default, the bare loop's, rclone's --transfers
	part     = 8 << 20
)

// set is what is copied.
type set struct {
	name  string
	count int
	size  int
}

// BenchmarkObjects copies 2,000 objects of 1 KiB and 20 of 64 MiB from S3 to an empty container three
// times: a bare parallel loop of the same vendors' SDK calls (the ceiling of these endpoints on this
// machine), data sync with its fsynced shadow index, and rclone bisync --resync. Then it has each look
// again when nothing has changed. Every round trips the same two processes.
func BenchmarkObjects(b *testing.B) {
	for _, s := range []set{{"2000x1KiB", 2000, 1 << 10}, {"20x64MiB", 20, 64 << 20}} {
		b.Run(s.name, func(b *testing.B) {
			c := startClouds(b)
			c.fill(b, s)
			b.ResetTimer()
			var bare, ours, theirs, again float64
			for i := range b.N {
				bare += c.bare(b, s, fmt.Sprint("bare-", i)).Seconds()
				ours += c.proa(b, s, fmt.Sprint("proa-", i)).Seconds()
				first, second := c.rclone(b, fmt.Sprint("rclone-", i))
				theirs, again = theirs+first.Seconds(), again+second.Seconds()
			}
			n := float64(b.N)
			mib := float64(s.count) * float64(s.size) / (1 << 20) * n
			b.ReportMetric(float64(s.count)*n/ours, "proa-objects/s")
			b.ReportMetric(mib/ours, "proa-MiB/s")
			b.ReportMetric(bare/n, "ceiling-s")
			b.ReportMetric(ours/n, "proa-s")
			b.ReportMetric(bare/ours, "of-ceiling")
			if theirs > 0 {
				b.ReportMetric(theirs/n, "rclone-s")
				b.ReportMetric(theirs/ours, "times-rclone")
				b.ReportMetric(again/n, "rclone-unchanged-s")
			}
		})
	}
}

// fill writes the set to the bucket "source".
func (c *clouds) fill(b *testing.B, s set) {
	b.Helper()
	client := c.s3()
	if _, err := client.CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: sdk.String("source")}); err != nil {
		b.Fatal(err)
	}
	source, _ := c.sides(b, "source", "none")
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(parallel)
	for i := range s.count {
		g.Go(func() error {
			_, err := source.Put(ctx, name(i), bytes.NewReader(content(i, s.size)), int64(s.size),
				cloud.PutOptions{ContentType: "application/octet-stream"})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

func name(i int) string { return fmt.Sprintf("dir-%02d/object-%05d", i%20, i) }

func content(i, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(i))
	out := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(out) // never fails
	return out
}

// bare copies with the SDKs alone: a listing, then one Get and one Put an object, or the ranges of a
// large one.
func (c *clouds) bare(b *testing.B, s set, into string) time.Duration {
	b.Helper()
	client, target := c.s3(), c.blob(b, into)
	began := time.Now()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(parallel)
	parts := make(chan struct{}, parallel)
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: sdk.String("source")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range page.Contents {
			g.Go(func() error {
				if *o.Size <= 16<<20 {
					return bareSmall(ctx, client, target, *o.Key)
				}
				return bareLarge(ctx, client, target, *o.Key, *o.Size, parts)
			})
		}
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func bareSmall(ctx context.Context, from *s3.Client, to *container.Client, key string) error {
	out, err := from.GetObject(ctx, &s3.GetObjectInput{Bucket: sdk.String("source"), Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return err
	}
	_, err = to.NewBlockBlobClient(key).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), nil)
	return err
}

func bareLarge(
	ctx context.Context, from *s3.Client, to *container.Client, key string, size int64,
	slots chan struct{},
) error {
	blob := to.NewBlockBlobClient(key)
	g, staging := errgroup.WithContext(ctx) // ends with Wait
	var ids []string
	for at := int64(0); at < size; at += part {
		id := fmt.Sprintf("%08d", len(ids)) // base64 of six bytes
		ids = append(ids, id)
		slots <- struct{}{}
		g.Go(func() error {
			defer func() { <-slots }()
			out, err := from.GetObject(staging, &s3.GetObjectInput{
				Bucket: sdk.String("source"), Key: &key,
				Range: sdk.String(fmt.Sprintf("bytes=%d-%d", at, min(at+part, size)-1)),
			})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			body := make([]byte, min(part, size-at))
			if _, err := io.ReadFull(out.Body, body); err != nil {
				return err
			}
			_, err = blob.StageBlock(staging, id, streaming.NopCloser(bytes.NewReader(body)), nil)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := blob.CommitBlockList(ctx, ids, nil)
	return err
}

// proa runs data sync's replicator until the other side has all, and then for three seconds more, in
// which it reports what an idle bucket costs.
func (c *clouds) proa(b *testing.B, s set, into string) time.Duration {
	b.Helper()
	c.blob(b, into)
	source, target := c.sides(b, "source", into)
	db, err := store.Open(store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	index, err := shadow.New(db, shadow.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	r, err := objects.New(objects.Bucket{
		Name: "source", Sides: map[proa.Region]cloud.Bucket{proa.AWS: source, proa.Azure: target},
	}, index, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- r.Run(ctx) }()
	for r.Objects() < int64(s.count) || r.Direction(proa.AWS).Backlog > 0 {
		time.Sleep(time.Millisecond)
		if time.Since(began) > 10*time.Minute {
			b.Fatal("it is not done in ten minutes: ", r.Direction(proa.AWS))
		}
	}
	took := time.Since(began)
	time.Sleep(3 * time.Second) // to come to rest
	requests, cpu := c.requests.Load(), ownCPU(b)
	time.Sleep(3 * time.Second)
	b.ReportMetric(float64(c.requests.Load()-requests)/3, "idle-requests/s")
	b.ReportMetric((ownCPU(b)-cpu).Seconds()/3*1000, "idle-cpu-ms/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rclone runs rclone bisync twice: the first sync and one in which nothing has changed. RCLONE names
// the program, which `make bench-objects` builds; without it only proa and the ceiling are measured.
func (c *clouds) rclone(b *testing.B, into string) (first, unchanged time.Duration) {
	b.Helper()
	program := os.Getenv("RCLONE")
	if program == "" {
		return 0, 0
	}
	c.blob(b, into)
	dir := b.TempDir()
	run := func(more ...string) time.Duration {
		args := append([]string{
			"bisync", fmt.Sprintf(":s3,provider=Other,endpoint='http://%s',access_key_id=%s,secret_access_key='%s',region=us-east-1,force_path_style=true:source", c.S3, keyID, secret),
			fmt.Sprintf(":azureblob,account=%s,key='%s',endpoint='http://%s/%s':%s", account, storageKey, c.Blob, account, into),
			"--workdir", filepath.Join(dir, "work"), "--transfers", fmt.Sprint(parallel),
			"--checkers", fmt.Sprint(parallel), "--config", filepath.Join(dir, "none.conf"), "--fast-list",
		}, more...)
		began := time.Now()
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			b.Fatalf("rclone: %v\n%s", err, out)
		}
		return time.Since(began)
	}
	return run("--resync"), run()
}
