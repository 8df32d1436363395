package s3

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The vendor's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	maxObject   = 5 << 30 // bytes of one PutObject, UploadPart or CopyObject
	maxMetadata = 2 << 10 // bytes of user metadata, names and values
	maxKey      = 1 << 10 // bytes of a key
	maxTags     = 10      // tags of an object
	maxDocument = 2 << 20 // bytes of an XML request; 1000 keys of 1024 bytes, escaped, fit
	defaultType = "binary/octet-stream"
)

// storedHeaders are the response headers that an object keeps.
var storedHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Expires",
	"X-Amz-Website-Redirect-Location", "X-Amz-Storage-Class",
}

// describe reads the headers, metadata and tags that a request gives an object.
func describe(h http.Header) (*object, error) {
	if err := refuseUnsupported(h); err != nil {
		return nil, err
	}
	o := &object{Header: map[string]string{}, Meta: map[string]string{}}
	for _, name := range storedHeaders {
		if v := h.Get(name); v != "" {
			o.Header[name] = v
		}
	}
	if o.Header["Content-Type"] == "" {
		o.Header["Content-Type"] = defaultType
	}
	if class := o.Header["X-Amz-Storage-Class"]; class == "STANDARD" {
		delete(o.Header, "X-Amz-Storage-Class")
	}
	size := 0
	for name, values := range h {
		if key, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			v := strings.Join(values, ",")
			o.Meta[strings.ToLower(key)] = v
			size += len(key) + len(v)
		}
	}
	if size > maxMetadata {
		return nil, badRequest("MetadataTooLarge", "Your metadata headers exceed the maximum allowed "+
			"metadata size")
	}
	var err error
	o.Tags, err = headerTags(h.Get("X-Amz-Tagging"))
	return o, err
}

// refuseUnsupported answers headers whose promise would not be kept.
func refuseUnsupported(h http.Header) error {
	if v := h.Get("X-Amz-Server-Side-Encryption"); v != "" && v != "AES256" {
		return notImplemented("x-amz-server-side-encryption")
	}
	for name := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-server-side-encryption-") ||
			strings.HasPrefix(lower, "x-amz-copy-source-server-side-encryption-") ||
			strings.HasPrefix(lower, "x-amz-object-lock-") || strings.HasPrefix(lower, "x-amz-grant-") ||
			lower == "x-amz-write-offset-bytes" {
			return notImplemented(lower)
		}
	}
	switch h.Get("X-Amz-Acl") {
	case "", "private", "bucket-owner-full-control", "bucket-owner-read":
	default:
		return badRequest("AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	class := h.Get("X-Amz-Storage-Class")
	if class != "" && !slices.Contains([]string{
		"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
		"GLACIER_IR",
	}, class) {
		return badRequest("InvalidStorageClass", "The storage class you specified is not valid")
	}
	return nil
}

// headerTags reads x-amz-tagging, a URL query.
func headerTags(v string) ([]tag, error) {
	if v == "" {
		return nil, nil
	}
	bad := invalidArgument("x-amz-tagging", v, "The header 'x-amz-tagging' shall be encoded as "+
		"UTF-8 then URLEncoded "+
		"URL query parameters without tag name duplicates.")
	q, err := url.ParseQuery(v)
	if err != nil {
		return nil, bad
	}
	var tags []tag
	for key, values := range q {
		if len(values) != 1 {
			return nil, bad
		}
		tags = append(tags, tag{key, values[0]})
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return tags, checkTags(tags)
}

// checkTags holds tags against the vendor's limits.
func checkTags(tags []tag) error {
	if len(tags) > maxTags {
		return badRequest("BadRequest", "Object tags cannot be greater than 10")
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || strings.HasPrefix(t.Key, "aws:"):
			return badRequest("InvalidTag", "The TagKey you have provided is invalid")
		case utf8.RuneCountInString(t.Value) > 256:
			return badRequest("InvalidTag", "The TagValue you have provided is invalid")
		case seen[t.Key]:
			return badRequest("InvalidTag", "Cannot provide multiple Tags with the same key")
		}
		seen[t.Key] = true
	}
	return nil
}

// bodyLength checks the declared length of an upload.
func bodyLength(r *http.Request) error {
	if r.ContentLength < 0 {
		return fail(http.StatusLengthRequired, "MissingContentLength",
			"You must provide the Content-Length HTTP header.")
	}
	if r.ContentLength > maxObject {
		return entityTooLarge(r.ContentLength)
	}
	return nil
}

func (s *Server) putObject(w http.ResponseWriter, r *http.Request, t target) error {
	if err := bodyLength(r); err != nil {
		return err
	}
	cond, err := writeConditions(r.Header)
	if err != nil {
		return err
	}
	o, err := describe(r.Header)
	if err != nil {
		return err
	}
	want, err := wantedSums(r.Header)
	if err != nil {
		return err
	}
	if err := s.refuseEarly(r, t, cond); err != nil {
		return err
	}
	body, err := s.receive(r, o, want)
	if err != nil {
		return err
	}
	err = s.commit(write{
		bucket: t.bucket, key: t.key, next: o, body: body, cond: cond,
		reason: "PutObject",
	})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", quote(o.ETag))
	o.Sums.setHeaders(h, false)
	s.versionHeader(h, o)
	w.WriteHeader(http.StatusOK)
	return nil
}

// refuseEarly spares a client that waits for 100 Continue the upload of a body that will be
// refused.
func (s *Server) refuseEarly(r *http.Request, t target, cond conditions) error {
	if _, err := s.bucket(t.bucket); err != nil || r.Header.Get("Expect") == "" {
		return err
	}
	current, _, err := s.find(target{t.bucket, t.key, ""})
	if err != nil {
		return err
	}
	return cond.check(current, t.key)
}

// receive streams the request's body into the store and fills in what is known of it.
func (s *Server) receive(r *http.Request, o *object, want wanted) (stored, error) {
	d := newDigest(want.algorithm)
	body, err := s.ingest(r.Body, d, maxObject)
	if err != nil {
		return stored{}, err
	}
	if err := d.check(want, r.Trailer); err != nil {
		s.discard(body)
		return stored{}, err
	}
	o.fill(d, body)
	return body, nil
}

func (o *object) fill(d *digest, body stored) {
	o.Size, o.ETag = body.size, hex.EncodeToString(d.md5.Sum(nil))
	o.Body, o.Sums = body.ref, d.sums()
}

// versionHeader tells the version, in buckets that have versions.
func (s *Server) versionHeader(h http.Header, o *object) {
	if o.Version != "" && o.Version != nullVersion {
		h.Set("x-amz-version-id", o.Version)
	}
}
