package s3_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func ifNoneMatch(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

func ifMatch(etag string) func(*awss3.PutObjectInput) {
	return func(in *awss3.PutObjectInput) { in.IfMatch = &etag }
}

func TestConditionalPut(t *testing.T) {
	c := run(t)
	_, err := c.tryPut("k", "x", ifMatch(`"abc"`))
	wantCode(t, err, "NoSuchKey", 404)
	first := c.put("k", "one", ifNoneMatch)
	_, err = c.tryPut("k", "two", ifNoneMatch)
	wantCode(t, err, "PreconditionFailed", 412)
	_, err = c.tryPut("k", "two", ifMatch(`"d41d8cd98f00b204e9800998ecf8427e"`))
	wantCode(t, err, "PreconditionFailed", 412)
	if got := c.get("k"); got != "one" {
		t.Errorf("a refused put changed the object to %q", got)
	}
	c.put("k", "two", ifMatch(*first.ETag))
	_, err = c.tryPut("k", "x",
		func(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String(`"abc"`) })
	wantCode(t, err, "NotImplemented", 501)
}

func TestOneOfManyCreatorsWins(t *testing.T) {
	c := run(t)
	for round := range 8 {
		key := fmt.Sprint("k", round)
		var wg sync.WaitGroup
		var won atomic.Int32
		for i := range 16 {
			body := fmt.Sprint(i)
			if i%2 == 1 {
				body += text(70 << 10) // a file as well as an inline body
			}
			wg.Go(func() {
				if _, err := c.tryPut(key, body, ifNoneMatch); err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d writers won", won.Load())
		}
	}
}

func TestCompareAndSwapCounterLosesNothing(t *testing.T) {
	c := run(t)
	c.put("n", "0")
	var wg sync.WaitGroup
	const workers, each = 8, 15
	for range workers {
		wg.Go(func() {
			for done := 0; done < each; {
				out, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
					Bucket: aws.String("bkt"),
					Key:    aws.String("n"),
				})
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, 16)
				n, _ := out.Body.Read(b)
				_ = out.Body.Close()
				v, err := strconv.Atoi(string(b[:n]))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.tryPut("n", strconv.Itoa(v+1), ifMatch(*out.ETag)); err == nil {
					done++
				}
			}
		})
	}
	wg.Wait()
	if got := c.get("n"); got != strconv.Itoa(workers*each) {
		t.Errorf("counter is %s, want %d", got, workers*each)
	}
}

func TestConditionalReads(t *testing.T) {
	c := run(t)
	etag := *c.put("k", "body").ETag
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, tc := range map[string]struct {
		in     awss3.GetObjectInput
		status string
	}{
		"if-match": {awss3.GetObjectInput{IfMatch: &etag}, ""},
		"if-match other": {
			awss3.GetObjectInput{IfMatch: aws.String(`"x"`)},
			"PreconditionFailed",
		},
		"if-none-match":             {awss3.GetObjectInput{IfNoneMatch: &etag}, "NotModified"},
		"if-none-match other":       {awss3.GetObjectInput{IfNoneMatch: aws.String(`"x"`)}, ""},
		"modified since the past":   {awss3.GetObjectInput{IfModifiedSince: &past}, ""},
		"modified since the future": {awss3.GetObjectInput{IfModifiedSince: &future}, "NotModified"},
		"unmodified since the past": {
			awss3.GetObjectInput{IfUnmodifiedSince: &past},
			"PreconditionFailed",
		},
		"unmodified since the future": {awss3.GetObjectInput{IfUnmodifiedSince: &future}, ""},
		"match beats unmodified": {
			awss3.GetObjectInput{IfMatch: &etag, IfUnmodifiedSince: &past},
			"",
		},
		"none-match beats modified": {awss3.GetObjectInput{
			IfNoneMatch:     &etag,
			IfModifiedSince: &past,
		}, "NotModified"},
		"none-match other, not changed": {awss3.GetObjectInput{
			IfNoneMatch:     aws.String(`"x"`),
			IfModifiedSince: &future,
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := tc.in
			in.Bucket, in.Key = aws.String("bkt"), aws.String("k")
			out, err := c.client.GetObject(t.Context(), &in)
			switch {
			case tc.status == "" && err != nil:
				t.Error(err)
			case tc.status == "":
				_ = out.Body.Close()
			case tc.status == "NotModified":
				wantCode(t, err, tc.status, 304)
			default:
				wantCode(t, err, tc.status, 412)
			}
		})
	}
}

func TestConditionalDelete(t *testing.T) {
	c := run(t)
	etag := *c.put("k", "body").ETag
	del := func(key, etag string) error {
		_, err := c.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{
			Bucket: aws.String("bkt"), Key: &key, IfMatch: &etag,
		})
		return err
	}
	wantCode(t, del("k", `"x"`), "PreconditionFailed", 412)
	if err := del("k", etag); err != nil {
		t.Error(err)
	}
	wantCode(t, del("k", etag), "NoSuchKey", 404)
	c.put("k", "again")
	out, err := c.client.DeleteObjects(t.Context(), &awss3.DeleteObjectsInput{
		Bucket: aws.String("bkt"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
			{Key: aws.String("k"), ETag: aws.String("x")}, {Key: aws.String("none")},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Errors) != 1 || *out.Errors[0].Code != "PreconditionFailed" || len(out.Deleted) != 1 {
		t.Errorf("%d errors, %d deleted", len(out.Errors), len(out.Deleted))
	}
}
