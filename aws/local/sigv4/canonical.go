package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The canonical request is built here and not by the SDK's signer, because that signer signs what
// it would send and cannot be told to cover exactly what another client covered: it never signs
// "content-length: 0" (the Java SDK does), adds headers of its own and keeps the derived key, which
// chunk signatures need, to itself. The tests hold this code against the SDK's signer over
// generated requests.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

// signatureOf computes the signature that the claim should carry.
func signatureOf(r *http.Request, query url.Values, c *claim, key []byte,
	payloadHash string,
) []byte {
	sum := sha256.Sum256([]byte(canonicalRequest(r, query, c, payloadHash)))
	return mac(key,
		algorithm+"\n"+c.at.Format(timeFormat)+"\n"+c.scope()+"\n"+hex.EncodeToString(sum[:]))
}

func canonicalRequest(r *http.Request, query url.Values, c *claim, payloadHash string) string {
	path := r.URL.Path // S3 signs the key encoded once
	if c.Service != "s3" {
		path = r.URL.EscapedPath() // the others encode the path as sent once more
	}
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(path, true) + "\n" + canonicalQuery(query) + "\n")
	for _, name := range c.signed {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(c.signed, ";") + "\n" + payloadHash)
	return b.String()
}

func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(max(r.ContentLength, 0), 10)
	case "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	clean := make([]string, len(values))
	for i, v := range values {
		clean[i] = squeeze(v)
	}
	return strings.Join(clean, ",")
}

// squeeze trims a header value and makes runs of blanks one blank.
func squeeze(s string) string {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "  ") {
		return s
	}
	return strings.Join(slices.DeleteFunc(strings.Split(s, " "),
		func(p string) bool { return p == "" }), " ")
}

// canonicalQuery sorts the encoded pairs and leaves the signature itself out.
func canonicalQuery(query url.Values) string {
	pairs := make([][2]string, 0, len(query))
	for name, values := range query {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, v := range values {
			pairs = append(pairs, [2]string{escape(name, false), escape(v, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// escape percent-encodes all but RFC 3986's unreserved characters, and slashes where they separate.
func escape(s string, keepSlash bool) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := range len(s) {
		ch := s[i]
		switch {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9',
			ch == '-', ch == '.', ch == '_', ch == '~', ch == '/' && keepSlash:
			b.WriteByte(ch)
		default:
			b.WriteString(string([]byte{'%', upper[ch>>4], upper[ch&15]}))
		}
	}
	return b.String()
}

// deriveKey is the signing key of one day, region and service.
func deriveKey(secret Secret, c *claim) []byte {
	key := mac([]byte("AWS4"+secret.Reveal()), c.date)
	key = mac(key, c.Region)
	key = mac(key, c.Service)
	return mac(key, "aws4_request")
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}
