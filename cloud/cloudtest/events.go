package cloudtest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/proa-cloud/proa/cloud"
)

// RunObjectEvents checks a cloud.ObjectEvents: the bucket's notices must go into the queue.
func RunObjectEvents(t *testing.T, b cloud.Bucket, q cloud.ObjectEvents) {
	s := eventSuite{bucketSuite{bucket: b, prefix: fmt.Sprintf("e%x/", rand.Uint64N(1<<40))}, q}
	t.Run("WritesAndDeletesAreTold", s.told)
	t.Run("AnEmptyQueueIsNoError", s.empty)
}

type eventSuite struct {
	bucketSuite
	queue cloud.ObjectEvents
}

// next returns the events of the suite's own objects until there are n, and acknowledges all.
func (s eventSuite) next(t *testing.T, n int) (events []cloud.ObjectEvent) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); len(events) < n; {
		if time.Now().After(end) {
			t.Fatalf("%d of %d events came: %+v", len(events), n, events)
		}
		got, err := s.queue.Receive(testContext(t), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var receipts []string
		for _, e := range got {
			if e.Receipt == "" {
				t.Fatalf("an event without a receipt: %+v", e)
			}
			receipts = append(receipts, e.Receipt)
			if len(e.Name) > len(s.prefix) && e.Name[:len(s.prefix)] == s.prefix {
				events = append(events, e)
			}
		}
		if err := s.queue.Acknowledge(testContext(t), receipts); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

func (s eventSuite) told(t *testing.T) {
	began := time.Now()
	for _, name := range []string{"plain", "a b+c/ü%2F?x=1&y", "large"} {
		size := 3
		if name == "large" {
			size = 9 << 20
		}
		put := s.put(t, name, Content(size), cloud.PutOptions{})
		e := s.next(t, 1)[0]
		if e.Name != put.Name || e.ETag != put.ETag || e.Size != int64(size) || e.Deleted {
			t.Errorf("put %+v, told %+v", put, e)
		}
		if e.Time.Before(began.Add(-time.Minute)) || e.Time.After(time.Now().Add(time.Minute)) {
			t.Errorf("told at %s", e.Time)
		}
		if err := s.bucket.Delete(testContext(t), put.Name, put.ETag); err != nil {
			t.Fatal(err)
		}
		if e = s.next(t, 1)[0]; e.Name != put.Name || !e.Deleted || e.ETag != "" {
			t.Errorf("deleted %s, told %+v", put.Name, e)
		}
	}
}

func (s eventSuite) empty(t *testing.T) {
	for end := time.Now().Add(20 * time.Second); ; {
		got, err := s.queue.Receive(testContext(t), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("still there: %+v", got)
		}
		for _, e := range got {
			if err := s.queue.Acknowledge(testContext(t), []string{e.Receipt}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.queue.Acknowledge(testContext(t), nil); err != nil {
		t.Errorf("acknowledge nothing: %v", err)
	}
}
