package s3_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func base(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func nvme(s string) string {
	sum := crc64.Checksum([]byte(s), crc64.MakeTable(0x9A6C9329AC4BC9B5))
	return base(binary.BigEndian.AppendUint64(nil, sum))
}

func castagnoli(s string) string {
	sum := crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli))
	return base(binary.BigEndian.AppendUint32(nil, sum))
}

func TestChecksumsThatTheSDKComputesAreKept(t *testing.T) {
	c := run(t)
	for _, alg := range []types.ChecksumAlgorithm{
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1,
		types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmSha512, types.ChecksumAlgorithmCrc64nvme,
	} {
		t.Run(string(alg), func(t *testing.T) {
			body := text(300_000)
			c.put("k", body, func(in *awss3.PutObjectInput) { in.ChecksumAlgorithm = alg })
			out, err := c.client.HeadObject(t.Context(), &awss3.HeadObjectInput{
				Bucket: aws.String("bkt"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled,
			})
			if err != nil {
				t.Fatal(err)
			}
			sha, long := sha256.Sum256([]byte(body)), sha512.Sum512([]byte(body))
			want := map[types.ChecksumAlgorithm][2]string{
				"CRC32C": {castagnoli(body), aws.ToString(out.ChecksumCRC32C)},
				"SHA256": {base(sha[:]), aws.ToString(out.ChecksumSHA256)},
				"SHA512": {base(long[:]), aws.ToString(out.ChecksumSHA512)},
			}
			if p, ok := want[alg]; ok && p[0] != p[1] {
				t.Errorf("head says %s, want %s", p[1], p[0])
			}
			if got := aws.ToString(out.ChecksumCRC64NVME); got != nvme(body) ||
				out.ChecksumType != types.ChecksumTypeFullObject {
				t.Errorf("crc64nvme %s (%s), want %s", got, out.ChecksumType, nvme(body))
			}
			if c.get("k") != body { // the SDK validates the download
				t.Error("body differs")
			}
		})
	}
}

func TestWrongDigestsAreRefusedAndStoreNothing(t *testing.T) {
	c := run(t)
	body := strings.Repeat("x", 100<<10)
	type input = awss3.PutObjectInput
	for name, tc := range map[string]struct {
		set  func(*input)
		code string
	}{
		"crc32":     {func(in *input) { in.ChecksumCRC32 = aws.String("AAAAAA==") }, "BadDigest"},
		"crc64nvme": {func(in *input) { in.ChecksumCRC64NVME = aws.String("AAAAAAAAAAA=") }, "BadDigest"},
		"xxhash64":  {func(in *input) { in.ChecksumXXHASH64 = aws.String("AAAAAAAAAAA=") }, "BadDigest"},
		"xxhash3":   {func(in *input) { in.ChecksumXXHASH3 = aws.String("AAAAAAAAAAA=") }, "InvalidRequest"},
		"malformed": {func(in *input) { in.ChecksumCRC32 = aws.String("AAAA") }, "InvalidRequest"},
		"md5":       {func(in *input) { in.ContentMD5 = aws.String("AAAAAAAAAAAAAAAAAAAAAA==") }, "BadDigest"},
		"bad md5":   {func(in *input) { in.ContentMD5 = aws.String("AAAA") }, "InvalidDigest"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.tryPut("bad", body, tc.set)
			wantCode(t, err, tc.code, 400)
			_, err = c.client.GetObject(t.Context(), &awss3.GetObjectInput{
				Bucket: aws.String("bkt"),
				Key:    aws.String("bad"),
			})
			wantCode(t, err, "NoSuchKey", 404)
		})
	}
}

func TestXXHash64IsVerified(t *testing.T) {
	c := run(t)
	// The empty text's XXH64 with seed 0, from the algorithm's specification.
	out := c.put("k", "",
		func(in *awss3.PutObjectInput) { in.ChecksumXXHASH64 = aws.String("70bbN1HY6Zk=") })
	if aws.ToString(out.ChecksumXXHASH64) != "70bbN1HY6Zk=" {
		t.Errorf("got %v", out.ChecksumXXHASH64)
	}
}

// Over TLS the SDK streams bodies that it cannot rewind in aws-chunked frames with a trailing
// checksum.
func TestUnseekableBodiesStreamInChunks(t *testing.T) {
	c := run(t)
	h := httptest.NewTLSServer(front(c.server))
	defer h.Close()
	body := text(3 << 20)
	for _, alg := range []types.ChecksumAlgorithm{
		"", types.ChecksumAlgorithmSha256,
		types.ChecksumAlgorithmCrc64nvme,
	} {
		client := clientOf(h.URL, func(o *awss3.Options) { o.HTTPClient = h.Client() })
		in := &awss3.PutObjectInput{
			Bucket: aws.String("bkt"), Key: aws.String("k"), ChecksumAlgorithm: alg,
			ContentEncoding: aws.String("x-own"),
			Body:            struct{ io.Reader }{strings.NewReader(body)},
			ContentLength:   aws.Int64(int64(len(body))),
		}
		if _, err := client.PutObject(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{
			Bucket: aws.String("bkt"),
			Key:    aws.String("k"),
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(out.Body)
		if err != nil || string(got) != body || *out.ContentEncoding != "x-own" {
			t.Errorf("%s: %d bytes, encoding %q, %v", alg, len(got), *out.ContentEncoding, err)
		}
	}
}
