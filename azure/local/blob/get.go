package blob

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// maxRangeHash is the longest range whose checksum is returned with it, in bytes.
const maxRangeHash = 4 << 20

func isCode(err error, code string) bool {
	var known *auth.StorageError
	return errors.As(err, &known) && known.Code == code
}

// find reads the blob that the request names, or its snapshot or version. BlobNotFound comes with
// the container all the same.
func (c *call) find() (*container, *record, error) {
	owner, err := c.s.container(c.container)
	if err != nil {
		return nil, nil, err
	}
	r, _, err := c.s.lookup(owner.UID, c.blob, c.get("snapshot"), c.get("versionid"))
	if err == nil && r == nil {
		err = blobNotFound()
	}
	return owner, r, err
}

// lookup reads a blob, or one of its snapshots or versions where one is named; nil when there is
// none.
func (s *Server) lookup(uid uint64, name, snapshot, version string) (*record, bool, error) {
	if snapshot != "" {
		r, err := s.record(uid, name, kindSnapshot, snapshot)
		return r, false, err
	}
	r, err := s.record(uid, name, kindCurrent, "")
	if err != nil || version == "" || r != nil && r.Version == version {
		return r, r != nil, err
	}
	r, err = s.record(uid, name, kindVersion, version)
	return r, false, err
}

