package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/aws/local/s3"
	"github.com/proa-cloud/proa/aws/local/sigv4"
)

const (
	testKey    = "AKIDTEST"
	testSecret = "secret/of+the=test"
	testRegion = "us-east-1"
)

// cloud is a running server with an official client.
type cloud struct {
	t      *testing.T
	server *s3.Server
	url    string
	client *awss3.Client
	stop   func()
}

func config(dir string, fs vfs.FS) s3.Config {
	return s3.Config{
		Dir: dir, FS: fs, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Region: testRegion,
		AccountID: "000000000000",
	}
}

// front does what the front of the local AWS does: verify, then serve.
func front(server http.Handler) http.Handler {
	v := &sigv4.Verifier{
		Lookup: func(id string) (sigv4.Secret, bool) {
			return sigv4.NewSecret(testSecret),
				id == testKey
		},
		Clock: time.Now,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := v.Verify(r); err != nil {
			var refusal *sigv4.Error
			if errors.As(err, &refusal) {
				err = refusal.For(sigv4.S3)
			}
			s3.WriteError(w, r, err)
			return
		}
		server.ServeHTTP(w, r)
	})
}

func start(t *testing.T, cfg s3.Config) *cloud {
	t.Helper()
	server, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(front(server))
	c := &cloud{t: t, server: server, url: h.URL, client: clientOf(h.URL)}
	stopped := false
	c.stop = func() {
		if stopped {
			return
		}
		stopped = true
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(c.stop)
	return c
}

func clientOf(url string, more ...func(*awss3.Options)) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(url), Region: testRegion, UsePathStyle: true,
		Credentials:      credentials.NewStaticCredentialsProvider(testKey, testSecret, ""),
		RetryMaxAttempts: 1,
		// What config.LoadDefaultConfig sets: CRC32 in a trailer or header, and validation of downloads.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, more...)
}

// run starts a server on a fresh folder, with a bucket named "bkt".
func run(t *testing.T) *cloud {
	c := start(t, config(t.TempDir(), nil))
	c.bucket("bkt")
	return c
}

func (c *cloud) bucket(name string) {
	c.t.Helper()
	if _, err := c.client.CreateBucket(c.t.Context(),
		&awss3.CreateBucketInput{Bucket: &name}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) put(key, body string, more ...func(*awss3.PutObjectInput)) *awss3.PutObjectOutput {
	c.t.Helper()
	out, err := c.tryPut(key, body, more...)
	if err != nil {
		c.t.Fatalf("put %q: %v", key, err)
	}
	return out
}

func (c *cloud) tryPut(key, body string,
	more ...func(*awss3.PutObjectInput),
) (*awss3.PutObjectOutput, error) {
	in := &awss3.PutObjectInput{
		Bucket: aws.String("bkt"), Key: &key,
		Body: bytes.NewReader([]byte(body)),
	}
	for _, f := range more {
		f(in)
	}
	return c.client.PutObject(c.t.Context(), in)
}

func (c *cloud) get(key string) string {
	c.t.Helper()
	out, err := c.client.GetObject(c.t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"),
		Key:    &key,
	})
	if err != nil {
		c.t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		c.t.Fatalf("read %q: %v", key, err)
	}
	return string(b)
}

// wantCode checks the vendor's error code and HTTP status.
func wantCode(t *testing.T, err error, code string, status int) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("want %s, got %v", code, err)
	}
	if api.ErrorCode() != code {
		t.Errorf("want code %s, got %s (%s)", code, api.ErrorCode(), api.ErrorMessage())
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) && resp.HTTPStatusCode() != status {
		t.Errorf("want status %d, got %d", status, resp.HTTPStatusCode())
	}
}

// dialAll lets tests use "bucket.localhost" without a resolver.
func dialAll(address string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
}
