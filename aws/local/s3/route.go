package s3

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

func detail(name, value string) sigv4.Detail { return sigv4.Detail{Name: name, Value: value} }

// operation serves one API operation. What it returns is sent as the error, so it must not have
// written before.
type operation func(w http.ResponseWriter, r *http.Request, t target) error

// ServeHTTP answers one request. It must come authenticated, with its body decoded
// (sigv4.Verifier).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setIDs(w.Header())
	t := address(r)
	if err := s.serve(w, r, t); err != nil {
		s.logInternal(r, err)
		writeError(w, r, located(asAPIError(err), r))
	}
}

// WriteError answers a request that was refused before it reached the Server, such as with an
// *sigv4.Error, as S3 does. Errors that it does not know become InternalError, without their text.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	setIDs(w.Header())
	writeError(w, r, located(asAPIError(err), r))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, t target) error {
	if s.cfg.Throttle != nil && s.cfg.Throttle(r) {
		return fail(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	}
	if t.bucket == "" {
		if r.Method == http.MethodGet {
			return s.listBuckets(w, r, t)
		}
		return methodNotAllowed(r.Method, "SERVICE")
	}
	if err := s.expectBucketOwner(r.Header); err != nil {
		return err
	}
	q := r.URL.Query()
	if t.key == "" {
		return s.bucketOperation(r.Method, q)(w, r, t)
	}
	if err := checkKey(t.key); err != nil {
		return err
	}
	t.version = q.Get("versionId")
	if t.version == "" && q.Has("versionId") {
		return invalidArgument("versionId", "", "Version id cannot be the empty string")
	}
	return s.objectOperation(r, q)(w, r, t)
}

func located(e *apiError, r *http.Request) *apiError {
	out := *e
	for _, d := range e.details {
		if d.Name == "Resource" {
			return e
		}
	}
	out.details = append(append([]sigv4.Detail(nil), e.details...), detail("Resource", r.URL.Path))
	return &out
}

// address finds bucket and key in the path, or the bucket in the host:
// "bucket.s3.region.amazonaws.com", "bucket.s3.localhost", "bucket.localhost". Addresses that are
// IP numbers have it in the path.
func address(r *http.Request) target {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if bucket := hostBucket(r.Host); bucket != "" {
		return target{bucket: bucket, key: path}
	}
	bucket, key, _ := strings.Cut(path, "/")
	return target{bucket: bucket, key: key}
}

func hostBucket(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if net.ParseIP(strings.Trim(host, "[]")) != nil || strings.HasPrefix(host, "s3.") ||
		strings.HasPrefix(host, "s3-") {
		return ""
	}
	for _, mark := range []string{".s3.", ".s3-"} {
		if i := strings.LastIndex(host, mark); i > 0 {
			return host[:i]
		}
	}
	if bucket, ok := strings.CutSuffix(host, ".localhost"); ok && bucket != "s3" {
		return bucket
	}
	return ""
}

func checkKey(key string) error {
	switch {
	case len(key) > maxKey:
		return badRequest("KeyTooLongError", "Your key is too long",
			detail("Size", sizeText(int64(len(key)))),
			detail("MaxSizeAllowed", sizeText(maxKey)))
	case !utf8.ValidString(key):
		return badRequest("InvalidURI", "Couldn't parse the specified URI.")
	case key == "":
		return badRequest("UserKeyMustBeSpecified", "The bucket POST must contain the specified field "+
			"name.")
	}
	return nil
}

// setIDs gives the response the two ids that the vendor's support would ask for.
func setIDs(h http.Header) {
	var b [40]byte
	_, _ = rand.Read(b[:]) // never fails
	h.Set("x-amz-request-id", strings.ToUpper(hex.EncodeToString(b[:8])))
	h.Set("x-amz-id-2", base64.StdEncoding.EncodeToString(b[8:]))
	h.Set("Server", "AmazonS3")
}

// subresources are the query parameters that select an operation. Others (prefix, x-id, X-Amz-…) do
// not.
func subresource(q url.Values, known ...string) string {
	for _, name := range known {
		if q.Has(name) {
			return name
		}
	}
	return ""
}

func (s *Server) bucketOperation(method string, q url.Values) operation {
	sub := subresource(q, "location", "versioning", "versions", "uploads", "delete", "acl",
		"accelerate", "analytics", "cors",
		"encryption", "intelligent-tiering", "inventory", "lifecycle", "logging", "metrics",
		"notification", "object-lock",
		"ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication",
		"requestPayment", "tagging",
		"website", "session", "metadataTable", "metadataConfiguration", "abac")
	switch method + " " + sub {
	case "GET ":
		if q.Get("list-type") == "2" {
			return s.listObjectsV2
		}
		return s.listObjectsV1
	case "HEAD ":
		return s.headBucket
	case "PUT ":
		return s.createBucket
	case "DELETE ":
		return s.deleteBucket
	case "GET location":
		return s.getLocation
	case "GET versioning":
		return s.getVersioning
	case "PUT versioning":
		return s.putVersioning
	case "GET notification":
		return s.getNotification
	case "PUT notification":
		return s.putNotification
	case "GET versions":
		return s.listObjectVersions
	case "GET uploads":
		return s.listUploads
	case "POST delete":
		return s.deleteObjects
	}
	if sub != "" && method == http.MethodGet {
		return s.unconfigured(sub)
	}
	if sub == "" && method != http.MethodPost {
		return func(http.ResponseWriter, *http.Request, target) error {
			return methodNotAllowed(method,
				"BUCKET")
		}
	}
	return unimplemented
}

func (s *Server) objectOperation(r *http.Request, q url.Values) operation {
	sub := subresource(q, "uploads", "uploadId", "tagging", "attributes", "acl", "legal-hold",
		"retention", "restore",
		"select", "torrent", "renameObject", "encryption", "annotation")
	switch r.Method + " " + sub {
	case "GET ", "HEAD ", "HEAD uploadId":
		return s.getObject
	case "PUT ":
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			return s.copyObject
		}
		return s.putObject
	case "DELETE ":
		return s.deleteObject
	case "POST uploads":
		return s.createUpload
	case "PUT uploadId":
		return s.uploadPart
	case "POST uploadId":
		return s.completeUpload
	case "DELETE uploadId":
		return s.abortUpload
	case "GET uploadId":
		return s.listParts
	case "GET tagging":
		return s.getTags
	case "PUT tagging":
		return s.putTags
	case "DELETE tagging":
		return s.deleteTags
	case "GET attributes":
		return s.getAttributes
	case "GET acl":
		return s.getACL
	}
	if sub == "" {
		return func(_ http.ResponseWriter, r *http.Request, _ target) error {
			return methodNotAllowed(r.Method, "OBJECT")
		}
	}
	return unimplemented
}

