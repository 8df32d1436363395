package s3

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

const maxList = 1000 // entries of one listing page

func sizeText(n int64) string { return strconv.FormatInt(n, 10) }

// listing is a request for one page of keys, in byte order.
type listing struct {
	bucket, prefix, delimiter string
	after                     string // keys after this one
	skip                      string // and not with this prefix: it has been told as a common prefix
	max                       int
}

// page is one page of a listing.
type page struct {
	keys     []string
	objects  []object
	prefixes []string
	more     bool
	last     string // the last key or prefix of the page
	isPrefix bool   // last is a prefix
}

// list reads one page. Delete markers are left out.
func (s *Server) list(l listing) (p page, err error) {
	lower := objectRow(l.bucket, l.prefix)
	base := len(objectRow(l.bucket, ""))
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: prefixEnd(lower)})
	if err != nil {
		return p, err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	ok := it.SeekGE(startOf(l))
	for ok && l.max > 0 {
		key := string(it.Key()[base:])
		raw, err := it.ValueAndErr()
		if err != nil {
			return p, err
		}
		var o object
		if err := unmarshal(raw, &o); err != nil {
			return p, err
		}
		if o.Marker {
			ok = it.Next()
			continue
		}
		if len(p.keys)+len(p.prefixes) == l.max {
			p.more = true
			break
		}
		if common, found := commonPrefix(key, l); found {
			p.prefixes, p.last, p.isPrefix = append(p.prefixes, common), common, true
			end := prefixEnd(objectRow(l.bucket, common))
			ok = end != nil && it.SeekGE(end)
			continue
		}
		p.keys, p.objects = append(p.keys, key), append(p.objects, o)
		p.last, p.isPrefix = key, false
		ok = it.Next()
	}
	return p, it.Error()
}

func startOf(l listing) row {
	start := objectRow(l.bucket, l.prefix)
	if l.after != "" {
		start = maxRow(start, append(objectRow(l.bucket, l.after), 0))
	}
	if l.skip != "" {
		start = maxRow(start, prefixEnd(objectRow(l.bucket, l.skip)))
	}
	return start
}

func maxRow(a, b row) row {
	if slices.Compare(a, b) > 0 {
		return a
	}
	return b
}

func commonPrefix(key string, l listing) (string, bool) {
	if l.delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(l.prefix):], l.delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(l.prefix)+i+len(l.delimiter)], true
}

// isCommonPrefix reports whether a marker is one of a listing's common prefixes, all of which it stands for.
func isCommonPrefix(marker string, l listing) bool {
	if !strings.HasPrefix(marker, l.prefix) {
		return false
	}
	common, ok := commonPrefix(marker, l)
	return ok && common == marker
}

// encoder returns how keys are written: as they are, or percent-encoded with encoding-type=url.
func encoder(q url.Values) (func(string) string, error) {
	switch v := q.Get("encoding-type"); v {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }, nil
	default:
		return nil, invalidArgument("encoding-type", v, "Invalid Encoding Method specified in Request")
	}
}

func (s *Server) listQuery(bucket string, q url.Values) (listing, func(string) string, error) {
	if _, err := s.bucket(bucket); err != nil {
		return listing{}, nil, err
	}
	enc, err := encoder(q)
	if err != nil {
		return listing{}, nil, err
	}
	n, err := intParam("max-keys", q.Get("max-keys"), maxList, maxList)
	return listing{
		bucket: bucket, prefix: q.Get("prefix"), delimiter: q.Get("delimiter"),
		max: n,
	}, enc, err
}

