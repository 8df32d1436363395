package cloudtest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// RunBucket checks a cloud.Bucket. open is called once; the bucket may hold other objects.
func RunBucket(t *testing.T, open func(t *testing.T) cloud.Bucket) {
	b := bucketSuite{bucket: open(t), prefix: fmt.Sprintf("t%x/", rand.Uint64N(1<<40))}
	t.Run("MissingObjectsAreNotFound", b.missing)
	t.Run("ObjectsOfAnySizeComeBackTheSame", b.sizes)
	t.Run("TypeAndMetadataAreKept", b.metadata)
	t.Run("OddNamesAreKept", b.names)
	t.Run("ConditionalPuts", b.conditions)
	t.Run("ConditionalDeletes", b.deletes)
	t.Run("OneOfManyConcurrentCreationsWins", b.oneWinner)
	t.Run("ListingIsInByteOrder", b.list)
	t.Run("ABodyThatFailsLeavesNothingBehind", b.failing)
	t.Run("EncodedContentIsNotDecoded", b.encoded)
	if parts, ok := b.bucket.(cloud.PartBucket); ok {
		p := partSuite{bucketSuite: b, parts: parts}
		t.Run("PartsInAnyOrderAreOneObject", p.anyOrder)
		t.Run("UploadsAreConditional", p.conditional)
		t.Run("AnUploadThatIsGoneIsNotFound", p.gone)
		t.Run("RangesAreOfOneVersion", p.ranges)
	}
}

type bucketSuite struct {
	bucket cloud.Bucket
	prefix string
}

func (b bucketSuite) put(t *testing.T, name string, content []byte, o cloud.PutOptions) cloud.ObjectInfo {
	t.Helper()
	body := io.MultiReader(bytes.NewReader(content)) // hides Seek
	info, err := b.bucket.Put(testContext(t), b.prefix+name, body, int64(len(content)), o)
	if err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
	return info
}