// getBlob is Get Blob, Get Blob Properties and Get Blob Metadata.
func (c *call) getBlob() error {
	defer c.s.contents.reading()()
	owner, err := c.s.container(c.container)
	if err != nil {
		return err
	}
	r, current, err := c.s.lookup(owner.UID, c.blob, c.get("snapshot"), c.get("versionid"))
	if err != nil {
		return err
	}
	if r == nil {
		return blobNotFound()
	}
	if err := c.allowRead(r); err != nil {
		return err
	}
	h := c.w.Header()
	if c.comp == "metadata" {
		stamp(h, r.Tick, r.Modified)
		showMetadata(h, r.Meta)
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	part := span{length: r.Size}
	if c.r.Method == http.MethodGet {
		if part, err = c.rangeOf(r); err != nil {
			return err
		}
	}
	r.show(h, c.now)
	if r.Version != "" && current {
		h.Set("x-ms-is-current-version", "true")
	}
	c.overrides()
	if c.r.Method == http.MethodHead {
		c.showTier(r)
		if r.MD5 != nil {
			h.Set("Content-MD5", base64.StdEncoding.EncodeToString(r.MD5))
		}
		h.Set("Content-Length", strconv.FormatInt(r.Size, 10))
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	return c.sendContent(r, part)
}

func (c *call) allowRead(r *record) error {
	cond, refusal := conditionsOf(c.r.Header, "")
	if refusal == nil {
		refusal = cond.read(r.Tick, r.Modified)
	}
	if refusal == nil {
		refusal = r.Lease.guard(c.header("x-ms-lease-id"), "Blob", c.now, true)
	}
	if refusal == nil {
		return nil
	}
	if refusal.Status == http.StatusNotModified {
		stamp(c.w.Header(), r.Tick, r.Modified)
	}
	return refusal
}

func (c *call) showTier(r *record) {
	h := c.w.Header()
	if r.Type != blockBlob {
		return
	}
	if r.Tier == "" {
		h.Set("x-ms-access-tier", "Hot")
		h.Set("x-ms-access-tier-inferred", "true")
		return
	}
	h.Set("x-ms-access-tier", r.Tier)
	if !r.TierTime.IsZero() {
		h.Set("x-ms-access-tier-change-time", r.TierTime.UTC().Format(http.TimeFormat))
	}
}

// overrides puts the response headers that a shared access signature carries in place of the
// blob's.
func (c *call) overrides() {
	if c.grant.FullKey || c.get("ss") != "" {
		return // only the signature of a container or a blob covers them
	}
	for parameter, name := range map[string]string{
		"rscc": "Cache-Control", "rscd": "Content-Disposition", "rsce": "Content-Encoding",
		"rscl": "Content-Language", "rsct": "Content-Type",
	} {
		if v := c.get(parameter); v != "" {
			c.w.Header().Set(name, v)
		}
	}
}

// span is the part of a content that a request asks for.
type span struct {
	from, length int64
	ranged       bool
	md5          []byte // of the span, where it was asked for
	crc          string
}

// rangeOf reads the range that a GET asks for, with its checksum where that is asked for too.
func (c *call) rangeOf(r *record) (span, error) {
	text := c.header("x-ms-range")
	if text == "" {
		text = c.header("Range")
	}
	part := parseRange(text, r.Size)
	if part.ranged && part.from >= r.Size {
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", r.Size))
		return part, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
			"The range specified is invalid for the current size of the resource.")
	}
	return part, c.sumRange(r, &part)
}

// sumRange computes the checksum of a range; it must be asked for with a range of at most 4 MiB.
func (c *call) sumRange(r *record, part *span) error {
	wantMD5 := strings.EqualFold(c.header("x-ms-range-get-content-md5"), "true")
	wantCRC := strings.EqualFold(c.header("x-ms-range-get-content-crc64"), "true")
	if !wantMD5 && !wantCRC {
		return nil
	}
	if wantMD5 && wantCRC || !part.ranged || part.length > maxRangeHash {
		name := "x-ms-range-get-content-md5"
		if wantCRC {
			name = "x-ms-range-get-content-crc64"
		}
		return invalidHeader(name, "true")
	}
	sum, crc := md5.New(), crc64.New(c.s.crc.table)
	both := io.MultiWriter(sum, crc)
	if err := c.s.contents.copyTo(both, r.Segments, part.from, part.length); err != nil {
		return err
	}
	if wantMD5 {
		part.md5 = sum.Sum(nil)
	} else {
		part.crc = crcText(crc.Sum64())
	}
	return nil
}

// sendContent answers a GET with the whole content or a part of it.
func (c *call) sendContent(r *record, part span) error {
	h := c.w.Header()
	whole := base64.StdEncoding.EncodeToString(r.MD5)
	status := http.StatusOK
	switch {
	case part.ranged:
		status = http.StatusPartialContent
		h.Set("Content-Range",
			fmt.Sprintf("bytes %d-%d/%d", part.from, part.from+part.length-1, r.Size))
		if r.MD5 != nil {
			h.Set("x-ms-blob-content-md5", whole)
		}
		if part.md5 != nil {
			h.Set("Content-MD5", base64.StdEncoding.EncodeToString(part.md5))
		}
		if part.crc != "" {
			h.Set("x-ms-content-crc64", part.crc)
		}
	case r.MD5 != nil:
		h.Set("Content-MD5", whole)
	}
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	c.w.WriteHeader(status)
	if err := c.s.contents.copyTo(c.w, r.Segments, part.from, part.length); err != nil {
		if c.r.Context().Err() == nil {
			c.s.logger.Error("blob read cut off", "path", c.r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler) // the length is promised: only a broken connection tells the truth
	}
	return nil
}

// parseRange reads "bytes=from-to" and "bytes=from-"; any other text means the whole content, as
// the vendor has it (suffix ranges are not supported there).
func parseRange(text string, size int64) span {
	whole := span{length: size}
	text, ok := strings.CutPrefix(text, "bytes=")
	first, last, dash := strings.Cut(text, "-")
	if !ok || !dash {
		return whole
	}
	from, ok := offset(first)
	if !ok {
		return whole
	}
	to := size - 1
	if last != "" {
		n, ok := offset(last)
		if !ok || n < from {
			return whole
		}
		to = min(n, to)
	}
	return span{from: from, length: to - from + 1, ranged: true}
}

// offset reads a number of bytes, digits alone. Numbers past 2^63-1 are that: past every blob's end.
func offset(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}
