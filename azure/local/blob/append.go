package blob

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// appendBlock is Append Block: https://learn.microsoft.com/rest/api/storageservices/append-block.
func (c *call) appendBlock() error {
	if c.header("x-ms-copy-source") != "" {
		return notImplemented()
	}
	if c.r.ContentLength == 0 {
		return invalidHeader("Content-Length", "0")
	}
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	w.create = false
	content, _, err := c.body(maxAppendBlock, false, "Content-MD5")
	if err != nil {
		return err
	}
	var r record
	err = c.s.change(c.container, c.blob, func(t *tx) error {
		if t.cur == nil {
			return blobNotFound()
		}
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		if refusal := c.allowAppend(t.cur, content.Size); refusal != nil {
			return refusal
		}
		r = *t.cur
		r.Segments = append(slices.Clone(r.Segments), content.segment)
		r.CRC = t.s.crc.join(r.CRC, content.CRC, content.Size)
		r.Size += content.Size
		r.MD5 = nil
		t.touch(&r, c.now, false)
		return t.set(&r, content)
	})
	if err != nil {
		c.s.contents.remove([]segment{content.segment})
		return err
	}
	h := c.w.Header()
	h.Set("x-ms-blob-append-offset", strconv.FormatInt(r.Size-content.Size, 10))
	h.Set("x-ms-blob-committed-block-count", strconv.Itoa(len(r.Segments)))
	h.Set("x-ms-content-crc64", crcText(content.CRC))
	c.created(&r)
	return nil
}

// allowAppend checks type, the limit of blocks and the two conditions of its own.
func (c *call) allowAppend(cur *record, size int64) *auth.StorageError {
	if cur.Type != appendBlob {
		return invalidBlobType()
	}
	if len(cur.Segments) >= maxBlocks {
		return conflict("BlockCountExceedsLimit",
			"The committed block count cannot exceed the maximum limit of 50,000 blocks.")
	}
	for name, check := range map[string]func(limit int64) *auth.StorageError{
		"x-ms-blob-condition-maxsize": func(limit int64) *auth.StorageError {
			if cur.Size+size > limit {
				return fail(http.StatusPreconditionFailed, "MaxBlobSizeConditionNotMet",
					"The max blob size condition specified was not met.")
			}
			return nil
		},
		"x-ms-blob-condition-appendpos": func(position int64) *auth.StorageError {
			if cur.Size != position {
				return fail(http.StatusPreconditionFailed, "AppendPositionConditionNotMet",
					"The append position condition specified was not met.")
			}
			return nil
		},
	} {
		text := c.header(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return invalidHeader(name, text)
		}
		if refusal := check(n); refusal != nil {
			return refusal
		}
	}
	return nil
}
