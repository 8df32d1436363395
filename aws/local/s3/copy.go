package s3

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// copySource reads x-amz-copy-source: "/bucket/key?versionId=…", percent-encoded.
func copySource(v string) (target, error) {
	path, query, _ := strings.Cut(v, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return target{}, invalidArgument("x-amz-copy-source", v, "Invalid copy source encoding")
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || bucket == "" {
		return target{}, invalidArgument("x-amz-copy-source", v, "Invalid copy source bucket name")
	}
	if key == "" {
		return target{}, invalidArgument("x-amz-copy-source", v, "Invalid copy source object key")
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return target{}, invalidArgument("x-amz-copy-source", v, "Invalid copy source encoding")
	}
	return target{bucket, key, q.Get("versionId")}, nil
}

// sourceOf finds the object to copy from and holds it against the source conditions.
func (s *Server) sourceOf(w http.ResponseWriter, r *http.Request) (target, *object, error) {
	from, err := copySource(r.Header.Get("X-Amz-Copy-Source"))
	if err != nil {
		return from, nil, err
	}
	o, err := s.readable(w, from)
	w.Header().Del("x-amz-version-id") // the source's, which readable told
	w.Header().Del("x-amz-delete-marker")
	if err != nil {
		return from, nil, err
	}
	if status := readConditions(r.Header, o, "X-Amz-Copy-Source-If-"); status != 0 {
		return from, nil, preconditionFailed("x-amz-copy-source-If-Match")
	}
	return from, o, nil
}

func (s *Server) copyObject(w http.ResponseWriter, r *http.Request, t target) error {
	cond, err := writeConditions(r.Header)
	if err != nil {
		return err
	}
	from, src, err := s.sourceOf(w, r)
	if err != nil {
		return err
	}
	if src.Size > maxObject {
		return invalidRequest("The specified copy source is larger than the maximum allowable size " +
			"for a copy source: 5368709120")
	}
	o, err := copied(r.Header, from, t, src)
	if err != nil {
		return err
	}
	alg, err := copyAlgorithm(r.Header, src)
	if err != nil {
		return err
	}
	if _, err := s.bucket(t.bucket); err != nil {
		return err
	}
	body, d, err := s.duplicate(src, span{length: src.Size}, alg)
	if err != nil {
		return err
	}
	o.fill(d, body)
	err = s.commit(write{
		bucket: t.bucket, key: t.key, next: o, body: body, cond: cond,
		reason: "CopyObject",
	})
	if err != nil {
		return err
	}
	if src.Version != nullVersion {
		w.Header().Set("x-amz-copy-source-version-id", src.Version)
	}
	s.versionHeader(w.Header(), o)
	doc := newXML("CopyObjectResult")
	doc.leaf("ETag", quote(o.ETag))
	doc.time("LastModified", o.Modified)
	doc.leaf("ChecksumType", typeFull)
	o.Sums.leaves(doc)
	doc.send(w, "CopyObjectResult")
	return nil
}

// copied describes the new object by the directives: COPY takes the source's description, REPLACE
// the request's.
func copied(h http.Header, from, to target, src *object) (*object, error) {
	o, err := describe(h)
	if err != nil {
		return nil, err
	}
	metadata, tagging := h.Get("X-Amz-Metadata-Directive"), h.Get("X-Amz-Tagging-Directive")
	for name, v := range map[string]string{"metadata": metadata, "tagging": tagging} {
		if v != "" && v != "COPY" && v != "REPLACE" {
			return nil, invalidArgument("x-amz-"+name+"-directive", v, "Unknown "+name+" directive.")
		}
	}
	class := h.Get("X-Amz-Storage-Class")
	if metadata != "REPLACE" {
		if from.bucket == to.bucket && from.key == to.key && from.version == "" && class == "" &&
			tagging != "REPLACE" {
			return nil, invalidRequest("This copy request is illegal because it is trying to copy an " +
				"object to itself without " +
				"changing the object's metadata, storage class, website redirect location or encryption " +
				"attributes.")
		}
		kept := o.Header["X-Amz-Storage-Class"]
		o.Header, o.Meta = map[string]string{}, src.Meta
		for name, v := range src.Header {
			o.Header[name] = v
		}
		delete(o.Header, "X-Amz-Storage-Class")
		if kept != "" {
			o.Header["X-Amz-Storage-Class"] = kept
		}
	}
	if tagging != "REPLACE" {
		o.Tags = src.Tags
	}
	return o, nil
}

// copyAlgorithm is the checksum algorithm of the copy: the one that is asked for, else the
// source's.
func copyAlgorithm(h http.Header, src *object) (string, error) {
	alg := strings.ToUpper(h.Get("X-Amz-Checksum-Algorithm"))
	if alg == "" {
		return src.Sums.Algorithm, nil
	}
	if newSum(alg) == nil {
		return "", invalidRequest("Checksum algorithm provided is unsupported.")
	}
	return alg, nil
}

// duplicate streams part of an object into a new body.
func (s *Server) duplicate(src *object, part span, alg string) (stored, *digest, error) {
	in, err := s.openBody(src, part.from, part.length)
	if err != nil {
		return stored{}, nil, err
	}
	defer func() { _ = in.Close() }()
	d := newDigest(alg)
	body, err := s.ingest(io.LimitReader(in, part.length), d, maxObject)
	if err == nil && body.size != part.length {
		s.discard(body)
		err = io.ErrUnexpectedEOF
	}
	return body, d, err
}

// copyRange reads x-amz-copy-source-range, which unlike Range must be exact.
func copyRange(h http.Header, src *object) (span, error) {
	v := h.Get("X-Amz-Copy-Source-Range")
	if v == "" {
		return span{length: src.Size}, nil
	}
	whole := span{length: src.Size}
	part, err := parseRange(v, whole)
	if err != nil {
		return part, invalidArgument("x-amz-copy-source-range", v,
			"Range specified is not valid for source object of size: "+
				sizeText(src.Size))
	}
	spec := strings.TrimPrefix(v, "bytes=")
	if !part.partial || strings.HasPrefix(spec, "-") || strings.HasSuffix(spec, "-") {
		return part, invalidArgument("x-amz-copy-source-range", v,
			"The x-amz-copy-source-range value must be of the form "+
				"bytes=first-last where first and last are the zero-based offsets of the first and last "+
				"bytes to copy")
	}
	if _, last, _ := strings.Cut(spec, "-"); last != sizeText(part.from+part.length-1) {
		return part, invalidArgument("x-amz-copy-source-range", v,
			"Range specified is not valid for source object of size: "+
				sizeText(src.Size))
	}
	return part, nil
}

// nowMillis is the server's time in Unix milliseconds.
func (s *Server) nowMillis() int64 { return s.cfg.Clock().Truncate(time.Millisecond).UnixMilli() }
