package sigv4

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	maxSkew    = 15 * time.Minute
	maxExpires = 7 * 24 * 60 * 60 // seconds; the vendor's limit for presigned URLs

	maxAuthorization = 16 << 10 // bytes; a header with every name signed is far below it
)

// claim is what a request says of its own signature, not yet believed.
type claim struct {
	Identity
	date      string // YYYYMMDD of the scope
	signed    []string
	signature []byte
	at        time.Time
	presigned bool
	expires   time.Duration // of a presigned request; 0: none given
}

func (c *claim) scope() string {
	return c.date + "/" + c.Region + "/" + c.Service +
		"/aws4_request"
}

// parseClaim reads the signature from the Authorization header or from the query.
func parseClaim(r *http.Request, query url.Values) (*claim, *Error) {
	headers := r.Header.Values("Authorization")
	inQuery := query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature") ||
		query.Has("X-Amz-Credential")
	switch {
	case len(headers) > 0 && inQuery:
		return nil, refuse(guess(query, headers[0]), TwoMechanisms, "")
	case len(headers) > 1:
		return nil, refuse(guess(query, headers[0]), Malformed, "")
	case len(headers) == 1 && strings.HasPrefix(headers[0], "AWS "), query.Has("AWSAccessKeyId"):
		return nil, refuse(S3, LegacySignature, "") // only S3 ever had it
	case len(headers) == 1:
		return parseHeader(headers[0], r.Header)
	case inQuery:
		return parseQuery(query)
	default:
		return nil, refuse(JSON, Missing, "")
	}
}

// guess finds the service in a credential scope that need not be well-formed, to answer in its
// protocol.
func guess(query url.Values, authorization string) Protocol {
	for _, s := range []string{authorization, query.Get("X-Amz-Credential")} {
		before, _, ok := strings.Cut(s, "/aws4_request")
		if ok {
			return ProtocolOf(before[strings.LastIndexByte(before, '/')+1:])
		}
	}
	return JSON
}

// parseHeader reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func parseHeader(value string, header http.Header) (*claim, *Error) {
	p := guess(nil, value)
	bad := func(note string) (*claim, *Error) { return nil, refuse(p, Malformed, note) }
	rest, ok := strings.CutPrefix(value, algorithm+" ")
	if !ok || len(value) > maxAuthorization {
		return bad("")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, v, found := strings.Cut(strings.TrimSpace(part), "=")
		if _, dup := fields[name]; !found || dup {
			return bad("")
		}
		fields[name] = v
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return bad("Authorization header requires '" + name + "' parameter. Authorization=" + algorithm)
		}
	}
	c, err := newClaim(fields["Credential"], fields["SignedHeaders"], fields["Signature"])
	if err != "" {
		return bad(err)
	}
	at, perr := time.Parse(timeFormat, header.Get("X-Amz-Date"))
	if perr != nil {
		return bad("AWS authentication requires a valid Date or x-amz-date header")
	}
	c.at = at
	if at.Format("20060102") != c.date {
		return bad("The authorization header is malformed; Invalid credential date \"" + c.date +
			"\". This date is not the same as X-Amz-Date: \"" + at.Format("20060102") + "\".")
	}
	return c, nil
}

// parseQuery reads a presigned request's parameters.
func parseQuery(q url.Values) (*claim, *Error) {
	p := guess(q, "")
	bad := func(note string) (*claim, *Error) { return nil, refuse(p, MalformedQuery, note) }
	for _, name := range []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders",
	} {
		if len(q[name]) != 1 || q[name][0] == "" {
			return bad("")
		}
	}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return bad("X-Amz-Algorithm only supports \"" + algorithm + "\"")
	}
	c, note := newClaim(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"),
		q.Get("X-Amz-Signature"))
	if note != "" {
		return bad(note)
	}
	at, err := time.Parse(timeFormat, q.Get("X-Amz-Date"))
	if err != nil {
		return bad("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if at.Format("20060102") != c.date {
		return bad("Invalid credential date. This date is not the same as X-Amz-Date.")
	}
	c.at, c.presigned = at, true
	if !q.Has("X-Amz-Expires") {
		if p == S3 {
			return bad("")
		}
		return c, nil
	}
	seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	switch {
	case err != nil:
		return bad("X-Amz-Expires should be a number")
	case seconds < 0:
		return bad("X-Amz-Expires must be non-negative")
	case seconds > maxExpires:
		return bad("X-Amz-Expires must be less than a week (in seconds); that is, " +
			"the given X-Amz-Expires must be less than 604800 seconds")
	}
	c.expires = time.Duration(max(seconds, 1)) * time.Second
	return c, nil
}

// newClaim checks the form of the three parts; it returns what is wrong, "" where nothing is.
func newClaim(credential, signed, signature string) (*claim, string) {
	// An access key may hold slashes (none of the vendor's does): the scope is the last four parts.
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != "aws4_request" || slices.Contains(parts[n-4:], "") {
		return nil, "The authorization header is malformed; the Credential is mal-formed; expecting " +
			"\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
	}
	c := &claim{
		Identity: Identity{
			AccessKeyID: strings.Join(parts[:n-4], "/"), Region: parts[n-3], Service: parts[n-2],
		},
		date:   parts[n-4],
		signed: strings.Split(signed, ";"),
	}
	if sum, err := hex.DecodeString(signature); err == nil {
		c.signature = sum // one that is no number matches nothing, which is what the vendor says of it
	}
	for i, h := range c.signed {
		if h == "" || h != strings.ToLower(h) || i > 0 && c.signed[i-1] >= h {
			return nil, "The authorization header is malformed; SignedHeaders must be sorted and in " +
				"lower case."
		}
	}
	return c, ""
}