func (s *Server) listObjectsV2(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	l, enc, err := s.listQuery(t.bucket, q)
	if err != nil {
		return err
	}
	l.after = q.Get("start-after")
	token, resumed := q.Get("continuation-token"), q.Has("continuation-token")
	if resumed {
		if l.after, l.skip, err = openToken(token); err != nil {
			return err
		}
	}
	p, err := s.list(l)
	if err != nil {
		return err
	}
	d := newXML("ListBucketResult")
	d.leaf("Name", t.bucket)
	d.leaf("Prefix", enc(l.prefix))
	d.some("Delimiter", enc(l.delimiter))
	if resumed {
		d.leaf("ContinuationToken", token)
	}
	d.some("StartAfter", enc(q.Get("start-after")))
	d.some("EncodingType", q.Get("encoding-type"))
	d.int("KeyCount", int64(len(p.keys)+len(p.prefixes)))
	d.int("MaxKeys", int64(l.max))
	d.bool("IsTruncated", p.more)
	if p.more {
		d.leaf("NextContinuationToken", sealToken(p))
	}
	s.contents(d, p, enc, q.Get("fetch-owner") == "true")
	d.send(w, "ListBucketResult")
	return nil
}

// A continuation token says after what the next page starts: "k" and a key, or "p" and a common
// prefix.
func sealToken(p page) string {
	kind := "k"
	if p.isPrefix {
		kind = "p"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(kind + p.last))
}

func openToken(token string) (after, skip string, err error) {
	raw, derr := base64.RawURLEncoding.DecodeString(token)
	if derr == nil && len(raw) > 0 {
		switch raw[0] {
		case 'k':
			return string(raw[1:]), "", nil
		case 'p':
			return "", string(raw[1:]), nil
		}
	}
	return "", "", invalidArgument("continuation-token", token,
		"The continuation token provided is incorrect")
}

func (s *Server) listObjectsV1(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	l, enc, err := s.listQuery(t.bucket, q)
	if err != nil {
		return err
	}
	marker := q.Get("marker")
	l.after = marker
	if isCommonPrefix(marker, l) {
		l.skip = marker // the last page ended with it
	}
	p, err := s.list(l)
	if err != nil {
		return err
	}
	d := newXML("ListBucketResult")
	d.leaf("Name", t.bucket)
	d.leaf("Prefix", enc(l.prefix))
	d.leaf("Marker", enc(marker))
	d.int("MaxKeys", int64(l.max))
	d.some("Delimiter", enc(l.delimiter))
	d.some("EncodingType", q.Get("encoding-type"))
	d.bool("IsTruncated", p.more)
	if p.more && l.delimiter != "" {
		d.leaf("NextMarker", enc(p.last))
	}
	s.contents(d, p, enc, true)
	d.send(w, "ListBucketResult")
	return nil
}

func (s *Server) contents(d *xmlDoc, p page, enc func(string) string, owner bool) {
	for i, o := range p.objects {
		d.open("Contents")
		d.leaf("Key", enc(p.keys[i]))
		d.time("LastModified", o.Modified)
		d.leaf("ETag", quote(o.ETag))
		d.sumNames(o.Sums)
		d.int("Size", o.Size)
		if owner {
			s.ownerLeaf(d, "Owner")
		}
		d.leaf("StorageClass", storageClass(&o))
		d.close("Contents")
	}
	d.commonPrefixes(p.prefixes, enc)
}

func (d *xmlDoc) commonPrefixes(prefixes []string, enc func(string) string) {
	for _, prefix := range prefixes {
		d.open("CommonPrefixes")
		d.leaf("Prefix", enc(prefix))
		d.close("CommonPrefixes")
	}
}

// sumNames tells which checksum an object has.
func (d *xmlDoc) sumNames(c checksums) {
	alg, kind := c.Algorithm, c.Type
	if alg == "" {
		alg, kind = algCRC64, typeFull
	}
	d.leaf("ChecksumAlgorithm", alg)
	d.leaf("ChecksumType", kind)
}

func (s *Server) ownerLeaf(d *xmlDoc, name string) {
	d.open(name)
	d.leaf("ID", s.owner)
	d.close(name)
}

func storageClass(o *object) string {
	if class := o.Header["X-Amz-Storage-Class"]; class != "" {
		return class
	}
	return "STANDARD"
}
