package objects

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// newPartPair is a pair whose objects of more than 10 bytes cross in parts of 4.
func newPartPair(t *testing.T) (p *pair, s3, blob *partBucket) {
	t.Helper()
	p = newPair(t)
	s3, blob = newPartBucket(false), newPartBucket(true)
	p.s3, p.blob = s3.bucket, blob.bucket
	p.sides = map[proa.Region]cloud.Bucket{proa.AWS: s3, proa.Azure: blob}
	p.tune = func(b *Bucket) { b.Small, b.PartFrom, b.PartSize, b.PartBuffers = 5, 10, 4, 3 }
	return p, s3, blob
}

// wait waits until something holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out: ", what)
		}
	}
}

func (b *partBucket) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.uploads)
}

var large = strings.Repeat("0123456789abcdef", 20)[:317]

func TestLargeObjectsCrossInParts(t *testing.T) {
	p, s3, blob := newPartPair(t)
	s3.put("large", large, map[string]string{"k": "v"})
	blob.put("back", large+"x", nil)
	p.start()
	p.settled()
	p.equal(map[string]string{"large": large, "back": large + "x"})
	if blob.count("part") != 80 || s3.count("part") != 80 || blob.count("put")+s3.count("put") != 0 {
		t.Error("not all parts crossed, or some as a whole")
	}
	if s3.open()+blob.open() != 0 {
		t.Error("uploads are left open")
	}
	if info := blob.described("large"); info.Metadata["k"] != "v" {
		t.Errorf("the description is lost: %+v", info)
	}
}

// TestPartsLargerThanABufferAreStreamed reads a part as the drivers do: to its end, again from its
// beginning, and from the middle.
func TestPartsLargerThanABufferAreStreamed(t *testing.T) {
	body, opened := strings.Repeat("0123456789", 1000)+"!", 0
	s := &source{length: int64(len(body)), open: func(skip, n int64) (io.ReadCloser, error) {
		opened++
		return io.NopCloser(iotest.DataErrReader(strings.NewReader(body[skip : skip+n]))), nil
	}}
	for _, at := range []int64{0, 0, 5000} {
		if _, err := s.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || string(got) != body[at:] {
			t.Fatalf("from %d: %d bytes, %v", at, len(got), err)
		}
	}
	if opened != 3 {
		t.Errorf("opened %d times", opened)
	}
	if end, err := s.Seek(0, io.SeekEnd); err != nil || end != int64(len(body)) {
		t.Errorf("ends at %d, %v", end, err)
	}
	s.Close()
}

// TestACrashInTheMiddleOfATransferResumesIt ends the process after some parts and has another go on
// with them.
func TestACrashInTheMiddleOfATransferResumesIt(t *testing.T) {
	p, s3, blob := newPartPair(t)
	var cut atomic.Bool
	cut.Store(true)
	blob.fault = func(op, _ string) error {
		if op == "part" && cut.Load() && blob.calls["part"] > 30 {
			return proa.ErrUnavailable
		}
		return nil
	}
	s3.put("large", large, nil)
	p.start()
	wait(t, "30 parts", func() bool { blob.mu.Lock(); defer blob.mu.Unlock(); return blob.calls["part"] > 30 })
	p.stop()
	cut.Store(false)
	sent := s3.sent()
	p.start()
	p.settled()
	p.equal(map[string]string{"large": large})
	// 30 parts of 4 bytes were stored; what was under way or not kept may be sent again
	if again := s3.sent() - sent; again > int64(len(large))-30*4+3*4 {
		t.Errorf("%d of %d bytes were sent again", again, len(large))
	}
	if n := blob.count("begin"); n != 1 {
		t.Errorf("%d uploads were begun", n)
	}
	if n, err := p.store.WalkObjects(p.r.uploads(proa.Azure), "", "", -1, func(string, []byte) error {
		return errors.New("an upload is remembered")
	}); err != nil {
		t.Error(n, err)
	}
}

