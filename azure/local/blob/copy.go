package blob

import (
	"crypto/md5"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// source is the blob that a copy reads. Call done when its segments are no longer needed.
type source struct {
	*record
	url  string
	done func()
}

// openSource finds the blob behind x-ms-copy-source, which must be one of this account.
func (c *call) openSource(text string) (source, error) {
	u, err := url.Parse(text)
	if err != nil {
		return source{}, invalidHeader("x-ms-copy-source", text)
	}
	rest, ok := strings.CutPrefix(u.Path, "/"+c.s.account+"/")
	containerName, name, _ := strings.Cut(rest, "/")
	if !ok || containerName == "" || name == "" {
		return source{}, badRequest("CopyAcrossAccountsNotSupported",
			"The copy source account and destination account must be the same.")
	}
	if refusal := c.authorizeSource(u); refusal != nil {
		return source{}, refusal
	}
	cond, refusal := conditionsOf(c.r.Header, "x-ms-source-")
	if refusal != nil {
		return source{}, refusal
	}
	out := source{url: text, done: c.s.contents.reading()}
	owner, err := c.s.container(containerName)
	if err == nil {
		query := u.Query()
		out.record, _, err = c.s.lookup(owner.UID, name, query.Get("snapshot"), query.Get("versionid"))
	}
	if err == nil && out.record == nil {
		err = blobNotFound()
	}
	if err == nil && cond.change(out.Tick, out.Modified) != nil {
		err = preconditionFailed("SourceConditionNotMet",
			"The source condition specified using HTTP conditional header(s) is not met.")
	}
	if err != nil {
		out.done()
	}
	return out, err
}

func (c *call) authorizeSource(u *url.URL) *auth.StorageError {
	if c.s.authorize == nil {
		return notImplemented()
	}
	get := &http.Request{
		Method: http.MethodGet, URL: u, Header: http.Header{}, Host: c.r.Host,
		RemoteAddr: c.r.RemoteAddr,
	}
	return c.s.authorize(get, c.grant)
}

// copyBlob is Copy Blob; within one account a copy is done when the request is answered.
func (c *call) copyBlob(text string) error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	from, err := c.openSource(text)
	if err != nil {
		return err
	}
	defer from.done()
	r := *from.record
	if meta != nil {
		r.Meta = meta
	}
	r.Copy = &copied{ID: auth.NewID(), Source: from.url, Done: c.now}
	if err := c.install(&r, from); err != nil {
		return err
	}
	h := c.w.Header()
	stamp(h, r.Tick, r.Modified)
	h.Set("x-ms-copy-id", r.Copy.ID)
	h.Set("x-ms-copy-status", "success")
	if strings.EqualFold(c.header("x-ms-requires-sync"), "true") {
		h.Set("x-ms-content-crc64", crcText(r.CRC))
	}
	if r.Version != "" {
		h.Set("x-ms-version-id", r.Version)
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// putFromURL is Put Blob From URL: a new block blob with the content of another.
func (c *call) putFromURL(text string) error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	sums, refusal := sourceSums(c.r.Header)
	if refusal != nil {
		return refusal
	}
	from, err := c.openSource(text)
	if err != nil {
		return err
	}
	defer from.done()
	r := *from.record
	r.Type, r.Copy, r.Meta, r.Tier = blockBlob, nil, meta, c.header("x-ms-access-tier")
	if strings.EqualFold(c.header("x-ms-copy-source-blob-properties"), "false") {
		r.Headers = headersOf(c.r.Header, false)
	}
	sum := md5.New()
	if err := c.s.contents.copyTo(sum, from.Segments, 0, from.Size); err != nil {
		return err
	}
	r.MD5 = sum.Sum(nil)
	if refusal := sums.verify(r.MD5, r.CRC); refusal != nil {
		return refusal
	}
	if err := c.install(&r, from); err != nil {
		return err
	}
	c.w.Header().Set("x-ms-content-crc64", crcText(r.CRC))
	c.created(&r)
	return nil
}

// sourceSums reads the checksums that the source of a copy must have.
func sourceSums(h http.Header) (checksums, *auth.StorageError) {
	renamed := http.Header{}
	renamed.Set("Content-MD5", h.Get("x-ms-source-content-md5"))
	renamed.Set("x-ms-content-crc64", h.Get("x-ms-source-content-crc64"))
	return checksumsOf(renamed, "Content-MD5")
}

// install makes a copy's record the state of the blob, with segments of its own.
func (c *call) install(r *record, from source) error {
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	r.Lease, r.Version = nil, ""
	segments, inline, err := c.s.contents.clone(from.Segments)
	if err != nil {
		return err
	}
	r.Segments = segments
	err = c.s.change(c.container, c.blob, func(t *tx) error {
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		if t.cur != nil && t.cur.Type != r.Type {
			return invalidBlobType()
		}
		return t.install(r, c.now, nil, inline...)
	})
	if err != nil {
		c.s.contents.remove(segments)
	}
	return err
}

// blockFromURL reads the content of Put Block From URL.
func (c *call) blockFromURL(text string) (staged, []byte, error) {
	if c.r.ContentLength > 0 {
		return staged{}, nil, invalidHeader("Content-Length", strconv.FormatInt(c.r.ContentLength, 10))
	}
	sums, refusal := sourceSums(c.r.Header)
	if refusal != nil {
		return staged{}, nil, refusal
	}
	from, err := c.openSource(text)
	if err != nil {
		return staged{}, nil, err
	}
	defer from.done()
	part := parseRange(c.header("x-ms-source-range"), from.Size)
	if part.from >= from.Size || part.length > maxPutBlock {
		return staged{}, nil, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
			"The range specified is invalid for the current size of the resource.")
	}
	body := c.s.contents.reader(from.Segments, part.from, part.length)
	defer body.Close()
	sum := md5.New()
	content, err := c.s.contents.write(body, sum)
	if err != nil {
		return staged{}, nil, err
	}
	if refusal := sums.verify(sum.Sum(nil), content.CRC); refusal != nil {
		c.s.contents.remove([]segment{content.segment})
		return staged{}, nil, refusal
	}
	return content, sum.Sum(nil), nil
}
