package blob

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// Limits of https://learn.microsoft.com/azure/storage/blobs/scalability-targets.
const (
	maxPutBlob     = 5000 << 20
	maxPutBlock    = 4000 << 20
	maxAppendBlock = 100 << 20
	maxBlocks      = 50_000
	maxUncommitted = 100_000
	maxBlockID     = 64 // bytes, decoded
)

// checksums are what a request says its body hashes to.
type checksums struct {
	md5    []byte
	crc    uint64
	hasCRC bool
}

// checksumsOf reads the first MD5 header of the given names that is set, and x-ms-content-crc64.
func checksumsOf(h http.Header, md5Names ...string) (checksums, *auth.StorageError) {
	var out checksums
	for _, name := range md5Names {
		text := h.Get(name)
		if text == "" {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != md5.Size {
			return out, badRequest("InvalidMd5", "The MD5 value specified in the request is invalid. "+
				"MD5 value must be 128 bits and base64 encoded.")
		}
		out.md5 = sum
		break
	}
	if text := h.Get("x-ms-content-crc64"); text != "" {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != 8 {
			return out, invalidHeader("x-ms-content-crc64", text)
		}
		out.crc, out.hasCRC = binary.LittleEndian.Uint64(sum), true
	}
	return out, nil
}

func (c checksums) verify(sum []byte, crc uint64) *auth.StorageError {
	if c.md5 != nil && !bytes.Equal(c.md5, sum) {
		e := badRequest("Md5Mismatch", "The MD5 value specified in the request did not match with "+
			"the MD5 value calculated by the server.")
		e.Details = []string{
			"UserSpecifiedMd5", base64.StdEncoding.EncodeToString(c.md5),
			"ServerCalculatedMd5", base64.StdEncoding.EncodeToString(sum),
		}
		return e
	}
	if c.hasCRC && c.crc != crc {
		e := badRequest("Crc64Mismatch", "The CRC64 value specified in the request did not match "+
			"with the CRC64 value calculated by the server.")
		e.Details = []string{"UserSpecifiedCrc", crcText(c.crc), "ServerCalculatedCrc", crcText(crc)}
		return e
	}
	return nil
}

// crcText renders a CRC-64 as headers carry it: base64 of eight little-endian bytes.
func crcText(sum uint64) string {
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, sum))
}

// body streams the request's body into a segment and verifies it. On an error nothing stays behind. The MD5, which costs more than
// all else, is computed where the request names one and where the caller keeps it.
func (c *call) body(limit int64, keepMD5 bool, md5Names ...string) (staged, []byte, error) {
	if c.r.ContentLength < 0 {
		return staged{}, nil, fail(http.StatusLengthRequired, "MissingContentLengthHeader",
			"The Content-Length header was not specified.")
	}
	if c.r.ContentLength > limit {
		return staged{}, nil, bodyTooLarge(strconv.FormatInt(limit, 10))
	}
	if c.header("x-ms-structured-body") != "" {
		return staged{}, nil, notImplemented()
	}
	sums, refusal := checksumsOf(c.r.Header, md5Names...)
	if refusal != nil {
		return staged{}, nil, refusal
	}
	sum := md5.New()
	var more []hash.Hash
	if keepMD5 || sums.md5 != nil {
		more = append(more, sum)
	}
	content, err := c.s.contents.write(exactly(c.r.Body, c.r.ContentLength), more...)
	if err != nil {
		return staged{}, nil, err
	}
	if refusal := sums.verify(sum.Sum(nil), content.CRC); refusal != nil {
		c.s.contents.remove([]segment{content.segment})
		return staged{}, nil, refusal
	}
	return content, sum.Sum(nil), nil
}

// exactly fails a body that ends before size bytes, so that no cut-off upload is taken for a whole
// one.
func exactly(body io.Reader, size int64) io.Reader { return &exactReader{body, size} }

