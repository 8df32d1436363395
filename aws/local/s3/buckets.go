package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

const maxBuckets = 10000 // an account's default quota

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// checkBucketName holds a new bucket's name against the naming rules.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func checkBucketName(name string) error {
	bad := !bucketName.MatchString(name) || strings.Contains(name, "..") || net.ParseIP(name) != nil ||
		strings.HasPrefix(name, "xn--") || strings.HasPrefix(name, "sthree-") ||
		strings.HasPrefix(name, "amzn-s3-demo-") ||
		strings.HasSuffix(name, "-s3alias") || strings.HasSuffix(name, "--ol-s3") ||
		strings.HasSuffix(name, ".mrap") ||
		strings.HasSuffix(name, "--x-s3") || strings.HasSuffix(name, "--table-s3")
	if bad {
		return badRequest("InvalidBucketName", "The specified bucket is not valid.",
			detail("BucketName", name))
	}
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, r *http.Request, _ target) error {
	q := r.URL.Query()
	limit, err := intParam("max-buckets", q.Get("max-buckets"), maxBuckets, maxBuckets)
	if err != nil {
		return err
	}
	prefix, after := q.Get("prefix"), ""
	if token := q.Get("continuation-token"); token != "" {
		if after, _, err = openToken(token); err != nil {
			return err
		}
	}
	s.mu.RLock()
	rows := maps.Clone(s.buckets)
	s.mu.RUnlock()
	d := newXML("ListAllMyBucketsResult")
	s.ownerLeaf(d, "Owner")
	d.open("Buckets")
	n, last, next := 0, "", ""
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if name <= after || !strings.HasPrefix(name, prefix) {
			continue
		}
		if n == limit {
			next = sealToken(page{last: last})
			break
		}
		n, last = n+1, name
		d.open("Bucket")
		d.leaf("Name", name)
		d.time("CreationDate", rows[name].Created)
		d.leaf("BucketRegion", s.cfg.Region)
		d.close("Bucket")
	}
	d.close("Buckets")
	d.some("ContinuationToken", next)
	d.some("Prefix", prefix)
	d.send(w, "ListAllMyBucketsResult")
	return nil
}

func (s *Server) createBucket(w http.ResponseWriter, r *http.Request, t target) error {
	if err := checkBucketName(t.bucket); err != nil {
		return err
	}
	if err := refuseUnsupported(r.Header); err != nil {
		return err
	}
	if r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
		return notImplemented("x-amz-bucket-object-lock-enabled")
	}
	if err := s.checkLocation(r); err != nil {
		return err
	}
	if err := s.addBucket(t.bucket); err != nil {
		return err
	}
	w.Header().Set("Location", "/"+t.bucket)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) addBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.buckets[name]; ok {
		if s.cfg.Region == "us-east-1" { // kept there for old clients, as the vendor does
			return nil
		}
		return fail(http.StatusConflict, "BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own "+
				"it.", detail("BucketName", name))
	}
	if len(s.buckets) >= maxBuckets {
		return badRequest("TooManyBuckets", "You have attempted to create more buckets than allowed")
	}
	return s.saveBucket(name, bucketRow{Created: s.nowMillis()})
}

// saveBucket makes a bucket's row durable. The caller holds mu.
func (s *Server) saveBucket(name string, b bucketRow) error {
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if err := put(batch, row(rowBucket+name), b); err != nil {
		return err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return fmt.Errorf("commit bucket: %w", err)
	}
	s.buckets[name] = b
	return nil
}

// checkLocation holds the region that a new bucket asks for against ours.
func (s *Server) checkLocation(r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxDocument))
	if err != nil {
		return bodyError(err)
	}
	var in struct {
		XMLName            xml.Name `xml:"CreateBucketConfiguration"`
		LocationConstraint string
	}
	if len(body) > 0 {
		if err := xml.Unmarshal(body, &in); err != nil {
			return malformedXML()
		}
	}
	asked := in.LocationConstraint
	if asked == "EU" {
		asked = "eu-west-1"
	}
	switch {
	case asked == s.cfg.Region && asked != "us-east-1", asked == "" && s.cfg.Region == "us-east-1":
		return nil
	case asked == "us-east-1" && s.cfg.Region == asked:
		return badRequest("InvalidLocationConstraint", "The specified location-constraint is not valid",
			detail("LocationConstraint", asked))
	case asked == "":
		asked = "unspecified"
	}
	return badRequest("IllegalLocationConstraintException", "The "+asked+" location constraint is "+
		"incompatible for the "+
		"region specific endpoint this request was sent to.")
}