func unimplemented(http.ResponseWriter, *http.Request, target) error {
	return fail(http.StatusNotImplemented, "NotImplemented",
		"A header you provided implies functionality that is not implemented")
}

// getACL answers what an object or bucket with ACLs disabled has: the owner controls it.
func (s *Server) getACL(w http.ResponseWriter, _ *http.Request, t target) error {
	if t.key != "" {
		if _, err := s.readable(w, t); err != nil {
			return err
		}
	}
	d := newXML("AccessControlPolicy")
	s.ownerLeaf(d, "Owner")
	d.open("AccessControlList")
	d.open("Grant")
	d.buf.WriteString(`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ` +
		`xsi:type="CanonicalUser">`)
	d.leaf("ID", s.owner)
	d.close("Grantee")
	d.leaf("Permission", "FULL_CONTROL")
	d.close("Grant")
	d.close("AccessControlList")
	d.send(w, "AccessControlPolicy")
	return nil
}

// unconfigured answers reads of configurations that cannot be set here, as a bucket without them
// does.
func (s *Server) unconfigured(sub string) operation {
	missing := map[string][2]string{
		"policy":       {"NoSuchBucketPolicy", "The bucket policy does not exist"},
		"policyStatus": {"NoSuchBucketPolicy", "The bucket policy does not exist"},
		"tagging":      {"NoSuchTagSet", "The TagSet does not exist"},
		"cors":         {"NoSuchCORSConfiguration", "The CORS configuration does not exist"},
		"lifecycle": {"NoSuchLifecycleConfiguration", "The lifecycle configuration does not " +
			"exist"},
		"website": {"NoSuchWebsiteConfiguration", "The specified bucket does not have a " +
			"website configuration"},
		"publicAccessBlock": {
			"NoSuchPublicAccessBlockConfiguration",
			"The public access block configuration was not found",
		},
		"replication": {
			"ReplicationConfigurationNotFoundError",
			"The replication configuration was not found",
		},
		"object-lock": {
			"ObjectLockConfigurationNotFoundError",
			"Object Lock configuration does not exist for this bucket",
		},
		"encryption": {
			"ServerSideEncryptionConfigurationNotFoundError",
			"The server side encryption configuration was not found",
		},
	}
	return func(w http.ResponseWriter, r *http.Request, t target) error {
		if _, err := s.bucket(t.bucket); err != nil {
			return err
		}
		if m, ok := missing[sub]; ok {
			return fail(http.StatusNotFound, m[0], m[1], detail("BucketName", t.bucket))
		}
		switch sub {
		case "acl":
			return s.getACL(w, r, t)
		case "logging":
			newXML("BucketLoggingStatus").send(w, "BucketLoggingStatus")
		case "accelerate":
			newXML("AccelerateConfiguration").send(w, "AccelerateConfiguration")
		case "requestPayment":
			d := newXML("RequestPaymentConfiguration")
			d.leaf("Payer", "BucketOwner")
			d.send(w, "RequestPaymentConfiguration")
		case "ownershipControls":
			d := newXML("OwnershipControls")
			d.open("Rule")
			d.leaf("ObjectOwnership", "BucketOwnerEnforced")
			d.close("Rule")
			d.send(w, "OwnershipControls")
		default:
			return unimplemented(w, r, t)
		}
		return nil
	}
}