type exactReader struct {
	body io.Reader
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// write holds what every operation that changes a blob checks: conditions, lease, overwriting.
type write struct {
	cond    conditions
	leaseID string
	create  bool // the grant forbids to replace a blob
}

func (c *call) writing() (write, *auth.StorageError) {
	cond, refusal := conditionsOf(c.r.Header, "")
	return write{cond, c.header("x-ms-lease-id"), c.grant.CreateOnly}, refusal
}

// allow refuses a change of the blob whose state is cur, nil for none.
func (w write) allow(cur *record, now time.Time) *auth.StorageError {
	if refusal := w.cond.write(cur); refusal != nil {
		return refusal
	}
	if cur == nil {
		if w.leaseID != "" {
			return preconditionFailed("LeaseNotPresentWithBlobOperation",
				"There is currently no lease on the blob.")
		}
		return nil
	}
	if w.create {
		return fail(http.StatusForbidden, "UnauthorizedBlobOverwrite",
			"This request is not authorized to perform blob overwrites.")
	}
	return cur.Lease.guard(w.leaseID, "Blob", now, false)
}

// precheck refuses before the body is read what would be refused after it.
func (c *call) precheck(w write) error {
	owner, err := c.s.container(c.container)
	if err != nil {
		return err
	}
	cur, err := c.s.record(owner.UID, c.blob, kindCurrent, "")
	if err != nil {
		return err
	}
	if refusal := w.allow(cur, c.now); refusal != nil {
		return refusal
	}
	return nil
}

// putBlob is Put Blob, Put Blob From URL and Copy Blob, which share their method and path.
func (c *call) putBlob() error {
	kind := c.header("x-ms-blob-type")
	source := c.header("x-ms-copy-source")
	switch {
	case source != "" && kind == "":
		return c.copyBlob(source)
	case kind == "":
		return missingHeader("x-ms-blob-type")
	case kind == "PageBlob":
		return notImplemented()
	case kind != blockBlob && kind != appendBlob:
		return invalidHeader("x-ms-blob-type", kind)
	case source != "":
		return c.putFromURL(source)
	case kind == appendBlob && c.r.ContentLength != 0:
		return invalidHeader("Content-Length", strconv.FormatInt(c.r.ContentLength, 10))
	}
	return c.upload(kind)
}

// upload is Put Blob with a body.
func (c *call) upload(kind string) error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	if refusal := checkTier(c.header("x-ms-access-tier")); refusal != nil {
		return refusal
	}
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	if err := c.precheck(w); err != nil {
		return err
	}
	content, sum, err := c.body(maxPutBlob, true, "x-ms-blob-content-md5", "Content-MD5")
	if err != nil {
		return err
	}
	r := &record{
		Type: kind, Size: content.Size, CRC: content.CRC, MD5: sum, Meta: meta,
		Headers: headersOf(c.r.Header, true), Tier: c.header("x-ms-access-tier"),
	}
	if content.Size > 0 {
		r.Segments = []segment{content.segment}
	}
	if kind == appendBlob {
		r.MD5 = nil
	}
	if err := c.replace(w, r, content); err != nil {
		c.s.contents.remove([]segment{content.segment})
		return err
	}
	c.w.Header().Set("x-ms-content-crc64", crcText(r.CRC))
	if kind == blockBlob {
		c.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum))
	}
	c.created(r)
	return nil
}

// replace makes r the state of the blob, in the place of whatever is there; its segments are new.
func (c *call) replace(w write, r *record, inline ...staged) error {
	return c.s.change(c.container, c.blob, func(t *tx) error {
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		if t.cur != nil && t.cur.Type != r.Type && r.Type == appendBlob {
			return invalidBlobType()
		}
		return t.install(r, c.now, nil, inline...)
	})
}

// install puts a new state in the place of the current one, which keeps its creation time and
// lease; uncommitted blocks are discarded. The kept segments move from the old state or its
// uncommitted blocks to the new one.
func (t *tx) install(r *record, now time.Time, kept []segment, inline ...staged) error {
	t.touch(r, now, true)
	r.Created = now
	if t.cur != nil {
		r.Created, r.Lease = t.cur.Created, t.cur.Lease
	}
	if err := t.retire(kept); err != nil {
		return err
	}
	keep := map[uint64]bool{}
	for _, s := range kept {
		keep[s.ID] = true
	}
	if err := t.discardBlocks(keep); err != nil {
		return err
	}
	t.event = &Event{
		API: "PutBlob", ETag: etagOf(r.Tick), Size: r.Size, ContentType: r.Headers.Type, Tick: r.Tick, At: now,
	}
	return t.set(r, inline...)
}

// created answers a finished write.
func (c *call) created(r *record) {
	h := c.w.Header()
	stamp(h, r.Tick, r.Modified)
	h.Set("x-ms-request-server-encrypted", "true")
	if r.Version != "" {
		h.Set("x-ms-version-id", r.Version)
	}
	c.w.WriteHeader(http.StatusCreated)
}
