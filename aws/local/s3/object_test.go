package s3_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func text(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func TestObjectsOfEverySizeComeBack(t *testing.T) {
	c := run(t)
	for _, size := range []int{
		0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 64<<10 + 2, 1 << 20,
		5<<20 + 7,
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body := text(size)
			out := c.put("k", body, func(in *awss3.PutObjectInput) {
				in.ContentType = aws.String("text/x")
				in.CacheControl = aws.String("no-store")
				in.Metadata = map[string]string{"colour": "blau grün", "x-y": "2"}
			})
			sum := md5.Sum([]byte(body))
			if want := `"` + hex.EncodeToString(sum[:]) + `"`; *out.ETag != want {
				t.Errorf("etag %s, want %s", *out.ETag, want)
			}
			if got := c.get("k"); got != body {
				t.Errorf("got %d bytes that differ", len(got))
			}
			head, err := c.client.HeadObject(t.Context(), &awss3.HeadObjectInput{
				Bucket: aws.String("bkt"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled,
			})
			if err != nil {
				t.Fatal(err)
			}
			if *head.ContentLength != int64(size) || *head.ContentType != "text/x" ||
				*head.CacheControl != "no-store" ||
				head.Metadata["colour"] != "blau grün" || head.Metadata["x-y"] != "2" {
				t.Errorf("head %+v", head)
			}
			if head.ChecksumCRC64NVME == nil || head.ChecksumCRC32 == nil {
				t.Errorf("checksums: nvme %v, crc32 %v", head.ChecksumCRC64NVME, head.ChecksumCRC32)
			}
		})
	}
}

// hardKeys are keys that stores on file systems get wrong.
func hardKeys() []string {
	return []string{
		"x", "x/y", "x/y/z", "a//b", "a/b", "/lead", "//", "z/../w", "w", "./c", "trail/", "trail",
		"sp ace", "plus+plus", "pct%20x",
		"q?u=1&v#f", "ü/日本/😀", "quote\"<>&'", "back\\slash", "tab\there", strings.Repeat("k",
			1024), strings.Repeat("é", 512),
		"~tilde", "a=b;c,d:e@f!$()*", "..", ".", "con", "UPPER", "upper", "nul\x01x",
	}
}

func TestEveryKeyThatS3AllowsIsItsOwnObject(t *testing.T) {
	c := run(t)
	for i, key := range hardKeys() {
		c.put(key, fmt.Sprintf("%d %s", i, key))
	}
	for i, key := range hardKeys() {
		if got, want := c.get(key), fmt.Sprintf("%d %s", i, key); got != want {
			t.Errorf("%q holds %q, want %q", key, got, want)
		}
	}
	var listed []string
	p := awss3.NewListObjectsV2Paginator(c.client, &awss3.ListObjectsV2Input{
		Bucket: aws.String("bkt"), MaxKeys: aws.Int32(3), EncodingType: types.EncodingTypeUrl,
	})
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			listed = append(listed, unescape(t, *o.Key))
		}
	}
	wantSorted(t, listed, hardKeys())
	for _, key := range hardKeys() {
		if _, err := c.client.DeleteObject(t.Context(),
			&awss3.DeleteObjectInput{Bucket: aws.String("bkt"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.client.DeleteBucket(t.Context(),
		&awss3.DeleteBucketInput{Bucket: aws.String("bkt")}); err != nil {
		t.Error(err)
	}
}

func TestKeyLimits(t *testing.T) {
	c := run(t)
	_, err := c.tryPut(strings.Repeat("k", 1025), "x")
	wantCode(t, err, "KeyTooLongError", 400)
	_, err = c.tryPut("k", "x", func(in *awss3.PutObjectInput) {
		in.Metadata = map[string]string{"a": strings.Repeat("m", 2048)}
	})
	wantCode(t, err, "MetadataTooLarge", 400)
}

func TestRanges(t *testing.T) {
	c := run(t)
	for _, size := range []int{10, 200 << 10} {
		body := text(size)
		c.put("k", body)
		for _, tc := range []struct {
			header   string
			from, to int
		}{
			{"bytes=0-0", 0, 1},
			{"bytes=2-5", 2, 6},
			{"bytes=7-", 7, size},
			{"bytes=-3", size - 3, size},
			{"bytes=5-999999999", 5, size},
			{"bytes=-999999999", 0, size},
			{"bytes=5-99999999999999999999", 5, size},
			{"bytes=-99999999999999999999", 0, size},
			{"bytes=+2-5", 0, size},
			{
				"bytes=5-2", 0,
				size,
			},
			{"lines=1-2", 0, size},
			{"bytes=0-1,3-4", 0, size},
		} {
			out, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
				Bucket: aws.String("bkt"), Key: aws.String("k"), Range: &tc.header,
			})
			if err != nil {
				t.Fatalf("%s: %v", tc.header, err)
			}
			got, err := io.ReadAll(out.Body)
			if err != nil || string(got) != body[tc.from:tc.to] {
				t.Errorf("%s of %d: %d bytes, %v", tc.header, size, len(got), err)
			}
		}
		for _, bad := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=-0", "bytes=99999999999999999999-"} {
			_, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
				Bucket: aws.String("bkt"), Key: aws.String("k"), Range: &bad,
			})
			wantCode(t, err, "InvalidRange", 416)
		}
	}
}
