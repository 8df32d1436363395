package s3_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestReopenedStoreHasEverything(t *testing.T) {
	dir := t.TempDir()
	c := start(t, config(dir, nil))
	c.bucket("bkt")
	bodies := map[string]string{"inline": "small", "file": text(1 << 20), "empty": ""}
	for k, b := range bodies {
		c.put(k, b)
	}
	id := c.startUpload("parts", "", "")
	p1 := c.part("parts", id, 1, text(5<<20), "")
	c.stop()

	c = start(t, config(dir, nil))
	for k, b := range bodies {
		if c.get(k) != b {
			t.Errorf("%s differs after the restart", k)
		}
	}
	if _, err := c.complete("parts", id, append(parts(p1), c.part("parts", id, 2, "tail",
		""))); err != nil {
		t.Error(err)
	}
	if c.get("parts") != text(5<<20)+"tail" {
		t.Error("the upload that was begun before the restart differs")
	}
}

// acked is what a client knows after its calls returned.
type acked struct {
	mu    sync.Mutex
	state map[string]string
}

// TestAcknowledgedWritesSurviveEveryCrash takes crash clones of the disk (unsynced data lost or
// kept at random) under concurrent writers. In each clone, every acknowledged write is there whole
// or has been overtaken by a later write that was under way, no object is torn, and no file is left
// that nothing refers to.
func TestAcknowledgedWritesSurviveEveryCrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	c := start(t, config("/data", fs))
	c.bucket("bkt")
	ctx, cancel := context.WithCancel(t.Context())
	known := &acked{state: map[string]string{}}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { c.churn(ctx, w, known) })
	}
	for round := range 12 {
		known.mu.Lock()
		before := make(map[string]string, len(known.state))
		for k, v := range known.state {
			before[k] = v
		}
		known.mu.Unlock()
		clone := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: 50,
			RNG:                 rand.New(rand.NewPCG(7, uint64(round))),
		})
		checkClone(t, clone, before)
	}
	cancel()
	wg.Wait()
}

// churn writes numbered generations of its own keys, and deletes some.
func (c *cloud) churn(ctx context.Context, w int, known *acked) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%d/%d", w, i%3)
		size := []int{10, 70 << 10, 300 << 10}[i%3]
		body := fmt.Sprintf("%08d|", i) + strings.Repeat(fmt.Sprint(i%10), size)
		in := &awss3.PutObjectInput{Bucket: aws.String("bkt"), Key: &key, Body: strings.NewReader(body)}
		if _, err := c.client.PutObject(ctx, in); err != nil {
			continue
		}
		known.mu.Lock()
		known.state[key] = body
		known.mu.Unlock()
	}
}

func checkClone(t *testing.T, clone *vfs.MemFS, before map[string]string) {
	t.Helper()
	c := start(t, config("/data", clone))
	defer c.stop()
	for key, want := range before {
		got := c.get(key)
		if got[:8] < want[:8] {
			t.Errorf("%s: generation %s after %s was acknowledged", key, got[:8], want[:8])
		}
		if i := strings.IndexFunc(got[9:], func(r rune) bool { return byte(r) != got[9] }); i >= 0 ||
			got[9] != got[7] {
			t.Errorf("%s: torn at %d", key, i)
		}
	}
	out, err := c.client.ListObjectsV2(t.Context(),
		&awss3.ListObjectsV2Input{Bucket: aws.String("bkt")})
	if err != nil {
		t.Fatal(err)
	}
	files, large := 0, 0
	for _, o := range out.Contents {
		if *o.Size > 64<<10 {
			large++
		}
	}
	dirs, _ := clone.List("/data/objects")
	for _, d := range dirs {
		names, err := clone.List("/data/objects/" + d)
		if err != nil {
			t.Fatal(err)
		}
		files += len(names)
	}
	if files != large {
		t.Errorf("%d files for %d large objects", files, large)
	}
}

func TestABodyThatEndsEarlyLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	c := start(t, config("/data", fs))
	c.bucket("bkt")
	for _, size := range []int64{100, 1 << 20} {
		sent := io.MultiReader(strings.NewReader(text(int(size/2))), errReader{})
		_, err := c.client.PutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: aws.String("bkt"), Key: aws.String("k"), Body: &seekable{
				Reader: sent,
				size:   size,
			}, ContentLength: &size,
		}, withUnsignedBody)
		if err == nil {
			t.Fatal("want an error")
		}
	}
	c.put("other", "x") // the server has seen the end of the broken ones by the time it stops
	c.stop()
	c = start(t, config("/data", fs))
	if out, err := c.client.ListObjectsV2(t.Context(),
		&awss3.ListObjectsV2Input{Bucket: aws.String("bkt")}); err != nil ||
		len(out.Contents) != 1 {
		t.Errorf("%d objects, %v", len(out.Contents), err)
	}
	dirs, _ := fs.List("/data/objects")
	for _, d := range dirs {
		if names, _ := fs.List("/data/objects/" + d); len(names) > 0 {
			t.Errorf("files stay: %v", names)
		}
	}
}
