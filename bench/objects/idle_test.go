package objects

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/internal/store"
)

// BenchmarkIdle counts what a replicated bucket of 2,000 objects asks for in which nothing changes, with queues of
// notices: by kind of request, and in CPU time. The node is idle from the start and not after a minute; the sweep's pages
// are counted apart, for the first one is read at once.
func BenchmarkIdle(b *testing.B) {
	const count, measured = 2000, 2 * time.Minute
	bucket := "idle"
	c := startClouds(b)
	if _, err := c.s3().CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		b.Fatal(err)
	}
	c.blob(b, bucket)
	source, target := c.sides(b, bucket, bucket)
	events := c.queues(b, bucket, source)
	for i := range count {
		if _, err := source.Put(b.Context(), name(i), strings.NewReader("x"), 1, cloud.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
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
		Name: bucket, Sides: map[proa.Region]cloud.Bucket{proa.AWS: source, proa.Azure: target}, Events: events,
		IdleAfter: 5 * time.Second,
	}, index, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for r.Objects() < count || r.Direction(proa.AWS).Backlog > 0 || !r.Direction(proa.Azure).Known {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(40 * time.Second) // all notices of the copies, and a beat
	before, cpu := c.counts(), ownCPU(b)
	time.Sleep(measured)
	hours := measured.Hours()
	for kind, n := range c.counts() {
		if n -= before[kind]; n > 0 {
			b.ReportMetric(float64(n)/hours, kind+"/h")
		}
	}
	b.ReportMetric((ownCPU(b)-cpu).Seconds()*1000/measured.Seconds(), "cpu-ms/s")
	b.ReportMetric(0, "ns/op")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// counts are the requests so far, by kind.
func (c *clouds) counts() map[string]int64 {
	out := map[string]int64{}
	c.kinds.Range(func(kind, n any) bool {
		out[fmt.Sprint(kind)] = n.(*atomic.Int64).Load()
		return true
	})
	return out
}

// queues are both sides' notices.
func (c *clouds) queues(b *testing.B, name string, source *aws.Bucket) map[proa.Region]cloud.ObjectEvents {
	b.Helper()
	client := &http.Client{Transport: c}
	s3, err := aws.NewNotices(b.Context(), aws.Config{
		Endpoint: "http://" + c.S3, Region: "us-east-1", AccessKeyID: keyID,
		SecretAccessKey: proa.NewSecret(secret), HTTPClient: client,
	}, name, name)
	if err != nil {
		b.Fatal(err)
	}
	if err := s3.Subscribe(b.Context(), source); err != nil {
		b.Fatal(err)
	}
	blob, err := azure.NewNotices(azure.Config{StorageConnection: proa.NewSecret(c.connection()), HTTPClient: client}, name, name)
	if err != nil {
		b.Fatal(err)
	}
	return map[proa.Region]cloud.ObjectEvents{proa.AWS: s3, proa.Azure: blob}
}
