package cloudtest

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// partSuite checks a cloud.PartBucket.
type partSuite struct {
	bucketSuite
	parts cloud.PartBucket
}

// smallestPart is the least that S3 takes of any part but the last.
const smallestPart = 5 << 20

var partContent = Content(2*smallestPart + 1000)

// upload stores all parts of partContent, the last one first, and returns them in order.
func (p partSuite) upload(
	t *testing.T, name string, o cloud.PutOptions,
) (id string, parts []cloud.Part) {
	t.Helper()
	id = must[string](t)(p.parts.Begin(testContext(t), p.prefix+name, o))
	chunks := slices.Collect(slices.Chunk(partContent, smallestPart))
	for i, chunk := range slices.Backward(chunks) {
		part := must[cloud.Part](t)(p.parts.PutPart(testContext(t), p.prefix+name, id, i+1,
			bytes.NewReader(chunk), int64(len(chunk))))
		sum := cloud.NewCRC64()
		sum.Write(chunk)
		if part.Number != i+1 || part.Size != int64(len(chunk)) || part.CRC64 != sum.Sum64() {
			t.Fatalf("part %d: got %+v", i+1, part)
		}
		parts = append(parts, part)
	}
	slices.Reverse(parts)
	return id, parts
}

func (p partSuite) anyOrder(t *testing.T) {
	o := cloud.PutOptions{
		ContentType: "video/mp4", Headers: everyHeader, Metadata: map[string]string{"k": "v"},
	}
	id, parts := p.upload(t, "parts", o)
	if _, err := p.bucket.Head(testContext(t), p.prefix+"parts"); err == nil {
		t.Fatal("an upload is visible before it is complete")
	}
	put := must[cloud.ObjectInfo](t)(
		p.parts.Complete(testContext(t), p.prefix+"parts", id, parts, o))
	info, got := p.get(t, "parts")
	sum := cloud.NewCRC64()
	sum.Write(partContent)
	if !bytes.Equal(got, partContent) || info.ETag != put.ETag || !info.HasCRC64 ||
		info.CRC64 != sum.Sum64() || put.CRC64 != info.CRC64 || put.Size != info.Size {
		t.Fatalf("put gave %+v, get gave %d bytes and %+v", put, len(got), info)
	}
	if info.Headers != o.Headers || info.ContentType != o.ContentType ||
		!maps.Equal(info.Metadata, o.Metadata) {
		t.Fatalf("the description is lost: %+v", info)
	}
}

func (p partSuite) conditional(t *testing.T) {
	create := cloud.PutOptions{IfNoneMatch: true}
	first, firstParts := p.upload(t, "parts-race", create)
	there := p.put(t, "parts-race", []byte("was faster"), cloud.PutOptions{})
	_, err := p.parts.Complete(testContext(t), p.prefix+"parts-race", first, firstParts, create)
	wantError(t, "create over an object", err, proa.ErrConflict)
	if _, got := p.get(t, "parts-race"); string(got) != "was faster" {
		t.Fatalf("a refused upload wrote %d bytes", len(got))
	}
	replace := cloud.PutOptions{IfMatch: there.ETag}
	second, parts := p.upload(t, "parts-race", replace)
	must[cloud.ObjectInfo](t)(
		p.parts.Complete(testContext(t), p.prefix+"parts-race", second, parts, replace))
	if _, got := p.get(t, "parts-race"); !bytes.Equal(got, partContent) {
		t.Fatal("the content is another")
	}
}

func (p partSuite) gone(t *testing.T) {
	id, parts := p.upload(t, "parts-gone", cloud.PutOptions{})
	if err := p.parts.Abort(testContext(t), p.prefix+"parts-gone", id); err != nil {
		t.Fatal(err)
	}
	if err := p.parts.Abort(testContext(t), p.prefix+"parts-gone", id); err != nil {
		t.Fatalf("abort again: %v", err)
	}
	p.put(t, "parts-gone", []byte("x"), cloud.PutOptions{}) // drops what Blob still has of it
	_, err := p.parts.Complete(testContext(t), p.prefix+"parts-gone", id, parts, cloud.PutOptions{})
	wantError(t, "complete an aborted upload", err, proa.ErrNotFound)
}

func (p partSuite) ranges(t *testing.T) {
	put := p.put(t, "range", partContent, cloud.PutOptions{})
	body := must[io.ReadCloser](t)(p.parts.GetRange(testContext(t), p.prefix+"range", put.ETag, 7, 1000))
	got, err := io.ReadAll(body)
	if err != nil || body.Close() != nil || !bytes.Equal(got, partContent[7:1007]) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	p.put(t, "range", []byte("another"), cloud.PutOptions{})
	_, err = p.parts.GetRange(testContext(t), p.prefix+"range", put.ETag, 0, 10)
	wantError(t, "a range of a version that was replaced", err, proa.ErrConflict)
	_, err = p.parts.GetRange(testContext(t), p.prefix+"range-missing", put.ETag, 0, 10)
	wantError(t, "a range of nothing", err, proa.ErrNotFound)
}
