package s3

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

const (
	maxParts    = 10000
	minPart     = 5 << 20 // bytes of every part but the last
	maxAssembly = 5 << 40 // bytes of a whole multipart object
)

// sumTypes are the checksum types that an algorithm may have in a multipart upload; the first is
// the default.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
func sumTypes(alg string) []string {
	switch alg {
	case algCRC64:
		return []string{typeFull}
	case algCRC32, algCRC32C:
		return []string{typeComposite, typeFull}
	default:
		return []string{typeComposite}
	}
}

func (s *Server) createUpload(w http.ResponseWriter, r *http.Request, t target) error {
	o, err := describe(r.Header)
	if err != nil {
		return err
	}
	u := upload{
		ID: rand.Text() + rand.Text(), Initiated: s.nowMillis(), Header: o.Header,
		Meta: o.Meta, Tags: o.Tags,
	}
	if u.Algorithm, u.SumType, err = uploadSums(r.Header); err != nil {
		return err
	}
	if err := s.saveUpload(t, u); err != nil {
		return err
	}
	if u.Algorithm != "" {
		w.Header().Set("x-amz-checksum-algorithm", u.Algorithm)
		w.Header().Set("x-amz-checksum-type", u.SumType)
	}
	d := newXML("InitiateMultipartUploadResult")
	d.leaf("Bucket", t.bucket)
	d.leaf("Key", t.key)
	d.leaf("UploadId", u.ID)
	d.send(w, "InitiateMultipartUploadResult")
	return nil
}

func uploadSums(h http.Header) (alg, kind string, err error) {
	alg = strings.ToUpper(h.Get("X-Amz-Checksum-Algorithm"))
	kind = strings.ToUpper(h.Get("X-Amz-Checksum-Type"))
	if alg == "" {
		if kind != "" {
			return "", "", invalidRequest("The x-amz-checksum-type header can only be used with the " +
				"x-amz-checksum-algorithm header.")
		}
		return "", "", nil
	}
	if newSum(alg) == nil {
		return "", "", invalidRequest("Checksum algorithm provided is unsupported. Please try again " +
			"with any of the valid types: [" +
			strings.Join(algorithm, ", ") + "]")
	}
	types := sumTypes(alg)
	if kind == "" {
		return alg, types[0], nil
	}
	for _, ok := range types {
		if ok == kind {
			return alg, kind, nil
		}
	}
	return "", "", invalidRequest("The " + kind + " checksum type cannot be used with the " +
		strings.ToLower(alg) +
		" checksum algorithm.")
}

func (s *Server) saveUpload(t target, u upload) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.bucketLocked(t.bucket); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if err := put(batch, uploadRow(t.bucket, t.key, u.ID), u); err != nil {
		return err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return fmt.Errorf("commit upload: %w", err)
	}
	return nil
}

// uploadOf finds an upload in progress.
func (s *Server) uploadOf(t target, id string) (upload, error) {
	if _, err := s.bucket(t.bucket); err != nil {
		return upload{}, err
	}
	var u upload
	ok, err := s.get(uploadRow(t.bucket, t.key, id), &u)
	if err == nil && !ok {
		err = noSuchUpload(id)
	}
	return u, err
}

func partNumber(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxParts {
		return 0, invalidArgument("partNumber", v, "Part number must be an integer between 1 and "+
			"10000, inclusive")
	}
	return n, nil
}

func (s *Server) uploadPart(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	number, err := partNumber(q.Get("partNumber"))
	if err != nil {
		return err
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		return s.uploadPartCopy(w, r, t, number)
	}
	if err := bodyLength(r); err != nil {
		return err
	}
	u, err := s.uploadOf(t, q.Get("uploadId"))
	if err != nil {
		return err
	}
	want, err := wantedSums(r.Header)
	if err != nil {
		return err
	}
	switch {
	case want.algorithm == "":
		want.algorithm = u.Algorithm
	case u.Algorithm != "" && want.algorithm != u.Algorithm:
		return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: " +
			strings.ToLower(u.Algorithm) +
			", actual checksum Type: " + strings.ToLower(want.algorithm))
	}
	var o object
	body, err := s.receive(r, &o, want)
	if err != nil {
		return err
	}
	if err := s.savePart(t, u.ID, number, &o, body); err != nil {
		return err
	}
	w.Header().Set("ETag", quote(o.ETag))
	o.Sums.setHeaders(w.Header(), true)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) uploadPartCopy(w http.ResponseWriter, r *http.Request, t target,
	number int,
) error {
	u, err := s.uploadOf(t, r.URL.Query().Get("uploadId"))
	if err != nil {
		return err
	}
	_, src, err := s.sourceOf(w, r)
	if err != nil {
		return err
	}
	from, err := copyRange(r.Header, src)
	if err != nil {
		return err
	}
	if from.length > maxObject {
		return entityTooLarge(from.length)
	}
	body, d, err := s.duplicate(src, from, u.Algorithm)
	if err != nil {
		return err
	}
	var o object
	o.fill(d, body)
	if err := s.savePart(t, u.ID, number, &o, body); err != nil {
		return err
	}
	if src.Version != nullVersion {
		w.Header().Set("x-amz-copy-source-version-id", src.Version)
	}
	doc := newXML("CopyPartResult")
	doc.leaf("ETag", quote(o.ETag))
	doc.time("LastModified", s.nowMillis())
	o.Sums.leaves(doc)
	doc.send(w, "CopyPartResult")
	return nil
}

