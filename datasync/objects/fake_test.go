package objects

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// bucket is a bucket in memory. ETags are of the content on S3 and of the write on Blob storage.
type bucket struct {
	mu       sync.Mutex
	blob     bool
	versions bool
	noCRC    bool // as foreign writers leave objects
	objects  map[string]stored
	history  map[string]stored // by version ID
	n        int
	calls    map[string]int
	fault    func(op, name string) error // before the call takes effect
	lost     func(op, name string) bool  // the call takes effect, its answer is lost
	now      func() time.Time
	notices  *queue
}

// queue holds a bucket's notices.
type queue struct {
	mu      sync.Mutex
	waiting []cloud.ObjectEvent
	n       int
	drop    func() bool // the notice is lost
	double  bool        // every notice comes twice
}

func (q *queue) add(e cloud.ObjectEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.drop != nil && q.drop() {
		return
	}
	q.n++
	e.Receipt = fmt.Sprint("r", q.n)
	q.waiting = append(q.waiting, e)
	if q.double {
		q.waiting = append(q.waiting, e)
	}
}

// Receive gives the same notices until they are acknowledged, the last ones first.
func (q *queue) Receive(ctx context.Context, wait time.Duration) ([]cloud.ObjectEvent, error) {
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		q.mu.Lock()
		got := slices.Clone(q.waiting[max(0, len(q.waiting)-10):])
		q.mu.Unlock()
		slices.Reverse(got)
		if len(got) > 0 || time.Now().After(end) {
			return got, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (q *queue) Acknowledge(_ context.Context, receipts []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(e cloud.ObjectEvent) bool {
		return slices.Contains(receipts, e.Receipt)
	})
	return nil
}

// tell puts a notice of a change into the queue. The caller holds the lock.
func (b *bucket) tell(name, etag string, size int64, deleted bool) {
	if b.notices != nil {
		b.notices.add(cloud.ObjectEvent{
			Name: name, ETag: etag, Size: size, Deleted: deleted, Time: b.now(),
		})
	}
}

type stored struct {
	info cloud.ObjectInfo
	body []byte
}

func newBucket(blob bool) *bucket {
	return &bucket{blob: blob, objects: map[string]stored{}, history: map[string]stored{}, calls: map[string]int{}, now: time.Now}
}

func (b *bucket) enter(op, name string) error {
	b.calls[op]++
	if b.fault != nil {
		return b.fault(op, name)
	}
	return nil
}

// put is a foreign writer's.
func (b *bucket) put(name, body string, meta map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(name, []byte(body), cloud.PutOptions{Metadata: meta, ContentType: "text/plain"}, !b.noCRC)
}

func (b *bucket) set(name string, body []byte, o cloud.PutOptions, crc bool) cloud.ObjectInfo {
	b.n++
	sum := cloud.NewCRC64()
	sum.Write(body)
	info := cloud.ObjectInfo{
		Name: name, Size: int64(len(body)), ContentType: o.ContentType,
		Headers:      o.Headers,
		Metadata:     maps.Clone(o.Metadata),
		LastModified: b.now().Truncate(time.Second), ETag: fmt.Sprintf("%x", sum.Sum64()),
	}
	if b.blob {
		info.ETag = fmt.Sprint("0x", b.n)
	}
	if b.versions {
		info.VersionID = fmt.Sprint("v", b.n)
		defer func() { b.history[info.VersionID] = b.objects[name] }()
	}
	if crc {
		info.CRC64, info.HasCRC64 = sum.Sum64(), true
	}
	b.objects[name] = stored{info, body}
	b.tell(name, info.ETag, info.Size, false)
	return info
}

func (b *bucket) del(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	b.tell(name, "", gone, true)
}

func (b *bucket) content(name string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[name]
	return string(o.body), ok
}

func (b *bucket) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

func (b *bucket) List(
	_ context.Context, after string, limit int,
) ([]cloud.ObjectInfo, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("list", after); err != nil {
		return nil, false, err
	}
	var page []cloud.ObjectInfo
	for _, name := range slices.Sorted(maps.Keys(b.objects)) {
		if name <= after {
			continue
		}
		if len(page) == limit {
			return page, true, nil
		}
		i := b.objects[name].info
		page = append(page, cloud.ObjectInfo{
			Name: name, Size: i.Size, ETag: i.ETag,
			LastModified: i.LastModified,
		})
	}
	return page, false, nil
}

func (b *bucket) Head(_ context.Context, name string) (cloud.ObjectInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("head", name); err != nil {
		return cloud.ObjectInfo{}, err
	}
	o, ok := b.objects[name]
	if !ok {
		return cloud.ObjectInfo{}, proa.ErrNotFound
	}
	return o.info, nil
}

// partBucket is a bucket that takes uploads in parts, in memory.
type partBucket struct {
	*bucket
	uploads map[string]map[int][]byte
	ranges  int64 // bytes read by ranges
}

func newPartBucket(blob bool) *partBucket {
	return &partBucket{bucket: newBucket(blob), uploads: map[string]map[int][]byte{}}
}

func (b *partBucket) GetRange(
	_ context.Context, name, etag string, offset, length int64,
) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("range", name); err != nil {
		return nil, err
	}
	o, ok := b.objects[name]
	if !ok {
		return nil, proa.ErrNotFound
	}
	if o.info.ETag != etag {
		return nil, proa.ErrConflict
	}
	b.ranges += length
	end := min(offset+length, int64(len(o.body))) // a body that was cut ends early
	return io.NopCloser(bytes.NewReader(o.body[min(offset, end):end])), nil
}

