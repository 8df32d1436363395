package sigv4_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

var signedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func verifierAt(now time.Time) *sigv4.Verifier {
	return &sigv4.Verifier{
		Lookup: func(id string) (sigv4.Secret, bool) { return sigv4.NewSecret(docSecret), id == docKey },
		Clock:  func() time.Time { return now },
	}
}

func signer(service string) *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
}

// wire sends a request through its wire form, as a server would read it.
func wire(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	out, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sign(t testing.TB, service, method, target, body string,
	headers map[string]string,
) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	creds := aws.Credentials{
		AccessKeyID: docKey, SecretAccessKey: docSecret,
		SessionToken: headers["token"],
	}
	r.Header.Del("token")
	if err := signer(service).SignHTTP(t.Context(), creds, r, hash, service, "us-east-1",
		signedAt); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantReason(t *testing.T, err error, reason sigv4.Reason, code string, status int) {
	t.Helper()
	var refusal *sigv4.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("want %s, got %v", code, err)
	}
	if refusal.Reason != reason || refusal.Code != code || refusal.Status != status {
		t.Errorf("want %d %s %d, got %d %s %d", reason, code, status, refusal.Reason, refusal.Code,
			refusal.Status)
	}
}

// TestAgreesWithTheSDKsSigner holds the canonical request against the SDK's over generated paths,
// queries and headers.
func TestAgreesWithTheSDKsSigner(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		service := rapid.SampledFrom([]string{"s3", "dynamodb", "lambda"}).Draw(rt, "service")
		path := rapid.StringMatching(`[a-zA-Z0-9/ .~_+=&%é:@!$'()*,;-]{0,20}`).Draw(rt, "path")
		q := url.Values{}
		for range rapid.IntRange(0, 4).Draw(rt, "parameters") {
			name := rapid.StringMatching(`[a-zA-Z~ +/é-]{1,4}`).Draw(rt, "name")
			q.Add(name, rapid.StringMatching(`[a-zA-Z~ +/=&é]{0,5}`).Draw(rt, "value"))
		}
		value := rapid.StringMatching(`( {0,3}[a-zé"]{1,3}){0,4}`).Draw(rt, "header")
		headers := map[string]string{"X-Amz-Meta-A": value}
		if rapid.Bool().Draw(rt, "session") {
			headers["token"] = "session/token=="
		}
		u := url.URL{Scheme: "http", Host: "127.0.0.1:8080", Path: "/" + path, RawQuery: q.Encode()}
		if service == "s3" { // the SDK's client escapes all but the unreserved characters of a key
			u.RawPath = strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(u.Path), "%2F", "/"), "+",
				"%20")
		}
		body := rapid.StringN(0, 40, 60).Draw(rt, "body")
		r := sign(t, service, rapid.SampledFrom([]string{"GET", "PUT", "POST"}).Draw(rt, "method"),
			u.String(), body, headers)
		got := wire(t, r)
		if _, err := verifierAt(signedAt).Verify(got); err != nil {
			rt.Fatalf("%s %s: %v", service, u.String(), err)
		}
		if b, err := io.ReadAll(got.Body); err != nil || string(b) != body {
			rt.Fatalf("body %q, %v", b, err)
		}
	})
}

func TestPresignedAgreesWithTheSDK(t *testing.T) {
	for _, service := range []string{"s3", "sts"} {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/b/k%20x?a=1&X-Amz-Expires=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		hash := "UNSIGNED-PAYLOAD"
		if service == "sts" {
			hash = emptyHash
		}
		creds := aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret, SessionToken: "tok"}
		u, _, err := signer(service).PresignHTTP(t.Context(), creds, r, hash, service, "us-east-1",
			signedAt)
		if err != nil {
			t.Fatal(err)
		}
		at := func(d time.Duration) error {
			r, err := http.NewRequest(http.MethodGet, u, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = verifierAt(signedAt.Add(d)).Verify(wire(t, r))
			return err
		}
		if err := at(59 * time.Second); err != nil {
			t.Error(service, err)
		}
		if service == "s3" {
			wantReason(t, at(61*time.Second), sigv4.Expired, "AccessDenied", 403)
			wantReason(t, at(-16*time.Minute), sigv4.NotYetValid, "AccessDenied", 403)
		}
	}
}