func (b bucketSuite) get(t *testing.T, name string) (cloud.ObjectInfo, []byte) {
	t.Helper()
	info, body, err := b.bucket.Get(testContext(t), b.prefix+name)
	if err != nil {
		t.Fatalf("get %q: %v", name, err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %q: %v", name, err)
	}
	return info, content
}

func (b bucketSuite) missing(t *testing.T) {
	ctx := testContext(t)
	_, err := b.bucket.Head(ctx, b.prefix+"missing")
	wantError(t, "head", err, proa.ErrNotFound)
	_, _, err = b.bucket.Get(ctx, b.prefix+"missing")
	wantError(t, "get", err, proa.ErrNotFound)
	if err := b.bucket.Delete(ctx, b.prefix+"missing", ""); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if err := b.bucket.Delete(ctx, b.prefix+"missing", `"0x8D00000000000"`); err != nil {
		t.Fatalf("delete of a version: %v", err)
	}
}

// Content makes n bytes that do not repeat.
func Content(n int) []byte {
	content := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = source.Read(content) // never fails
	return content
}

func (b bucketSuite) sizes(t *testing.T) {
	sizes := []int{0, 1, 1 << 10, 8<<20 - 1, 8 << 20, 8<<20 + 1, 20 << 20, 64 << 20}
	if testing.Short() {
		sizes = sizes[:6]
	}
	for _, n := range sizes {
		content := Content(n)
		crc := cloud.NewCRC64()
		crc.Write(content)
		put := b.put(t, fmt.Sprint("size-", n), content, cloud.PutOptions{})
		if put.ETag == "" || put.Size != int64(n) || !put.HasCRC64 || put.CRC64 != crc.Sum64() {
			t.Fatalf("%d bytes: put gave %+v", n, put)
		}
		info, got := b.get(t, fmt.Sprint("size-", n))
		if !bytes.Equal(got, content) {
			t.Fatalf("%d bytes: content changed", n)
		}
		if info.ETag != put.ETag || info.Size != put.Size || !info.HasCRC64 || info.CRC64 != put.CRC64 {
			t.Fatalf("%d bytes: get gave %+v, put gave %+v", n, info, put)
		}
	}
}

func (b bucketSuite) metadata(t *testing.T) {
	want := map[string]string{
		"plain": "v", "with-hyphen": "a b", "x_y": "", "9": "digit", "unicode": "größe 日本", "padded": " x ", "word": "=?a?=",
		"a__b": "1", "dots.too": "2",
	}
	delete(want, "x_y") // an empty value is dropped by some HTTP stacks
	put := b.put(t, "meta", []byte("x"), cloud.PutOptions{
		ContentType: "image/svg+xml; charset=utf-8", Metadata: want, Headers: everyHeader,
	})
	head, err := b.bucket.Head(testContext(t), b.prefix+"meta")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := b.get(t, "meta")
	for what, info := range map[string]cloud.ObjectInfo{"put": put, "head": head, "get": got} {
		if !maps.Equal(info.Metadata, want) || info.ContentType != "image/svg+xml; charset=utf-8" || info.ETag != put.ETag ||
			info.Headers != everyHeader {
			t.Errorf("%s: got %+v\nwant metadata %q", what, info, want)
		}
		if info.LastModified.IsZero() || info.Name != b.prefix+"meta" {
			t.Errorf("%s: got %+v", what, info)
		}
	}
}

var everyHeader = cloud.Headers{
	CacheControl: "max-age=60, public", ContentDisposition: `attachment; filename="a b.svg"`,
	ContentEncoding: "br", ContentLanguage: "de, en",
}

// encoded checks that no HTTP stack unpacks what says that it is packed: sizes and checksums would be wrong.
func (b bucketSuite) encoded(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(bytes.Repeat([]byte("text "), 1000)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	headers := cloud.Headers{ContentEncoding: "gzip"}
	put := b.put(t, "packed.gz", packed.Bytes(), cloud.PutOptions{Headers: headers})
	info, got := b.get(t, "packed.gz")
	if !bytes.Equal(got, packed.Bytes()) || info.Headers != headers || info.Size != put.Size {
		t.Fatalf("got %d bytes and %+v, put %d", len(got), info, packed.Len())
	}
	head, err := b.bucket.Head(testContext(t), b.prefix+"packed.gz")
	if err != nil || head.Size != put.Size || head.Headers != headers {
		t.Fatalf("got %+v, %v", head, err)
	}
}

var oddNames = []string{
	"a b", "a+b", "a%2Fb", "100%", "ünï/日本/😀", "q?x=1&y=2", "hash#tag", "x", "x/y", "x//y", "semi;colon", "quote'\"", "<&>",
	"tab\tname", "comma,name", "=eq", "~tilde", "(paren)", "star*", "a:b", "@at", "$dollar", "back\\slash",
}

func (b bucketSuite) names(t *testing.T) {
	for _, name := range oddNames {
		b.put(t, "odd/"+name, []byte(name), cloud.PutOptions{})
	}
	listed := b.listAll(t, 5)
	for _, name := range oddNames {
		info, got := b.get(t, "odd/"+name)
		if string(got) != name || info.Name != b.prefix+"odd/"+name {
			t.Errorf("%q: got %q, %+v", name, got, info)
		}
		if !slices.Contains(listed, b.prefix+"odd/"+name) {
			t.Errorf("%q is not listed", name)
		}
	}
}

func (b bucketSuite) tryPut(t *testing.T, name, text string, o cloud.PutOptions) (cloud.ObjectInfo, error) {
	return b.bucket.Put(testContext(t), b.prefix+name, strings.NewReader(text), int64(len(text)), o)
}

func (b bucketSuite) conditions(t *testing.T) {
	large := string(Content(9 << 20))
	for what, text := range map[string]string{"small": "small", "large": large} {
		name := "conditional-" + what
		first := must[cloud.ObjectInfo](t)(b.tryPut(t, name, text, cloud.PutOptions{IfNoneMatch: true}))
		_, err := b.tryPut(t, name, text, cloud.PutOptions{IfNoneMatch: true})
		wantError(t, what+": create over an object", err, proa.ErrConflict)
		second := must[cloud.ObjectInfo](t)(b.tryPut(t, name, text+"2", cloud.PutOptions{IfMatch: first.ETag}))
		if second.ETag == first.ETag {
			t.Fatalf("%s: the ETag stayed %s", what, first.ETag)
		}
		_, err = b.tryPut(t, name, text+"3", cloud.PutOptions{IfMatch: first.ETag})
		wantError(t, what+": replace a stale object", err, proa.ErrConflict)
		if _, got := b.get(t, name); string(got) != text+"2" {
			t.Fatalf("%s: a refused put changed the object", what)
		}
		_, err = b.tryPut(t, name+"-missing", text, cloud.PutOptions{IfMatch: first.ETag})
		wantError(t, what+": replace what is not there", err, proa.ErrConflict)
	}
}

func (b bucketSuite) deletes(t *testing.T) {
	ctx := testContext(t)
	first := b.put(t, "delete", []byte("1"), cloud.PutOptions{})
	second := b.put(t, "delete", []byte("2"), cloud.PutOptions{})
	wantError(t, "delete of a stale object", b.bucket.Delete(ctx, b.prefix+"delete", first.ETag), proa.ErrConflict)
	if _, got := b.get(t, "delete"); string(got) != "2" {
		t.Fatalf("got %q", got)
	}
	if err := b.bucket.Delete(ctx, b.prefix+"delete", second.ETag); err != nil {
		t.Fatal(err)
	}
	_, err := b.bucket.Head(ctx, b.prefix+"delete")
	wantError(t, "head after delete", err, proa.ErrNotFound)
	if slices.Contains(b.listAll(t, 100), b.prefix+"delete") {
		t.Fatal("a deleted object is listed")
	}
}

func (b bucketSuite) oneWinner(t *testing.T) {
	var wins atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, err := b.tryPut(t, "race", fmt.Sprint(i), cloud.PutOptions{IfNoneMatch: true})
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, proa.ErrConflict) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d winners", wins.Load())
	}
}