func (b *partBucket) Begin(_ context.Context, name string, _ cloud.PutOptions) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("begin", name); err != nil {
		return "", err
	}
	b.n++
	id := fmt.Sprint("u", b.n)
	b.uploads[id] = map[int][]byte{}
	return id, nil
}

func (b *partBucket) PutPart(
	_ context.Context, name, upload string, number int, body io.ReadSeeker, size int64,
) (cloud.Part, error) {
	for range 2 { // as a driver that sums first
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return cloud.Part{}, err
		}
		if n, err := io.Copy(io.Discard, body); err != nil || n != size {
			return cloud.Part{}, fmt.Errorf("%d of %d bytes: %w", n, size, err)
		}
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return cloud.Part{}, err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return cloud.Part{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("part", name); err != nil {
		return cloud.Part{}, err
	}
	if b.uploads[upload] == nil {
		return cloud.Part{}, proa.ErrNotFound
	}
	b.uploads[upload][number] = content
	sum := cloud.NewCRC64()
	sum.Write(content)
	return cloud.Part{Number: number, Size: size, CRC64: sum.Sum64()}, nil
}

func (b *partBucket) Complete(
	_ context.Context, name, upload string, parts []cloud.Part, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("complete", name); err != nil {
		return cloud.ObjectInfo{}, err
	}
	stored := b.uploads[upload]
	if stored == nil {
		return cloud.ObjectInfo{}, proa.ErrNotFound
	}
	old, ok := b.objects[name]
	if o.IfNoneMatch && ok || o.IfMatch != "" && old.info.ETag != o.IfMatch {
		return cloud.ObjectInfo{}, proa.ErrConflict
	}
	var content []byte
	for i, p := range parts {
		if p.Number != i+1 || stored[p.Number] == nil {
			return cloud.ObjectInfo{}, proa.ErrNotFound
		}
		content = append(content, stored[p.Number]...)
	}
	info := b.set(name, content, o, true)
	delete(b.uploads, upload)
	if b.lost != nil && b.lost("complete", name) {
		return cloud.ObjectInfo{}, proa.ErrUnavailable
	}
	return info, nil
}

func (b *partBucket) Abort(_ context.Context, name, upload string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("abort", name); err != nil {
		return err
	}
	delete(b.uploads, upload)
	return nil
}

func (b *bucket) Get(_ context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("get", name); err != nil {
		return cloud.ObjectInfo{}, nil, err
	}
	o, ok := b.objects[name]
	if !ok {
		return cloud.ObjectInfo{}, nil, proa.ErrNotFound
	}
	return o.info, io.NopCloser(bytes.NewReader(o.body)), nil
}

func (b *bucket) GetVersion(
	_ context.Context, name, version string,
) (cloud.ObjectInfo, io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.history[version]
	if !ok || o.info.Name != name {
		return cloud.ObjectInfo{}, nil, proa.ErrNotFound
	}
	return o.info, io.NopCloser(bytes.NewReader(o.body)), nil
}

func (b *bucket) Put(
	_ context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	content, err := io.ReadAll(body)
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("put", name); err != nil {
		return cloud.ObjectInfo{}, err
	}
	old, ok := b.objects[name]
	if int64(len(content)) != size || o.IfNoneMatch && ok || o.IfMatch != "" &&
		old.info.ETag != o.IfMatch {
		return cloud.ObjectInfo{}, proa.ErrConflict
	}
	info := b.set(name, content, o, true)
	if b.lost != nil && b.lost("put", name) {
		return cloud.ObjectInfo{}, proa.ErrUnavailable
	}
	info.LastModified = time.Time{}
	return info, nil
}

func (b *bucket) Delete(_ context.Context, name, ifMatch string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enter("delete", name); err != nil {
		return err
	}
	if o, ok := b.objects[name]; ok && ifMatch != "" && o.info.ETag != ifMatch {
		return proa.ErrConflict
	}
	delete(b.objects, name)
	b.tell(name, "", gone, true)
	if b.lost != nil && b.lost("delete", name) {
		return proa.ErrUnavailable
	}
	return nil
}
