package s3

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// target names an object, or one version of it.
type target struct {
	bucket, key string
	version     string // "" is the current one
}

// find reads one version; nil where there is none. The second result is its row.
func (s *Server) find(t target) (*object, row, error) {
	current := &object{}
	at := objectRow(t.bucket, t.key)
	ok, err := s.get(at, current)
	if err != nil {
		return nil, nil, err
	}
	if ok && (t.version == "" || t.version == current.Version) {
		return current, at, nil
	}
	if t.version == "" {
		return nil, nil, nil
	}
	if t.version == nullVersion {
		return s.findNull(t)
	}
	seq, ok := seqOfVersion(t.version)
	if !ok {
		return nil, nil, invalidArgument("versionId", t.version, "Invalid version id specified")
	}
	old := &object{}
	at = versionRow(t.bucket, t.key, seq)
	if ok, err = s.get(at, old); err != nil || !ok {
		return nil, nil, err
	}
	return old, at, nil
}

// findNull looks for the null version among those that are not current. There is at most one.
func (s *Server) findNull(t target) (found *object, at row, err error) {
	err = s.scan(versionPrefix(t.bucket, t.key), nil, func(k, v []byte) (bool, error) {
		o := &object{}
		if err := unmarshal(v, o); err != nil {
			return false, err
		}
		if o.Version == nullVersion {
			found, at = o, append(row(nil), k...)
		}
		return found == nil, nil
	})
	return found, at, err
}

// newest returns the newest version that is not current.
func (s *Server) newest(bucket, key string) (found *object, at row, err error) {
	err = s.scan(versionPrefix(bucket, key), nil, func(k, v []byte) (bool, error) {
		found, at = &object{}, append(row(nil), k...)
		return false, unmarshal(v, found)
	})
	return found, at, err
}

// conditions are the preconditions of a write, decided under the key's lock.
type conditions struct {
	ifMatch     string // an ETag without quotes, or "*"
	ifNoneMatch bool   // create only
	deleting    bool
}

// writeConditions reads If-Match and If-None-Match of a request that writes.
func writeConditions(h http.Header) (conditions, error) {
	c := conditions{ifMatch: strings.Trim(h.Get("If-Match"), `"`)}
	if v := h.Get("If-None-Match"); v != "" {
		if v != "*" {
			return c, notImplemented("If-None-Match")
		}
		c.ifNoneMatch = true
	}
	if c.ifMatch != "" && c.ifNoneMatch {
		return c, notImplemented("If-Match")
	}
	return c, nil
}

func (c conditions) check(current *object, key string) error {
	exists := current != nil && !current.Marker
	switch {
	case c.ifNoneMatch && exists:
		return preconditionFailed("If-None-Match")
	case c.ifMatch == "":
		return nil
	case !exists && current != nil && c.deleting:
		return preconditionFailed("If-Match")
	case !exists:
		return noSuchKey(key)
	case c.ifMatch != "*" && c.ifMatch != current.ETag:
		return preconditionFailed("If-Match")
	}
	return nil
}

// write is one change of a key: a new version in place of the current state.
type write struct {
	bucket, key string
	next        *object // Seq, Version and Modified are filled in
	body        stored
	cond        conditions
	reason      string
	extra       func(*pebble.Batch) error // more rows for the same commit; may be nil
}

// commit makes a write durable, or refuses it and discards its body. On success next is what was
// stored.
func (s *Server) commit(w write) error {
	files, err := s.commitLocked(w)
	if err != nil {
		s.discard(w.body)
		return err
	}
	s.sweep(files)
	return nil
}

func (s *Server) commitLocked(w write) (files []string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucketLocked(w.bucket)
	if err != nil {
		return nil, err
	}
	defer s.lockKey(w.bucket, w.key)()
	current, _, err := s.find(target{w.bucket, w.key, ""})
	if err != nil {
		return nil, err
	}
	if err := w.cond.check(current, w.key); err != nil {
		return nil, err
	}
	now := s.cfg.Clock()
	if w.next.Seq, err = s.nextSeq(now); err != nil {
		return nil, err
	}
	w.next.Modified, w.next.Version = now.UnixMilli(), nullVersion
	if b.Versioning == "Enabled" {
		w.next.Version = versionID(w.next.Seq)
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if files, err = s.displace(batch, w, current); err != nil {
		return nil, err
	}
	if err := s.stage(batch, w.body); err != nil {
		return nil, err
	}
	if err := put(batch, objectRow(w.bucket, w.key), w.next); err != nil {
		return nil, err
	}
	if w.extra != nil {
		if err := w.extra(batch); err != nil {
			return nil, err
		}
	}
	if err := batch.Commit(store.Sync); err != nil {
		return nil, fmt.Errorf("commit object: %w", err)
	}
	s.announce(w.bucket, w.key, b, w.next, w.next.Seq, w.reason, now)
	return files, nil
}

// displace makes room for the next current version: the present one becomes an older version, or is
// let go where the next takes its place (both null). An older null version is let go when a new
// null version comes.
func (s *Server) displace(batch *pebble.Batch, w write, current *object) (files []string,
	err error,
) {
	replaces := w.next.Version == nullVersion
	if current != nil {
		if replaces && current.Version == nullVersion {
			return s.release(batch, current.Body)
		}
		if err := put(batch, versionRow(w.bucket, w.key, current.Seq), current); err != nil {
			return nil, err
		}
	}
	if !replaces {
		return nil, nil
	}
	old, at, err := s.findNull(target{w.bucket, w.key, nullVersion})
	if err != nil || old == nil {
		return nil, err
	}
	if files, err = s.release(batch, old.Body); err != nil {
		return nil, err
	}
	return files, batch.Delete(at, nil)
}

// announce tells OnChange the key's current state. o nil: nothing is left.
func (s *Server) announce(bucket, key string, b bucketRow, o *object, seq uint64, reason string,
	now time.Time,
) {
	if s.cfg.OnChange == nil && len(b.Notifications) == 0 {
		return
	}
	e := Event{Bucket: bucket, Key: key, Reason: reason, At: now, Deleted: o == nil || o.Marker}
	e.Sequencer = fmt.Sprintf("%016X", seq)
	if o != nil {
		e.ETag, e.Size, e.Marker = o.ETag, o.Size, o.Marker
		if b.Versioning != "" {
			e.VersionID = o.Version
		}
	}
	s.notify(b, e)
	if s.cfg.OnChange != nil {
		s.cfg.OnChange(e)
	}
}

// expectBucketOwner checks x-amz-expected-bucket-owner and its twin for copy sources.
func (s *Server) expectBucketOwner(h http.Header) error {
	for _, name := range []string{
		"X-Amz-Expected-Bucket-Owner",
		"X-Amz-Source-Expected-Bucket-Owner",
	} {
		if v := h.Get(name); v != "" && v != s.cfg.AccountID {
			return fail(http.StatusForbidden, "AccessDenied", "Access Denied")
		}
	}
	return nil
}

func quote(etag string) string { return `"` + etag + `"` }

// intParam reads a whole number of a query, with a default and the vendor's bounds.
func intParam(name, value string, def, most int) (int, error) {
	if value == "" {
		return def, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1<<31-1 {
		return 0, invalidArgument(name, value, "Argument "+name+" must be an integer between 0 and "+
			"2147483647")
	}
	return min(n, most), nil
}
