package s3

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

// completion is the document of CompleteMultipartUpload.
type completion struct {
	XMLName xml.Name       `xml:"CompleteMultipartUpload"`
	Part    []completePart `xml:"Part"`
}

// completePart names one part and says which content it must have.
type completePart struct {
	PartNumber int
	ETag       string
	Sums       []struct {
		XMLName xml.Name
		Value   string `xml:",chardata"`
	} `xml:",any"`
}

// completeUpload puts the parts together. No byte is copied: the object refers to the parts'
// bodies.
func (s *Server) completeUpload(w http.ResponseWriter, r *http.Request, t target) error {
	id := r.URL.Query().Get("uploadId")
	cond, err := writeConditions(r.Header)
	if err != nil {
		return err
	}
	u, err := s.uploadOf(t, id)
	if err != nil {
		return err
	}
	in, want, err := readCompletion(r)
	if err != nil {
		return err
	}
	chosen, unused, err := s.choose(u, in.Part)
	if err != nil {
		return err
	}
	o, segments, err := assemble(u, chosen, want, r.Header)
	if err != nil {
		return err
	}
	o.Body.ID = u.ID
	var files []string
	err = s.commit(write{
		bucket: t.bucket, key: t.key, next: o, cond: cond, reason: "CompleteMultipartUpload",
		extra: func(b *pebble.Batch) (err error) {
			files, err = s.endUpload(b, t, u.ID, chosen, unused, segments)
			return err
		},
	})
	if err != nil {
		return err
	}
	s.sweep(files)
	s.sendCompleted(w, r, t, o)
	return nil
}