// savePart commits a part in place of an earlier one of its number, unless the upload has ended
// meanwhile.
func (s *Server) savePart(t target, id string, number int, o *object, body stored) error {
	files, err := s.savePartLocked(t, id, number, o, body)
	if err != nil {
		s.discard(body)
		return err
	}
	s.sweep(files)
	return nil
}

func (s *Server) savePartLocked(t target, id string, number int, o *object,
	body stored,
) (files []string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	defer s.lockKey(t.bucket, t.key)()
	if ok, err := s.has(uploadRow(t.bucket, t.key, id)); err != nil || !ok {
		return nil, errors.Join(err, noSuchUpload(id))
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	var old part
	at := partRow(id, number)
	if ok, err := s.get(at, &old); err != nil {
		return nil, err
	} else if ok {
		if files, err = s.release(batch, old.Seg.Body); err != nil {
			return nil, err
		}
	}
	if err := s.stage(batch, body); err != nil {
		return nil, err
	}
	p := part{ETag: o.ETag, Modified: s.nowMillis(), Seg: segment{
		Body: o.Body, Size: o.Size,
		Sums: o.Sums,
	}}
	if err := put(batch, at, p); err != nil {
		return nil, err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return nil, fmt.Errorf("commit part: %w", err)
	}
	return files, nil
}

// parts reads the parts of an upload with numbers above after, in order.
func (s *Server) parts(id string, after int, fn func(part) bool) error {
	prefix := row(rowPart + id + "/")
	return s.scan(prefix, partRow(id, after+1), func(k, v []byte) (bool, error) {
		p := part{Number: partNumberOf(k)}
		if err := unmarshal(v, &p); err != nil {
			return false, err
		}
		return fn(p), nil
	})
}

func (s *Server) abortUpload(w http.ResponseWriter, r *http.Request, t target) error {
	id := r.URL.Query().Get("uploadId")
	if _, err := s.uploadOf(t, id); err != nil {
		return err
	}
	files, err := s.dropUpload(t, id)
	if err != nil {
		return err
	}
	s.sweep(files)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) dropUpload(t target, id string) (files []string, err error) {
	defer s.lockKey(t.bucket, t.key)()
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if files, err = s.releaseUpload(batch, uploadRow(t.bucket, t.key, id), id); err != nil {
		return nil, err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return nil, fmt.Errorf("commit abort: %w", err)
	}
	return files, nil
}

// releaseUpload adds the end of an upload and of all its parts to the batch.
func (s *Server) releaseUpload(batch *pebble.Batch, at row, id string) (files []string, err error) {
	var rerr error
	err = s.parts(id, 0, func(p part) bool {
		var more []string
		more, rerr = s.release(batch, p.Seg.Body)
		files = append(files, more...)
		if rerr == nil {
			rerr = batch.Delete(partRow(id, p.Number), nil)
		}
		return rerr == nil
	})
	return files, errors.Join(err, rerr, batch.Delete(at, nil))
}

func (s *Server) listParts(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	u, err := s.uploadOf(t, q.Get("uploadId"))
	if err != nil {
		return err
	}
	limit, err := intParam("max-parts", q.Get("max-parts"), maxList, maxList)
	if err != nil {
		return err
	}
	marker, err := intParam("part-number-marker", q.Get("part-number-marker"), 0, maxParts)
	if err != nil {
		return err
	}
	var found []part
	more := false
	err = s.parts(u.ID, marker, func(p part) bool {
		if more = len(found) == limit; more {
			return false
		}
		found = append(found, p)
		return true
	})
	if err != nil {
		return err
	}
	s.sendParts(w, t, u, found, marker, limit, more)
	return nil
}

func (s *Server) sendParts(w http.ResponseWriter, t target, u upload, found []part, marker,
	limit int, more bool,
) {
	d := newXML("ListPartsResult")
	d.leaf("Bucket", t.bucket)
	d.leaf("Key", t.key)
	d.leaf("UploadId", u.ID)
	s.ownerLeaf(d, "Initiator")
	s.ownerLeaf(d, "Owner")
	d.leaf("StorageClass", storageClass(&object{Header: u.Header}))
	d.some("ChecksumAlgorithm", u.Algorithm)
	d.some("ChecksumType", u.SumType)
	d.int("PartNumberMarker", int64(marker))
	if len(found) > 0 {
		d.int("NextPartNumberMarker", int64(found[len(found)-1].Number))
	}
	d.int("MaxParts", int64(limit))
	d.bool("IsTruncated", more)
	for _, p := range found {
		d.open("Part")
		d.int("PartNumber", int64(p.Number))
		d.time("LastModified", p.Modified)
		d.leaf("ETag", quote(p.ETag))
		d.int("Size", p.Seg.Size)
		p.Seg.Sums.leaves(d)
		d.close("Part")
	}
	d.send(w, "ListPartsResult")
}

func (s *Server) listUploads(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	l, enc, err := s.listQuery(t.bucket, q)
	if err != nil {
		return err
	}
	if l.max, err = intParam("max-uploads", q.Get("max-uploads"), maxList, maxList); err != nil {
		return err
	}
	keyMarker, idMarker := q.Get("key-marker"), q.Get("upload-id-marker")
	d := newXML("ListMultipartUploadsResult")
	d.leaf("Bucket", t.bucket)
	d.leaf("KeyMarker", enc(keyMarker))
	d.leaf("UploadIdMarker", idMarker)
	d.some("Prefix", enc(l.prefix))
	d.some("Delimiter", enc(l.delimiter))
	d.some("EncodingType", q.Get("encoding-type"))
	d.int("MaxUploads", int64(l.max))
	if err := s.uploadLeaves(d, l, keyMarker, idMarker, enc); err != nil {
		return err
	}
	d.send(w, "ListMultipartUploadsResult")
	return nil
}

// uploadLeaves writes the uploads in the order of keys and, within one, of their ids.
func (s *Server) uploadLeaves(d *xmlDoc, l listing, keyMarker, idMarker string,
	enc func(string) string,
) error {
	base := row(rowUpload + l.bucket + "\x00")
	from := row(nil)
	if keyMarker != "" {
		from = append(append(bytes.Clone(base), escapeKey(keyMarker)...), idMarker...)
		if idMarker == "" {
			from = prefixEnd(from)
		}
	}
	var prefixes []string
	n, more, lastKey, lastID := 0, false, "", ""
	err := s.scan(base, from, func(k, v []byte) (bool, error) {
		key, id, ok := unescapeKey(k[len(base):])
		if !ok || !strings.HasPrefix(key, l.prefix) || key == keyMarker && string(id) <= idMarker {
			return true, nil
		}
		common, folded := commonPrefix(key, l)
		if folded && len(prefixes) > 0 && prefixes[len(prefixes)-1] == common {
			return true, nil
		}
		if n == l.max {
			more = true
			return false, nil
		}
		n, lastKey, lastID = n+1, key, string(id)
		if folded {
			prefixes = append(prefixes, common)
			return true, nil
		}
		var u upload
		if err := unmarshal(v, &u); err != nil {
			return false, err
		}
		s.uploadLeaf(d, key, u, enc)
		return true, nil
	})
	d.bool("IsTruncated", more)
	if more {
		d.leaf("NextKeyMarker", enc(lastKey))
		d.leaf("NextUploadIdMarker", lastID)
	}
	d.commonPrefixes(prefixes, enc)
	return err
}

func (s *Server) uploadLeaf(d *xmlDoc, key string, u upload, enc func(string) string) {
	d.open("Upload")
	d.leaf("Key", enc(key))
	d.leaf("UploadId", u.ID)
	s.ownerLeaf(d, "Initiator")
	s.ownerLeaf(d, "Owner")
	d.leaf("StorageClass", storageClass(&object{Header: u.Header}))
	d.time("Initiated", u.Initiated)
	d.some("ChecksumAlgorithm", u.Algorithm)
	d.some("ChecksumType", u.SumType)
	d.close("Upload")
}

// decodeETag reads the MD5 in a part's ETag.
func decodeETag(etag string) []byte {
	b, err := hex.DecodeString(etag)
	if err != nil {
		return nil
	}
	return b
}

// decodeSum reads a base64 checksum.