func (s *Server) headBucket(w http.ResponseWriter, _ *http.Request, t target) error {
	if _, err := s.bucket(t.bucket); err != nil {
		return err
	}
	w.Header().Set("x-amz-bucket-region", s.cfg.Region)
	w.Header().Set("x-amz-access-point-alias", "false")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) deleteBucket(w http.ResponseWriter, _ *http.Request, t target) error {
	files, err := s.dropBucket(t.bucket)
	if err != nil {
		return err
	}
	s.sweep(files)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// dropBucket removes an empty bucket, and its uploads in progress. It holds mu whole: no commit can
// slip in.
func (s *Server) dropBucket(name string) (files []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucketLocked(name)
	if err != nil {
		return nil, err
	}
	empty := true
	err = s.scan(objectRow(name, ""), nil, func(_, _ []byte) (bool, error) {
		empty = false
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if !empty {
		message := "The bucket you tried to delete is not empty"
		if b.Versioning != "" {
			message += ". You must delete all versions in the bucket."
		}
		return nil, fail(http.StatusConflict, "BucketNotEmpty", message, detail("BucketName", name))
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if files, err = s.releaseUploads(batch, name); err != nil {
		return nil, err
	}
	if err := batch.Delete(row(rowBucket+name), nil); err != nil {
		return nil, err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return nil, fmt.Errorf("commit bucket: %w", err)
	}
	delete(s.buckets, name)
	return files, nil
}

func (s *Server) releaseUploads(batch *pebble.Batch, bucket string) (files []string, err error) {
	base := row(rowUpload + bucket + "\x00")
	err = s.scan(base, nil, func(k, _ []byte) (bool, error) {
		_, id, ok := unescapeKey(k[len(base):])
		if !ok {
			return true, nil
		}
		more, err := s.releaseUpload(batch, slices.Clone(k), string(id))
		files = append(files, more...)
		return true, err
	})
	return files, err
}

func (s *Server) getLocation(w http.ResponseWriter, _ *http.Request, t target) error {
	if _, err := s.bucket(t.bucket); err != nil {
		return err
	}
	d := newXML("LocationConstraint")
	if s.cfg.Region != "us-east-1" { // which is the empty constraint
		escapeXML(&d.buf, s.cfg.Region)
	}
	d.send(w, "LocationConstraint")
	return nil
}

func (s *Server) getVersioning(w http.ResponseWriter, _ *http.Request, t target) error {
	b, err := s.bucket(t.bucket)
	if err != nil {
		return err
	}
	d := newXML("VersioningConfiguration")
	d.some("Status", b.Versioning)
	d.send(w, "VersioningConfiguration")
	return nil
}

func (s *Server) putVersioning(w http.ResponseWriter, r *http.Request, t target) error {
	var in struct {
		XMLName   xml.Name `xml:"VersioningConfiguration"`
		Status    string
		MfaDelete string
	}
	if err := readXML(r, &in); err != nil {
		return err
	}
	if in.MfaDelete == "Enabled" {
		return notImplemented("x-amz-mfa")
	}
	if in.Status != "Enabled" && in.Status != "Suspended" {
		return badRequest("IllegalVersioningConfigurationException",
			"The Versioning element must be specified")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucketLocked(t.bucket)
	if err != nil {
		return err
	}
	b.Versioning = in.Status
	if err := s.saveBucket(t.bucket, b); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// logInternal logs what the client is told only as InternalError.
func (s *Server) logInternal(r *http.Request, err error) {
	if asAPIError(err).status == http.StatusInternalServerError && !errors.Is(err, r.Context().Err()) {
		s.cfg.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}
