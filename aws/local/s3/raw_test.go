package s3_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa/aws/local/s3"
)

func parts(p ...types.CompletedPart) []types.CompletedPart { return p }

var errCut = errors.New("cut")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errCut }

// seekable lets the SDK take a stream for a file of a known size.
type seekable struct {
	io.Reader
	size int64
}

func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return s.size, nil
	}
	return 0, nil
}

// withUnsignedBody makes the client send the body as it comes.
func withUnsignedBody(o *awss3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

func TestPresignedURLs(t *testing.T) {
	c := run(t)
	p := awss3.NewPresignClient(c.client)
	put, err := p.PresignPutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: aws.String("bkt"),
		Key:    aws.String("a b/ü+"),
	})
	if err != nil {
		t.Fatal(err)
	}
	do := func(method, url, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, body := do(http.MethodPut, put.URL, "presigned"); status != 200 {
		t.Fatalf("put: %d %s", status, body)
	}
	get, err := p.PresignGetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("a " +
			"b/ü+"), ResponseContentType: aws.String("text/plain"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := do(http.MethodGet, get.URL, ""); status != 200 || body != "presigned" {
		t.Errorf("get: %d %s", status, body)
	}
	forged := strings.Replace(get.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
	if status, body := do(http.MethodGet, forged, ""); status != 403 ||
		!strings.Contains(body, "<Code>SignatureDoesNotMatch<") {
		t.Errorf("changed: %d %s", status, body)
	}
	if status, body := do(http.MethodGet, c.url+"/bkt/x", ""); status != 403 ||
		!strings.Contains(body, "<Code>AccessDenied<") {
		t.Errorf("anonymous: %d %s", status, body)
	}
	if status, _ := do(http.MethodPut, get.URL, "x"); status != 403 {
		t.Errorf("a GET's URL serves PUT: %d", status)
	}
}

func TestVirtualHostAddresses(t *testing.T) {
	c := run(t)
	c.put("dir/k", "body")
	for _, endpoint := range []string{
		"http://localhost:1", "http://s3.us-east-1.amazonaws.com",
		"http://s3.localhost",
	} {
		client := clientOf(endpoint, func(o *awss3.Options) {
			o.UsePathStyle = false
			o.HTTPClient = dialAll(strings.TrimPrefix(c.url, "http://"))
		})
		out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{
			Bucket: aws.String("bkt"),
			Key:    aws.String("dir/k"),
		})
		if err != nil {
			t.Fatalf("%s: %v", endpoint, err)
		}
		_ = out.Body.Close()
		if *out.ContentLength != 4 {
			t.Errorf("%s: %d bytes", endpoint, *out.ContentLength)
		}
	}
}

// zeros is a large body that needs no memory.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func TestMemoryDoesNotGrowWithTheObject(t *testing.T) {
	c := run(t)
	const size = 256 << 20
	var peak atomic.Uint64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var m runtime.MemStats
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, err := c.client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("big"), Body: &seekable{
			&zeros{size},
			size,
		}, ContentLength: aws.Int64(size),
	}, withUnsignedBody)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"),
		Key:    aws.String("big"),
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, out.Body)
	close(stop)
	<-done
	if err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
	grown := int64(peak.Load()) - int64(before.HeapInuse)
	t.Logf("heap grew by at most %d KiB over a put and a get of %d MiB", grown>>10, size>>20)
	if grown > 16<<20 {
		t.Errorf("heap grew by %d MiB", grown>>20)
	}
}

func TestChangesAreAnnouncedInOrder(t *testing.T) {
	var events []s3.Event
	cfg := config(t.TempDir(), nil)
	cfg.OnChange = func(e s3.Event) { events = append(events, e) }
	c := start(t, cfg)
	c.bucket("bkt")
	etag := strings.Trim(*c.put("k", "body").ETag, `"`)
	c.remove("k", "")
	c.remove("k", "")
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	put, del := events[0], events[1]
	if put.Key != "k" || put.Bucket != "bkt" || put.ETag != etag || put.Size != 4 || put.Deleted ||
		put.Reason != "PutObject" {
		t.Errorf("%+v", put)
	}
	if !del.Deleted || del.ETag != "" || del.Sequencer <= put.Sequencer ||
		del.Reason != "DeleteObject" {
		t.Errorf("%+v", del)
	}
}

func TestWhatIsNotThereSaysSo(t *testing.T) {
	c := run(t)
	bkt := aws.String("bkt")
	_, err := c.client.GetBucketPolicy(t.Context(), &awss3.GetBucketPolicyInput{Bucket: bkt})
	wantCode(t, err, "NoSuchBucketPolicy", 404)
	_, err = c.client.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{
		Bucket: bkt,
		Policy: aws.String("{}"),
	})
	wantCode(t, err, "NotImplemented", 501)
	_, err = c.tryPut("k", "x",
		func(in *awss3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKms })
	wantCode(t, err, "NotImplemented", 501)
	_, err = c.tryPut("k", "x",
		func(in *awss3.PutObjectInput) { in.ACL = types.ObjectCannedACLPublicRead })
	wantCode(t, err, "AccessControlListNotSupported", 400)
	_, err = c.tryPut("k", "x",
		func(in *awss3.PutObjectInput) { in.ExpectedBucketOwner = aws.String("111111111111") })
	wantCode(t, err, "AccessDenied", 403)
	acl, err := c.client.GetBucketAcl(t.Context(), &awss3.GetBucketAclInput{Bucket: bkt})
	if err != nil || len(acl.Grants) != 1 || acl.Grants[0].Permission != types.PermissionFullControl {
		t.Errorf("acl %+v, %v", acl, err)
	}
	loc, err := c.client.GetBucketLocation(t.Context(), &awss3.GetBucketLocationInput{Bucket: bkt})
	if err != nil || loc.LocationConstraint != "" {
		t.Errorf("location %+v, %v", loc, err)
	}
	_, err = c.client.CreateBucket(t.Context(),
		&awss3.CreateBucketInput{Bucket: aws.String("Bad_Name")})
	wantCode(t, err, "InvalidBucketName", 400)
	_, err = c.client.HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("absent")})
	wantCode(t, err, "NotFound", 404)
	out, err := c.client.ListBuckets(t.Context(), &awss3.ListBucketsInput{})
	if err != nil || len(out.Buckets) != 1 || *out.Buckets[0].Name != "bkt" {
		t.Errorf("buckets %+v, %v", out, err)
	}
}

func TestThrottledRequestsGetSlowDown(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	var on atomic.Bool
	cfg.Throttle = func(*http.Request) bool { return on.Load() }
	c := start(t, cfg)
	c.bucket("bkt")
	on.Store(true)
	_, err := c.tryPut("k", "x")
	wantCode(t, err, "SlowDown", 503)
}