func TestRefusalsInEachServicesWords(t *testing.T) {
	const target = "http://127.0.0.1/"
	for _, tc := range []struct {
		name, service string
		change        func(*http.Request)
		late          time.Duration
		reason        sigv4.Reason
		code          string
		status        int
	}{
		{"other secret", "dynamodb", resign, 0, sigv4.Mismatch, "InvalidSignatureException", 400},
		{"other secret", "s3", resign, 0, sigv4.Mismatch, "SignatureDoesNotMatch", 403},
		{"other secret", "sts", resign, 0, sigv4.Mismatch, "SignatureDoesNotMatch", 403},
		{"other secret", "lambda", resign, 0, sigv4.Mismatch, "InvalidSignatureException", 403},
		{"late", "dynamodb", nil, 16 * time.Minute, sigv4.Skewed, "InvalidSignatureException", 400},
		{"late", "s3", nil, 16 * time.Minute, sigv4.Skewed, "RequestTimeTooSkewed", 403},
		{"early", "sts", nil, -16 * time.Minute, sigv4.Skewed, "SignatureDoesNotMatch", 403},
		{"unknown key", "dynamodb", otherKey, 0, sigv4.UnknownKey, "UnrecognizedClientException", 400},
		{"unknown key", "s3", otherKey, 0, sigv4.UnknownKey, "InvalidAccessKeyId", 403},
		{"unknown key", "sts", otherKey, 0, sigv4.UnknownKey, "InvalidClientTokenId", 403},
		{"header added", "s3", addHeader, 0, sigv4.HeadersUnsigned, "AccessDenied", 403},
		{
			"header added", "dynamodb", addHeader, 0, sigv4.HeadersUnsigned, "InvalidSignatureException",
			400,
		},
		{
			"no signature", "dynamodb", noAuth, 0, sigv4.Missing, "MissingAuthenticationTokenException",
			400,
		},
		{"no hash", "s3", noHash, 0, sigv4.HashMissing, "InvalidRequest", 400},
		{"basic", "dynamodb", basic, 0, sigv4.Malformed, "IncompleteSignatureException", 400},
		{"version 2", "s3", legacy, 0, sigv4.LegacySignature, "InvalidRequest", 400},
		{"twice", "s3", twice, 0, sigv4.TwoMechanisms, "InvalidArgument", 400},
		{"body changed", "dynamodb", otherBody, 0, sigv4.Mismatch, "InvalidSignatureException", 400},
	} {
		t.Run(tc.service+" "+tc.name, func(t *testing.T) {
			r := wire(t, sign(t, tc.service, http.MethodPost, target, "body", nil))
			if tc.change != nil {
				tc.change(r)
			}
			_, err := verifierAt(signedAt.Add(tc.late)).Verify(r)
			wantReason(t, err, tc.reason, tc.code, tc.status)
		})
	}
}

func resign(r *http.Request) {
	a := r.Header.Get("Authorization")
	r.Header.Set("Authorization", a[:len(a)-1]+map[bool]string{
		true:  "1",
		false: "0",
	}[a[len(a)-1] == '0'])
}

func otherKey(r *http.Request) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), docKey, "AKIAOTHER",
		1))
}

func addHeader(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }
func noAuth(r *http.Request)    { r.Header.Del("Authorization") }
func noHash(r *http.Request)    { r.Header.Del("X-Amz-Content-Sha256") }
func legacy(r *http.Request) {
	r.Header.Del("Authorization")
	r.URL.RawQuery = "AWSAccessKeyId=AK&Signature=x&Expires=1"
}

func basic(r *http.Request)     { r.Header.Set("Authorization", "Basic eDp5") }
func twice(r *http.Request)     { r.URL.RawQuery = "X-Amz-Signature=00" }
func otherBody(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("BODY")) }

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	v := verifierAt(signedAt)
	v.MaxBody = 8
	for _, declared := range []bool{true, false} {
		r := wire(t, sign(t, "dynamodb", http.MethodPost, "http://h/", "123456789", nil))
		if !declared {
			r.ContentLength = -1
		}
		_, err := v.Verify(r)
		wantReason(t, err, sigv4.BodyTooLarge, "RequestEntityTooLargeException", 413)
	}
}