// readCompletion reads the document. Its x-amz-checksum-* headers are about the object, not about
// the document.
func readCompletion(r *http.Request) (completion, wanted, error) {
	var in completion
	want, err := wantedSumsOfObject(r.Header)
	if err != nil {
		return in, want, err
	}
	for name := range r.Header {
		if strings.HasPrefix(name, sumPrefix) && name != sumPrefix+"Type" {
			r.Header.Del(name)
		}
	}
	r.Header.Del("X-Amz-Sdk-Checksum-Algorithm")
	if err := readXML(r, &in); err != nil {
		return in, want, err
	}
	if len(in.Part) == 0 || len(in.Part) > maxParts {
		return in, want, malformedXML()
	}
	for i, p := range in.Part {
		if i > 0 && p.PartNumber <= in.Part[i-1].PartNumber {
			return in, want, badRequest("InvalidPartOrder",
				"The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	return in, want, nil
}

func wantedSumsOfObject(h http.Header) (wanted, error) {
	var want wanted
	for name, values := range h {
		alg, ok := strings.CutPrefix(name, sumPrefix)
		alg = strings.ToUpper(alg)
		if !ok || alg == "TYPE" || alg == "ALGORITHM" {
			continue
		}
		if newSum(alg) == nil {
			return want, invalidRequest("The algorithm type you specified in x-amz-checksum- header is " +
				"invalid.")
		}
		want.algorithm, want.value = alg, values[0]
	}
	return want, nil
}

// choose finds the parts that the document names and holds them against it.
func (s *Server) choose(u upload, named []completePart) (chosen, unused []part, err error) {
	have := map[int]part{}
	if err := s.parts(u.ID, 0, func(p part) bool { have[p.Number] = p; return true }); err != nil {
		return nil, nil, err
	}
	for i, n := range named {
		p, ok := have[n.PartNumber]
		if !ok || strings.Trim(n.ETag, `"`) != p.ETag {
			return nil, nil, invalidPart(n, u)
		}
		if i < len(named)-1 && p.Seg.Size < minPart {
			return nil, nil, tooSmall(p)
		}
		if err := checkPartSums(u, n, p); err != nil {
			return nil, nil, err
		}
		chosen = append(chosen, p)
		delete(have, n.PartNumber)
	}
	for _, p := range have {
		unused = append(unused, p)
	}
	return chosen, unused, nil
}

func invalidPart(n completePart, u upload) error {
	return badRequest("InvalidPart", "One or more of the specified parts could not be found.  The "+
		"part may not have been "+
		"uploaded, or the specified entity tag may not match the part's entity tag.",
		sigv4.Detail{Name: "UploadId", Value: u.ID},
		sigv4.Detail{Name: "PartNumber", Value: strconv.Itoa(n.PartNumber)},
		sigv4.Detail{Name: "ETag", Value: strings.Trim(n.ETag, `"`)})
}

func tooSmall(p part) error {
	return badRequest("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed "+
		"size",
		sigv4.Detail{Name: "ProposedSize", Value: sizeText(p.Seg.Size)},
		sigv4.Detail{Name: "MinSizeAllowed", Value: sizeText(minPart)},
		sigv4.Detail{Name: "PartNumber", Value: strconv.Itoa(p.Number)}, sigv4.Detail{
			Name:  "ETag",
			Value: p.ETag,
		})
}

// checkPartSums compares the checksums in the document with the part's own.
func checkPartSums(u upload, n completePart, p part) error {
	told := false
	for _, sum := range n.Sums {
		alg, ok := strings.CutPrefix(sum.XMLName.Local, "Checksum")
		if !ok || sum.Value == "" {
			continue
		}
		told = told || alg == u.Algorithm
		own := p.Seg.Sums.Value
		if alg == algCRC64 {
			own = crc64Text(p.Seg.Sums.CRC64)
		} else if alg != p.Seg.Sums.Algorithm {
			continue // of an algorithm that was not computed for the part
		}
		if sum.Value != own {
			return invalidPart(n, u)
		}
	}
	if u.SumType == typeComposite && !told {
		return invalidRequest("The upload was created using a " + strings.ToLower(u.Algorithm) +
			" checksum. The complete " +
			"request must include the checksum for each part. It was missing for part " +
			strconv.Itoa(n.PartNumber) + " in the request.")
	}
	return nil
}

// assemble makes the object of its parts: ETag is the MD5 of their MD5s, with their number.
func assemble(u upload, chosen []part, want wanted, h http.Header) (*object, []segment, error) {
	o := &object{
		Header: u.Header, Meta: u.Meta, Tags: u.Tags, Parts: len(chosen),
		Body: bodyRef{Kind: "s"},
	}
	segments := make([]segment, 0, len(chosen))
	sum := md5.New()
	for _, p := range chosen {
		segments = append(segments, p.Seg)
		o.Size += p.Seg.Size
		_, _ = sum.Write(decodeETag(p.ETag))
	}
	if o.Size > maxAssembly {
		return nil, nil, entityTooLarge(o.Size)
	}
	o.ETag = hex.EncodeToString(sum.Sum(nil)) + "-" + strconv.Itoa(len(chosen))
	o.Sums = wholeSums(u, segments)
	if v := h.Get("X-Amz-Mp-Object-Size"); v != "" && v != sizeText(o.Size) {
		return nil, nil, invalidRequest("The provided 'x-amz-mp-object-size' header value " + v +
			" does not match what was computed: " + sizeText(o.Size))
	}
	if kind := h.Get("X-Amz-Checksum-Type"); kind != "" && u.SumType != "" &&
		!strings.EqualFold(kind, u.SumType) {
		return nil, nil, invalidRequest("The upload was created using the " + u.SumType +
			" checksum mode. The complete request must use the same checksum mode.")
	}
	return o, segments, checkWhole(o.Sums, want)
}

// wholeSums computes the object's checksums from those of the parts. CRC64NVME always is of the
// whole content.
func wholeSums(u upload, segments []segment) checksums {
	c := checksums{CRC64: combineCRC64(segments)}
	if u.Algorithm == "" {
		return c
	}
	value, ok := "", false
	if u.SumType == typeComposite {
		value, ok = composite(u.Algorithm, segments)
	} else {
		value, ok = combineSums(u.Algorithm, segments)
	}
	if ok {
		c.Algorithm, c.Type, c.Value = u.Algorithm, u.SumType, value
	}
	return c
}

func checkWhole(c checksums, want wanted) error {
	own := c.Value
	if want.algorithm == algCRC64 {
		own = crc64Text(c.CRC64)
	} else if want.algorithm != c.Algorithm {
		return nil // not computed
	}
	value, _, _ := strings.Cut(want.value, "-")
	own, _, _ = strings.Cut(own, "-")
	if value != "" && value != own {
		return badRequest("BadDigest",
			"The "+want.algorithm+" you specified did not match the calculated checksum.")
	}
	return nil
}

// endUpload, inside the commit and under the key's lock, checks that no part changed meanwhile and
// ends the upload.
func (s *Server) endUpload(
	b *pebble.Batch, t target, id string, chosen, unused []part, segments []segment,
) (files []string, err error) {
	at := uploadRow(t.bucket, t.key, id)
	if ok, err := s.has(at); err != nil || !ok {
		return nil, errors.Join(err, noSuchUpload(id))
	}
	for _, p := range append(chosen, unused...) {
		var now part
		ok, err := s.get(partRow(id, p.Number), &now)
		if err != nil {
			return nil, err
		}
		if !ok || now.Seg.Body != p.Seg.Body {
			return nil, fail(http.StatusConflict, "OperationAborted",
				"A conflicting conditional operation is currently in "+
					"progress against this resource. Please try again.")
		}
		if err := b.Delete(partRow(id, p.Number), nil); err != nil {
			return nil, err
		}
	}
	for _, p := range unused {
		more, err := s.release(b, p.Seg.Body)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, errors.Join(put(b, row(rowSegments+id), segments), b.Delete(at, nil))
}

func (s *Server) sendCompleted(w http.ResponseWriter, r *http.Request, t target, o *object) {
	s.versionHeader(w.Header(), o)
	d := newXML("CompleteMultipartUploadResult")
	d.leaf("Location", "http://"+r.Host+r.URL.EscapedPath())
	d.leaf("Bucket", t.bucket)
	d.leaf("Key", t.key)
	d.leaf("ETag", quote(o.ETag))
	o.Sums.leaves(d)
	kind := o.Sums.Type
	if kind == "" {
		kind = typeFull
	}
	d.leaf("ChecksumType", kind)
	d.send(w, "CompleteMultipartUploadResult")
}
