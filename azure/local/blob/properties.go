package blob

import (
	"maps"
	"net/http"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// alter changes the description of an existing blob under its conditions and lease, and answers
// 200. newVersion says that the operation makes a version where versions are kept.
func (c *call) alter(newVersion bool, edit func(*record)) error {
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	w.create = false
	var fresh []segment
	var r record
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if t.cur == nil {
			return blobNotFound()
		}
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		r = *t.cur
		edit(&r)
		t.touch(&r, c.now, newVersion)
		var inline []staged
		if newVersion && t.s.versioning {
			var err error
			if fresh, inline, err = t.s.contents.clone(r.Segments); err != nil {
				return err
			}
			r.Segments = fresh
			if err := t.retire(nil); err != nil {
				return err
			}
		}
		return t.set(&r, inline...)
	})
	if err != nil {
		c.s.contents.remove(fresh)
		return err
	}
	h := c.w.Header()
	stamp(h, r.Tick, r.Modified)
	if newVersion {
		h.Set("x-ms-request-server-encrypted", "true")
		if r.Version != "" {
			h.Set("x-ms-version-id", r.Version)
		}
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// setMetadata is Set Blob Metadata.
func (c *call) setMetadata() error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	return c.alter(true, func(r *record) { r.Meta = meta })
}

// setProperties is Set Blob Properties: what is not given is cleared.
func (c *call) setProperties() error {
	if c.header("x-ms-blob-content-length") != "" || c.header("x-ms-sequence-number-action") != "" {
		return invalidBlobType() // these are of page blobs
	}
	sums, refusal := checksumsOf(http.Header{
		"X-Ms-Blob-Content-Md5": c.r.Header["X-Ms-Blob-Content-Md5"],
	}, "x-ms-blob-content-md5")
	if refusal != nil {
		return refusal
	}
	return c.alter(false, func(r *record) {
		r.Headers, r.MD5 = headersOf(c.r.Header, false), sums.md5
	})
}

// checkTier accepts the online tiers; archived blobs could not be read.
func checkTier(tier string) *auth.StorageError {
	switch tier {
	case "", "Hot", "Cool", "Cold":
		return nil
	case "Archive":
		return notImplemented()
	}
	return invalidHeader("x-ms-access-tier", tier)
}

// setTier is Set Blob Tier. Neither ETag nor time change.
func (c *call) setTier() error {
	tier := c.header("x-ms-access-tier")
	if tier == "" {
		return missingHeader("x-ms-access-tier")
	}
	if refusal := checkTier(tier); refusal != nil {
		return refusal
	}
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if t.cur == nil {
			return blobNotFound()
		}
		if t.cur.Type != blockBlob {
			return invalidBlobType()
		}
		if refusal := t.cur.Lease.guard(c.header("x-ms-lease-id"), "Blob", c.now, true); refusal != nil {
			return refusal
		}
		r := *t.cur
		r.Tier, r.TierTime = tier, c.now
		return t.set(&r)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// snapshot is Snapshot Blob: a read-only copy of the blob as it is now.
func (c *call) snapshot() error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	w.create = false
	var fresh []segment
	moment := ""
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if t.cur == nil {
			return blobNotFound()
		}
		if refusal := w.cond.write(t.cur); refusal != nil {
			return refusal
		}
		if refusal := t.cur.Lease.guard(w.leaseID, "Blob", c.now, true); refusal != nil {
			return refusal
		}
		r := *t.cur
		r.Lease, r.Version = nil, ""
		moment = momentOf(t.s.nextTick(c.now))
		if meta != nil {
			r.Meta = maps.Clone(meta)
			t.touch(&r, c.now, false)
		}
		var inline []staged
		var err error
		if fresh, inline, err = t.s.contents.clone(r.Segments); err != nil {
			return err
		}
		r.Segments = fresh
		for _, s := range inline {
			if err := s.into(t.batch); err != nil {
				return err
			}
		}
		stamp(c.w.Header(), r.Tick, r.Modified)
		return t.batch.Set(t.key(kindSnapshot, moment), encode(&r), nil)
	})
	if err != nil {
		c.s.contents.remove(fresh)
		return err
	}
	c.w.Header().Set("x-ms-snapshot", moment)
	c.w.Header().Set("x-ms-request-server-encrypted", "true")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}