func TestASourceReplacedDuringItsCopyIsCopiedAsItIs(t *testing.T) {
	p, s3, blob := newPartPair(t)
	var once atomic.Bool
	blob.fault = func(op, _ string) error {
		if op == "part" && blob.calls["part"] > 20 && once.CompareAndSwap(false, true) {
			go s3.put("large", strings.ToUpper(large), nil)
			return proa.ErrUnavailable
		}
		return nil
	}
	s3.put("large", large, nil)
	p.start()
	wait(t, "the replacement", once.Load)
	p.settled()
	p.equal(map[string]string{"large": strings.ToUpper(large)})
	if blob.open() != 0 {
		t.Error("the upload of what was replaced is left open")
	}
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

func TestADestinationChangedDuringTheCopyIsAConflict(t *testing.T) {
	p, s3, blob := newPartPair(t)
	var once atomic.Bool
	blob.fault = func(op, _ string) error {
		if op == "complete" && once.CompareAndSwap(false, true) {
			blob.now = func() time.Time { return time.Now().Add(2 * time.Second) }
			blob.set("large", []byte("written meanwhile"), cloud.PutOptions{}, true)
		}
		return nil
	}
	s3.put("large", large, nil)
	p.start()
	wait(t, "the change", once.Load)
	p.settled()
	p.equal(map[string]string{"large": "written meanwhile"})
	if c := p.conflicts(); len(c) != 1 {
		t.Errorf("%d conflicts, want 1", len(c))
	}
	if blob.open() != 0 {
		t.Error("the upload is left open")
	}
}

func TestAnObjectDeletedDuringItsCopyIsDeleted(t *testing.T) {
	p, s3, blob := newPartPair(t)
	var once atomic.Bool
	blob.fault = func(op, _ string) error {
		if op == "part" && blob.calls["part"] > 20 && once.CompareAndSwap(false, true) {
			go s3.del("large")
			return proa.ErrUnavailable
		}
		return nil
	}
	s3.put("large", large, nil)
	p.start()
	wait(t, "the delete", once.Load)
	wait(t, "an empty bucket", func() bool { return len(s3.names()) == 0 })
	p.settled()
	p.equal(map[string]string{})
	if blob.open() != 0 {
		t.Error("the upload of what was deleted is left open")
	}
}

func TestATruncatedBodyIsNotStored(t *testing.T) {
	p, s3, blob := newPartPair(t)
	s3.put("large", large, nil)
	s3.mu.Lock()
	whole := s3.objects["large"]
	s3.objects["large"] = stored{info: whole.info, body: whole.body[:100]}
	s3.mu.Unlock()
	p.start()
	wait(t, "some tries", func() bool { s3.mu.Lock(); defer s3.mu.Unlock(); return s3.calls["range"] > 100 })
	if body, ok := blob.content("large"); ok {
		t.Errorf("stored %q", body)
	}
	s3.mu.Lock()
	s3.objects["large"] = whole
	s3.mu.Unlock()
	p.settled()
	p.equal(map[string]string{"large": large})
}

func TestPartsThatDoNotMakeTheWholeAreNotStored(t *testing.T) {
	p, s3, blob := newPartPair(t)
	s3.put("large", large, nil)
	s3.mu.Lock()
	whole := s3.objects["large"]
	s3.objects["large"] = stored{info: whole.info, body: []byte(strings.ToUpper(large))}
	s3.mu.Unlock()
	p.start()
	wait(t, "an upload that was given up", func() bool {
		blob.mu.Lock()
		defer blob.mu.Unlock()
		return blob.calls["abort"] > 1
	})
	if body, ok := blob.content("large"); ok {
		t.Errorf("stored %q", body)
	}
	s3.mu.Lock()
	s3.objects["large"] = whole
	s3.mu.Unlock()
	p.settled()
	p.equal(map[string]string{"large": large})
}

func TestAnUploadWhoseAnswerIsLostIsKnownAsOurs(t *testing.T) {
	p, s3, blob := newPartPair(t)
	var once atomic.Bool
	blob.lost = func(op, _ string) bool { return op == "complete" && once.CompareAndSwap(false, true) }
	s3.put("large", large, nil)
	p.start()
	p.settled()
	p.equal(map[string]string{"large": large})
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("our own write conflicts: %+v", c)
	}
	if blob.open() != 0 {
		t.Error("an upload is left open")
	}
}

func TestAbandonedUploadsAreAborted(t *testing.T) {
	p, s3, blob := newPartPair(t)
	blob.fault = func(op, _ string) error {
		if op == "complete" {
			return proa.ErrUnavailable
		}
		return nil
	}
	s3.put("large", large, nil)
	p.start()
	wait(t, "an upload", func() bool { return blob.open() == 1 })
	p.stop()
	s3.put("large", "short", nil)
	blob.mu.Lock()
	blob.fault = nil
	blob.mu.Unlock()
	p.start()
	p.settled()
	p.stop()
	p.start() // looks for what was left
	wait(t, "the upload's end", func() bool { return blob.open() == 0 })
	p.settled()
	p.equal(map[string]string{"large": "short"})
}
