package blob

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
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

// find reads the blob that the request names, or its snapshot or version. BlobNotFound comes with the
// container all the same.
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

// lookup reads a blob, or one of its snapshots or versions where one is named; nil when there is none.
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
	return c.sendContent(r)
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

// overrides puts the response headers that a shared access signature carries in place of the blob's.
func (c *call) overrides() {
	if c.grant.FullKey {
		return
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

// sendContent answers a GET with the whole content or a range of it.
func (c *call) sendContent(r *record) error {
	h := c.w.Header()
	text := c.header("x-ms-range")
	if text == "" {
		text = c.header("Range")
	}
	from, length, ranged := parseRange(text, r.Size)
	if ranged && from >= r.Size {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", r.Size))
		return fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
			"The range specified is invalid for the current size of the resource.")
	}
	if err := c.rangeSum(r, from, length, ranged); err != nil {
		return err
	}
	status := http.StatusOK
	if ranged {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+length-1, r.Size))
		if r.MD5 != nil {
			h.Set("x-ms-blob-content-md5", base64.StdEncoding.EncodeToString(r.MD5))
		}
	} else if r.MD5 != nil {
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(r.MD5))
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	c.w.WriteHeader(status)
	if err := c.s.contents.copyTo(c.w, r.Segments, from, length); err != nil {
		if c.r.Context().Err() == nil {
			c.s.logger.Error("blob read cut off", "path", c.r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler) // the length is promised: only a broken connection tells the truth
	}
	return nil
}

// rangeSum sets the checksum of a range where the request asks for one.
func (c *call) rangeSum(r *record, from, length int64, ranged bool) error {
	wantMD5 := strings.EqualFold(c.header("x-ms-range-get-content-md5"), "true")
	wantCRC := strings.EqualFold(c.header("x-ms-range-get-content-crc64"), "true")
	if !wantMD5 && !wantCRC {
		return nil
	}
	if wantMD5 && wantCRC || !ranged || length > maxRangeHash {
		name := "x-ms-range-get-content-md5"
		if wantCRC {
			name = "x-ms-range-get-content-crc64"
		}
		return invalidHeader(name, "true")
	}
	var sum hash.Hash = md5.New()
	if wantCRC {
		sum = crc64.New(c.s.crc.table)
	}
	if err := c.s.contents.copyTo(sum, r.Segments, from, length); err != nil {
		return err
	}
	if crc, ok := sum.(hash.Hash64); ok {
		c.w.Header().Set("x-ms-content-crc64", crcText(crc.Sum64()))
	} else {
		c.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	}
	return nil
}

// parseRange reads "bytes=from-to" and "bytes=from-"; any other text means the whole content, as the
// vendor has it (suffix ranges are not supported there).
func parseRange(text string, size int64) (from, length int64, ranged bool) {
	text, ok := strings.CutPrefix(text, "bytes=")
	first, last, dash := strings.Cut(text, "-")
	if !ok || !dash {
		return 0, size, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, size, false
	}
	to := size - 1
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return 0, size, false
		}
		to = min(n, to)
	}
	return from, to - from + 1, true
}
