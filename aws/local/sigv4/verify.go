// Package sigv4 verifies AWS Signature Version 4: header and presigned requests, and the bodies of
// S3 uploads in every signed and unsigned streaming form.
//
// A verified request's body is whole for services other than S3 (read, hashed and put back). For S3
// it is a reader that decodes aws-chunked framing and fails with an *Error when a hash, a chunk
// signature or the declared length does not hold: what was read before that failure must be thrown
// away. Trailer checksums are left in r.Trailer, once the body has been read to its end, for the
// reader of the body to compare.
//
// Replays inside the 15 minutes are not detected, as the vendor does not.
package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Credentials are one principal's keys.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey Secret
}

// Identity is who signed a request, and for what.
type Identity struct {
	AccessKeyID string
	Service     string // signing name: "s3", "dynamodb", …
	Region      string
}

// DefaultMaxBody is the limit of a body outside S3 where Verifier.MaxBody is 0: DynamoDB's, 16 MiB.
const DefaultMaxBody = 16 << 20

// Verifier checks signatures. Its fields must not change once it is in use; Verify may be called
// concurrently.
type Verifier struct {
	Lookup func(accessKeyID string) (Secret, bool) // finds the secret of an access key
	Clock  func() time.Time                        // must not be nil
	// bytes of a body outside S3; DefaultMaxBody when 0
	MaxBody int64
	Region  string // the only region accepted; any when ""
}

// Verify checks the request's signature and prepares its body as the package comment says. It
// refuses with an *Error. Memory: up to MaxBody for services other than S3, after the cheap checks
// and the lookup of the key; constant for S3.
func (v *Verifier) Verify(r *http.Request) (Identity, error) {
	id, err := v.verify(r)
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

func (v *Verifier) verify(r *http.Request) (Identity, *Error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Identity{}, refuse(guess(query, r.Header.Get("Authorization")), MalformedQuery, "")
	}
	c, refusal := parseClaim(r, query)
	if refusal != nil {
		return Identity{}, refusal
	}
	p := ProtocolOf(c.Service)
	if refusal := v.checkClaim(r, c, p); refusal != nil {
		return Identity{}, refusal
	}
	secret, ok := v.Lookup(c.AccessKeyID)
	if !ok {
		return Identity{}, refuse(p, UnknownKey, "", Detail{"AWSAccessKeyId", c.AccessKeyID})
	}
	hash, refusal := v.payloadHash(r, query, c, p)
	if refusal != nil {
		return Identity{}, refusal
	}
	key := deriveKey(secret, c)
	if !hmac.Equal(signatureOf(r, query, c, key, hash), c.signature) {
		return Identity{}, refuse(p, Mismatch, "", Detail{"AWSAccessKeyId", c.AccessKeyID})
	}
	if p == S3 {
		if refusal := decodeBody(r, c, key, hash); refusal != nil {
			return Identity{}, refusal
		}
	}
	return c.Identity, nil
}

// checkClaim checks all that needs neither the secret nor the body.
func (v *Verifier) checkClaim(r *http.Request, c *claim, p Protocol) *Error {
	if v.Region != "" && c.Region != v.Region {
		note := ""
		if p == S3 {
			note = "The authorization header is malformed; the region '" + c.Region +
				"' is wrong; expecting '" + v.Region + "'"
		}
		return refuse(p, WrongRegion, note, Detail{"Region", v.Region})
	}
	if refusal := v.checkTime(c, p); refusal != nil {
		return refusal
	}
	var unsigned []string
	if !slices.Contains(c.signed, "host") {
		unsigned = append(unsigned, "host")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(c.signed, lower) {
			unsigned = append(unsigned, lower)
		}
	}
	if len(unsigned) > 0 {
		slices.Sort(unsigned)
		return refuse(p, HeadersUnsigned, "", Detail{"HeadersNotSigned", strings.Join(unsigned, ", ")})
	}
	return nil
}

func (v *Verifier) checkTime(c *claim, p Protocol) *Error {
	now := v.Clock()
	if c.presigned && c.expires > 0 {
		if now.After(c.at.Add(c.expires)) {
			return refuse(p, Expired, "", Detail{"Expires", c.at.Add(c.expires).UTC().Format(time.RFC3339)},
				Detail{"ServerTime", now.UTC().Format(time.RFC3339)})
		}
		if c.at.After(now.Add(maxSkew)) {
			return refuse(p, NotYetValid, "")
		}
		return nil
	}
	if d := now.Sub(c.at); d > maxSkew || d < -maxSkew {
		return skewError(p, c.at, now)
	}
	return nil
}

// payloadHash returns the last line of the canonical request. For services other than S3 it reads
// the whole body.
func (v *Verifier) payloadHash(r *http.Request, query url.Values, c *claim, p Protocol) (string,
	*Error,
) {
	if p == S3 {
		return s3PayloadHash(r, query, c)
	}
	limit := v.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	if r.ContentLength > limit {
		return "", refuse(p, BodyTooLarge, "")
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = readBody(io.LimitReader(r.Body, limit+1), r.ContentLength)
		switch refusal := (*Error)(nil); {
		case errors.As(err, &refusal):
			return "", refusal
		case err != nil:
			return "", refuse(p, BodyIncomplete, "")
		case int64(len(body)) > limit:
			return "", refuse(p, BodyTooLarge, "")
		}
		r.Body = readCloser{bytes.NewReader(body), r.Body}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// readBody reads a body of a declared length without growing its buffer again and again. More than maxAhead is taken only as it
// comes: who declares much need not send it.
func readBody(r io.Reader, declared int64) ([]byte, error) {
	const maxAhead = 64 << 10
	b := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+min(max(declared, 0), maxAhead)))
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// readCloser reads from one thing and closes another.
type readCloser struct {
	io.Reader
	io.Closer
}
