package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func (c *cloud) startUpload(key string, alg types.ChecksumAlgorithm,
	kind types.ChecksumType,
) string {
	c.t.Helper()
	out, err := c.client.CreateMultipartUpload(c.t.Context(), &awss3.CreateMultipartUploadInput{
		Bucket: aws.String("bkt"), Key: &key, ChecksumAlgorithm: alg, ChecksumType: kind,
		ContentType: aws.String("text/m"), Metadata: map[string]string{"a": "b"},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.UploadId
}

func (c *cloud) part(key, id string, n int32, body string,
	alg types.ChecksumAlgorithm,
) types.CompletedPart {
	c.t.Helper()
	out, err := c.client.UploadPart(c.t.Context(), &awss3.UploadPartInput{
		Bucket: aws.String("bkt"), Key: &key, UploadId: &id, PartNumber: &n,
		Body: strings.NewReader(body), ChecksumAlgorithm: alg,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return types.CompletedPart{
		ETag: out.ETag, PartNumber: &n, ChecksumCRC32: out.ChecksumCRC32,
		ChecksumCRC32C: out.ChecksumCRC32C,
		ChecksumSHA256: out.ChecksumSHA256,
	}
}

func (c *cloud) complete(key, id string, parts []types.CompletedPart,
	more ...func(*awss3.CompleteMultipartUploadInput)) (
	*awss3.CompleteMultipartUploadOutput, error,
) {
	in := &awss3.CompleteMultipartUploadInput{
		Bucket: aws.String("bkt"), Key: &key, UploadId: &id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	for _, f := range more {
		f(in)
	}
	return c.client.CompleteMultipartUpload(c.t.Context(), in)
}

func TestMultipartObject(t *testing.T) {
	for _, tc := range []struct {
		alg  types.ChecksumAlgorithm
		kind types.ChecksumType
	}{
		{"", ""},
		{
			types.ChecksumAlgorithmCrc32,
			types.ChecksumTypeComposite,
		},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject},
		{types.ChecksumAlgorithmSha256, ""},
		{types.ChecksumAlgorithmCrc64nvme, ""},
	} {
		t.Run(fmt.Sprint(tc.alg, tc.kind), func(t *testing.T) {
			c := run(t)
			id := c.startUpload("k", tc.alg, tc.kind)
			bodies := []string{text(5 << 20), text(5<<20 + 3), text(17)}
			var parts []types.CompletedPart
			var sums []byte
			for i, b := range bodies {
				parts = append(parts, c.part("k", id, int32(2*i+1), b, tc.alg))
				sum := md5.Sum([]byte(b))
				sums = append(sums, sum[:]...)
			}
			c.part("k", id, 9, "not named in the end", tc.alg)
			out, err := c.complete("k", id, parts)
			if err != nil {
				t.Fatal(err)
			}
			whole := strings.Join(bodies, "")
			sum := md5.Sum(sums)
			if want := `"` + hex.EncodeToString(sum[:]) + `-3"`; *out.ETag != want {
				t.Errorf("etag %s, want %s", *out.ETag, want)
			}
			if got := aws.ToString(out.ChecksumCRC64NVME); got != nvme(whole) {
				t.Errorf("crc64nvme %s, want %s", got, nvme(whole))
			}
			if tc.kind == types.ChecksumTypeFullObject &&
				aws.ToString(out.ChecksumCRC32C) != castagnoli(whole) {
				t.Errorf("crc32c %v, want %s", aws.ToString(out.ChecksumCRC32C), castagnoli(whole))
			}
			if tc.alg == "SHA256" && !strings.HasSuffix(aws.ToString(out.ChecksumSHA256), "-3") {
				t.Errorf("composite %v", aws.ToString(out.ChecksumSHA256))
			}
			if c.get("k") != whole {
				t.Error("body differs")
			}
			checkSpans(t, c, whole, bodies)
			if _, err := c.complete("k", id, parts); err == nil {
				t.Error("completed twice")
			}
		})
	}
}

func checkSpans(t *testing.T, c *cloud, whole string, bodies []string) {
	t.Helper()
	get := func(in awss3.GetObjectInput) (string, *awss3.GetObjectOutput) {
		in.Bucket, in.Key = aws.String("bkt"), aws.String("k")
		out, err := c.client.GetObject(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), out
	}
	edge := len(bodies[0])
	for _, r := range [][2]int{
		{0, 1},
		{edge - 1, edge + 1},
		{edge, edge + 9},
		{edge - 5, len(whole)},
		{len(whole) - 1, len(whole)},
	} {
		got, _ := get(awss3.GetObjectInput{Range: aws.String(fmt.Sprintf("bytes=%d-%d", r[0], r[1]-1))})
		if got != whole[r[0]:r[1]] {
			t.Errorf("range %v: %d bytes that differ", r, len(got))
		}
	}
	for i, b := range bodies {
		got, out := get(awss3.GetObjectInput{PartNumber: aws.Int32(int32(i + 1))})
		if got != b || aws.ToInt32(out.PartsCount) != 3 {
			t.Errorf("part %d: %d bytes, %d parts", i+1, len(got), aws.ToInt32(out.PartsCount))
		}
	}
}

func TestMultipartRefusals(t *testing.T) {
	c := run(t)
	id := c.startUpload("k", "", "")
	small := c.part("k", id, 1, "small", "")
	last := c.part("k", id, 2, "last", "")
	_, err := c.complete("k", id, []types.CompletedPart{small, last})
	wantCode(t, err, "EntityTooSmall", 400)
	_, err = c.complete("k", id, []types.CompletedPart{last, small})
	wantCode(t, err, "InvalidPartOrder", 400)
	_, err = c.complete("k", id, []types.CompletedPart{{
		PartNumber: aws.Int32(3),
		ETag:       aws.String(`"x"`),
	}})
	wantCode(t, err, "InvalidPart", 400)
	_, err = c.complete("k", id, nil)
	wantCode(t, err, "MalformedXML", 400)
	_, err = c.complete("k", "nope", []types.CompletedPart{small})
	wantCode(t, err, "NoSuchUpload", 404)
	_, err = c.complete("k", id, []types.CompletedPart{small},
		func(in *awss3.CompleteMultipartUploadInput) {
			in.ChecksumCRC64NVME = aws.String("AAAAAAAAAAA=")
		})
	wantCode(t, err, "BadDigest", 400)
	c.put("k", "there")
	_, err = c.complete("k", id, []types.CompletedPart{small},
		func(in *awss3.CompleteMultipartUploadInput) {
			in.IfNoneMatch = aws.String("*")
		})
	wantCode(t, err, "PreconditionFailed", 412)
	if _, err := c.complete("k", id, []types.CompletedPart{small},
		func(in *awss3.CompleteMultipartUploadInput) {
			in.MpuObjectSize = aws.Int64(5)
		}); err != nil {
		t.Error(err)
	}
	if c.get("k") != "small" {
		t.Error("the completed object is not there")
	}
}

func TestUploadsAreListedAndAborted(t *testing.T) {
	c := run(t)
	var ids []string
	for _, key := range []string{"a", "a", "b/1", "b/2", "c"} {
		ids = append(ids, c.startUpload(key, "", ""))
	}
	c.part("c", ids[4], 3, "three", "")
	c.part("c", ids[4], 1, "one", "")
	c.part("c", ids[4], 1, "one again", "")
	parts, err := c.client.ListParts(t.Context(), &awss3.ListPartsInput{
		Bucket: aws.String("bkt"), Key: aws.String("c"), UploadId: &ids[4], MaxParts: aws.Int32(1),
	})
	if err != nil || len(parts.Parts) != 1 || *parts.Parts[0].Size != 9 || !*parts.IsTruncated {
		t.Fatalf("%+v, %v", parts, err)
	}
	var keys []string
	p := awss3.NewListMultipartUploadsPaginator(c.client, &awss3.ListMultipartUploadsInput{
		Bucket: aws.String("bkt"), MaxUploads: aws.Int32(2),
	})
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Uploads {
			keys = append(keys, *u.Key)
		}
	}
	if got := strings.Join(keys, " "); got != "a a b/1 b/2 c" {
		t.Errorf("uploads %s", got)
	}
	folded, err := c.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{
		Bucket: aws.String("bkt"), Delimiter: aws.String("/"),
	})
	if err != nil || len(folded.CommonPrefixes) != 1 || len(folded.Uploads) != 3 {
		t.Errorf("%d prefixes, %d uploads, %v", len(folded.CommonPrefixes), len(folded.Uploads), err)
	}
	abort := &awss3.AbortMultipartUploadInput{
		Bucket: aws.String("bkt"), Key: aws.String("c"),
		UploadId: &ids[4],
	}
	if _, err := c.client.AbortMultipartUpload(t.Context(), abort); err != nil {
		t.Error(err)
	}
	_, err = c.client.AbortMultipartUpload(t.Context(), abort)
	wantCode(t, err, "NoSuchUpload", 404)
}

func TestUploadPartCopyAndCopyOfMultipart(t *testing.T) {
	c := run(t)
	src := text(11 << 20)
	c.put("src", src)
	id := c.startUpload("dst", "", "")
	var parts []types.CompletedPart
	for i, r := range []string{"bytes=0-5242879", "bytes=5242880-11534335"} {
		out, err := c.client.UploadPartCopy(t.Context(), &awss3.UploadPartCopyInput{
			Bucket: aws.String("bkt"), Key: aws.String("dst"), UploadId: &id,
			PartNumber: aws.Int32(int32(i + 1)),
			CopySource: aws.String("bkt/src"), CopySourceRange: &r,
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{
			ETag:       out.CopyPartResult.ETag,
			PartNumber: aws.Int32(int32(i + 1)),
		})
	}
	if _, err := c.complete("dst", id, parts); err != nil {
		t.Fatal(err)
	}
	if c.get("dst") != src {
		t.Error("copied parts differ")
	}
	if _, err := c.client.CopyObject(t.Context(), &awss3.CopyObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("flat"), CopySource: aws.String("bkt/dst"),
	}); err != nil {
		t.Fatal(err)
	}
	c.put("dst", "overwritten")
	if c.get("flat") != src {
		t.Error("the copy depends on its source")
	}
	_, err := c.client.UploadPartCopy(t.Context(), &awss3.UploadPartCopyInput{
		Bucket: aws.String("bkt"), Key: aws.String("dst"), UploadId: &id, PartNumber: aws.Int32(1),
		CopySource: aws.String("bkt/src"),
	})
	wantCode(t, err, "NoSuchUpload", 404)
}

func TestTransferManagerRoundTrip(t *testing.T) {
	c := run(t)
	body := []byte(text(23 << 20))
	tm := transfermanager.New(c.client)
	pr, pw := io.Pipe()
	go func() { _, err := pw.Write(body); pw.CloseWithError(err) }()
	if _, err := tm.UploadObject(t.Context(), &transfermanager.UploadObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("big"), Body: pr,
	}); err != nil {
		t.Fatal(err)
	}
	out, err := tm.GetObject(t.Context(), &transfermanager.GetObjectInput{
		Bucket: aws.String("bkt"),
		Key:    aws.String("big"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAReadThatHasBegunEndsWithItsObject(t *testing.T) {
	fs := vfs.NewMem()
	c := start(t, config("/data", fs))
	c.bucket("bkt")
	id := c.startUpload("k", "", "")
	bodies := []string{text(5 << 20), text(6 << 20), text(9)}
	var parts []types.CompletedPart
	for i, b := range bodies {
		parts = append(parts, c.part("k", id, int32(i+1), b, ""))
	}
	if _, err := c.complete("k", id, parts); err != nil {
		t.Fatal(err)
	}
	out, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("k"),
	})
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1000)
	if _, err := io.ReadFull(out.Body, first); err != nil {
		t.Fatal(err)
	}
	c.put("k", "replaced")
	rest, err := io.ReadAll(out.Body)
	if whole := strings.Join(bodies, ""); err != nil || string(first)+string(rest) != whole {
		t.Errorf("%d bytes of %d, %v", len(first)+len(rest), len(whole), err)
	}
	if c.get("k") != "replaced" {
		t.Error("the new object is not there")
	}
	c.stop() // ends the handler of the read
	for _, gen := range list(t, fs, "/data/objects") {
		if files := list(t, fs, "/data/objects/"+gen); len(files) > 0 {
			t.Errorf("files of the replaced object stay: %v", files)
		}
	}
}

func list(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