func TestS3BodyOfAnotherHashFailsAtItsEnd(t *testing.T) {
	r := wire(t, sign(t, "s3", http.MethodPut, "http://h/b/k", "body", nil))
	otherBody(r)
	if _, err := verifierAt(signedAt).Verify(r); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(r.Body)
	wantReason(t, err, sigv4.BodyHash, "XAmzContentSHA256Mismatch", 400)
}

func TestOnlyTheConfiguredRegion(t *testing.T) {
	v := verifierAt(signedAt)
	v.Region = "eu-central-1"
	_, err := v.Verify(wire(t, sign(t, "s3", http.MethodGet, "http://h/", "", nil)))
	wantReason(t, err, sigv4.WrongRegion, "AuthorizationHeaderMalformed", 400)
}

// signStreaming signs a PUT whose body comes in aws-chunked frames, at the time of the documented
// examples.
func signStreaming(t testing.TB, hash, length, trailer string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, "http://h/b/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	r.Header.Set("X-Amz-Decoded-Content-Length", length)
	r.Header.Set("X-Amz-Trailer", trailer)
	r.Header.Set("Content-Encoding", "aws-chunked")
	creds := aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret}
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	if err := signer("s3").SignHTTP(t.Context(), creds, r, hash, "s3", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUnsignedChunksWithATrailer(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		ok   bool
	}{
		"whole":             {"3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n", true},
		"no last line end":  {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n", true},
		"no trailer":        {"5\r\nhello\r\n0\r\n\r\n", false},
		"other trailer":     {"5\r\nhello\r\n0\r\nx-amz-meta-a:1\r\n\r\n", false},
		"too short":         {"4\r\nhell\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n", false},
		"too long":          {"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n", false},
		"no final chunk":    {"5\r\nhello\r\n", false},
		"endless size line": {strings.Repeat("0", 4000), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := unsignedUpload(t, tc.body)
			if _, err := docVerifier().Verify(r); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			if (err == nil) != tc.ok || tc.ok && string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			if tc.ok && r.Trailer.Get("X-Amz-Checksum-Crc32c") != "AAAAAA==" {
				t.Errorf("trailer %v", r.Trailer)
			}
		})
	}
}

// The Java SDK signs "content-length:0", which the SDK's signer here never does: the expected
// signature is made by hand.
func TestSignedContentLengthOfZero(t *testing.T) {
	signed := "content-length;host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{
		"PUT", "/b/k", "", "content-length:0", "host:h", "x-amz-content-sha256:" +
			emptyHash, "x-amz-date:20130524T000000Z",
		"", signed, emptyHash,
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + docSecret)
	for _, part := range []string{"20130524", "us-east-1", "s3", "aws4_request", strings.Join([]string{
		"AWS4-HMAC-SHA256", "20130524T000000Z", "20130524/us-east-1/s3/aws4_request",
		hex.EncodeToString(sum[:]),
	}, "\n")} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	r := read(t, lines("PUT /b/k HTTP/1.1", "Host: h", "Content-Length: 0",
		"x-amz-content-sha256: "+emptyHash,
		"x-amz-date: 20130524T000000Z", auth(signed, hex.EncodeToString(key)), "", ""))
	if _, err := docVerifier().Verify(r); err != nil {
		t.Error(err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := struct{ inner sigv4.Credentials }{sigv4.Credentials{
		AccessKeyID:     "AK",
		SecretAccessKey: sigv4.NewSecret("hunter2"),
	}}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "c", c.inner, "s", c.inner.SecretAccessKey)
	j, err := json.Marshal(c.inner)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, c), b.String(), string(j), fmt.Sprintf("%x",
			c.inner.SecretAccessKey),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, hex.EncodeToString([]byte("hunter2"))) {
			t.Errorf("leaks in %s", s)
		}
	}
	if c.inner.SecretAccessKey.Reveal() != "hunter2" {
		t.Error("the secret is gone")
	}
}
