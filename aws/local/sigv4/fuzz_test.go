package sigv4_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

// FuzzAuthorization: no header or query panics, and none that was not signed verifies.
func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential="+docScope+",SignedHeaders=host;x-amz-date,Signature=00", "")
	f.Add("",
		"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+docScope+"&X-Amz-Date=20130524T000000Z"+
			"&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=/////aws4_request,SignedHeaders=;,Signature=", "%zz")
	f.Add("AWS4-HMAC-SHA256 ,=,==", "X-Amz-Signature")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Host: "h", Body: http.NoBody,
			Header: http.Header{
				"X-Amz-Date":           {"20130524T000000Z"},
				"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"},
			},
		}
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		id, err := docVerifier().Verify(r)
		refusal := (*sigv4.Error)(nil)
		if !errors.As(err, &refusal) || refusal.Code == "" || refusal.Status < 400 ||
			id != (sigv4.Identity{}) {
			t.Fatalf("%+v, %v", id, err)
		}
	})
}

// FuzzChunks: whatever the body, reading it ends, gives no more than was declared, and fails only
// with an *Error; what reads to its end without an error has exactly the declared length.
func FuzzChunks(f *testing.F) {
	f.Add(docSigned, true)
	f.Add("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n", false)
	f.Add("5\r\nhello\r\n0\r\n\r\n", false)
	f.Add("ffffffffffffffff\r\n", false)
	f.Add(strings.Repeat("1", 2000), false)
	f.Fuzz(func(t *testing.T, body string, signed bool) {
		r := read(t, signedUpload(docSigned))
		r.Body = io.NopCloser(strings.NewReader(body))
		if !signed {
			r = unsignedUpload(t, body)
		}
		if _, err := docVerifier().Verify(r); err != nil {
			return // the seed's own signature
		}
		n, err := io.Copy(io.Discard, r.Body)
		refusal := (*sigv4.Error)(nil)
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("want an *Error, got %v", err)
		}
		if n > r.ContentLength || err == nil && n != r.ContentLength {
			t.Fatalf("%d bytes of %d, %v", n, r.ContentLength, err)
		}
	})
}

// unsignedUpload is a verified request of five bytes whose chunks bear no signature.
func unsignedUpload(t *testing.T, body string) *http.Request {
	t.Helper()
	out := signStreaming(t, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5", "x-amz-checksum-crc32c")
	out.Body = io.NopCloser(strings.NewReader(body))
	return out
}
