package sigv4_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

// The examples of AWS's own documentation, byte for byte:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and the pages on
// streaming and trailers.
const (
	docKey    = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	docScope  = docKey + "/20130524/us-east-1/s3/aws4_request"
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func docVerifier() *sigv4.Verifier {
	return &sigv4.Verifier{
		Lookup: func(id string) (sigv4.Secret, bool) { return sigv4.NewSecret(docSecret), id == docKey },
		Clock:  func() time.Time { return time.Date(2013, 5, 24, 0, 1, 0, 0, time.UTC) },
	}
}

func read(t *testing.T, wire string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(s ...string) string { return strings.Join(s, "\r\n") }

func auth(signed, signature string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=" + docScope + ",SignedHeaders=" + signed +
		",Signature=" + signature
}

func docChunks(trailer ...string) string {
	return lines("10000;chunk-signature="+trailer[0], strings.Repeat("a", 65536),
		"400;chunk-signature="+trailer[1], strings.Repeat("a", 1024), "0;chunk-signature="+trailer[2]) +
		"\r\n" + lines(append(trailer[3:], "", "")...)
}

var docSigned = docChunks("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
	"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")

var docTrailer = docChunks("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
	"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
	"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
	"x-amz-checksum-crc32c:sOO8/Q==",
	"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435")

func signedUpload(body string) string {
	return lines("PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com",
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		auth("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"+
			"x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
		"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Content-Encoding: aws-chunked",
		"x-amz-decoded-content-length: 66560", "Content-Length: 66824", "", body)
}

func trailerUpload(body string) string {
	return lines("PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com",
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		auth("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"+
			"x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"),
		"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "Content-Encoding: "+
			"aws-chunked",
		"x-amz-decoded-content-length: 66560", "x-amz-trailer: x-amz-checksum-crc32c",
		"Content-Length: "+strconv.Itoa(len(body)), "", body)
}

func TestVendorsExamplesVerify(t *testing.T) {
	tests := map[string]string{
		"get object": lines("GET /test.txt HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
			auth("host;range;x-amz-content-sha256;x-amz-date",
				"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
			"Range: bytes=0-9", "x-amz-content-sha256:"+emptyHash, "x-amz-date: 20130524T000000Z", "", ""),
		"put object": lines("PUT /test$file.text HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
			"Date: Fri, 24 May 2013 00:00:00 GMT",
			auth("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
				"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
			"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
			"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			"Content-Length: 21", "", "Welcome to Amazon S3."),
		"get bucket lifecycle": lines("GET /?lifecycle HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
			auth("host;x-amz-content-sha256;x-amz-date",
				"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
			"x-amz-date: 20130524T000000Z", "x-amz-content-sha256:"+emptyHash, "", ""),
		"presigned": lines("GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+
			strings.ReplaceAll(docScope, "/", "%2F")+"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"+
			"X-Amz-SignedHeaders=host&X-Amz-Signature="+
			"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com", "", ""),
		"signed chunks": signedUpload(docSigned),
	}
	for name, wire := range tests {
		t.Run(name, func(t *testing.T) {
			r := read(t, wire)
			id, err := docVerifier().Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			if want := (sigv4.Identity{
				AccessKeyID: docKey, Service: "s3",
				Region: "us-east-1",
			}); id != want {
				t.Errorf("identity %+v", id)
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || r.ContentLength > 0 &&
				n != r.ContentLength {
				t.Errorf("body: %d of %d bytes, %v", n, r.ContentLength, err)
			}
		})
	}
}

func TestVendorsTrailerExampleVerifiesAndLeavesTheChecksum(t *testing.T) {
	r := read(t, trailerUpload(docTrailer))
	if _, err := docVerifier().Verify(r); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != 66560 || r.ContentLength != 66560 {
		t.Fatalf("%d bytes of %d, %v", n, r.ContentLength, err)
	}
	if got := r.Trailer.Get("X-Amz-Checksum-Crc32c"); got != "sOO8/Q==" {
		t.Errorf("trailer %q", got)
	}
	if r.Header.Get("Content-Encoding") != "" {
		t.Error("aws-chunked must not stay in Content-Encoding")
	}
}

func TestBrokenChunkFailsTheBody(t *testing.T) {
	for name, damage := range map[string]func(string) string{
		"data":         func(s string) string { return strings.Replace(s, "aaaa", "aaba", 1) },
		"second chunk": func(s string) string { return strings.Replace(s, "0055", "0056", 1) },
		"last chunk":   func(s string) string { return strings.Replace(s, "b6c6", "b6c7", 1) },
		"cut short":    func(s string) string { return s[:len(s)-90] },
		"no signature": func(s string) string {
			return strings.Replace(s, ";chunk-signature=",
				";chunk=", 1)
		},
		"size too big":  func(s string) string { return strings.Replace(s, "10000;", "fffffff;", 1) },
		"negative size": func(s string) string { return strings.Replace(s, "10000;", "-1;", 1) },
		"bytes after":   func(s string) string { return s + "x" },
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, signedUpload(docSigned))
			r.Body = io.NopCloser(strings.NewReader(damage(docSigned)))
			if _, err := docVerifier().Verify(r); err != nil {
				t.Fatal(err)
			}
			_, err := io.Copy(io.Discard, r.Body)
			if refusal := (*sigv4.Error)(nil); !errors.As(err, &refusal) {
				t.Errorf("want an *Error, got %v", err)
			}
		})
	}
}