func (b bucketSuite) listAll(t *testing.T, limit int) []string {
	t.Helper()
	var names []string
	after := b.prefix[:len(b.prefix)-1]
	for {
		page, more, err := b.bucket.List(testContext(t), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			if o.Name <= after || o.ETag == "" {
				t.Fatalf("after %q came %+v", after, o)
			}
			after = o.Name
			if strings.HasPrefix(o.Name, b.prefix) {
				names = append(names, o.Name)
			}
		}
		if !more || len(page) > 0 && !strings.HasPrefix(after, b.prefix) && after > b.prefix {
			return names
		}
	}
}

func (b bucketSuite) list(t *testing.T) {
	want := []string{"list/B", "list/a", "list/a/1", "list/a0", "list/aa", "list/z", "list/é", "list/日"}
	for _, name := range slices.Backward(want) {
		b.put(t, name, []byte(name), cloud.PutOptions{})
	}
	var got []string
	for _, name := range b.listAll(t, 3) {
		if strings.HasPrefix(name, b.prefix+"list/") {
			got = append(got, strings.TrimPrefix(name, b.prefix))
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

var errBroken = errors.New("the source broke")

func (b bucketSuite) failing(t *testing.T) {
	for what, size := range map[string]int{"small": 100, "large": 9 << 20} {
		name := b.prefix + "failing-" + what
		body := io.MultiReader(bytes.NewReader(Content(size-1)), brokenReader{})
		_, err := b.bucket.Put(testContext(t), name, body, int64(size), cloud.PutOptions{})
		if !errors.Is(err, errBroken) {
			t.Fatalf("%s: got %v", what, err)
		}
		_, err = b.bucket.Put(testContext(t), name, bytes.NewReader(Content(size+1)), int64(size), cloud.PutOptions{})
		wantError(t, what+" with a longer body", err, proa.ErrInvalid)
		_, err = b.bucket.Head(testContext(t), name)
		wantError(t, what, err, proa.ErrNotFound)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
