package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// deletion is the outcome of deleting one key or version.
type deletion struct {
	// of the marker that was made, or the version that was removed; "" where there is none
	version string
	marker  bool
}

// remove deletes the current version (or lays a marker on it) or one version for good. Removing
// nothing is no error.
func (s *Server) remove(t target, cond conditions, reason string) (deletion, error) {
	b, err := s.bucket(t.bucket)
	if err != nil {
		return deletion{}, err
	}
	if t.version == "" && b.Versioning != "" {
		marker := &object{Marker: true}
		err := s.commit(write{bucket: t.bucket, key: t.key, next: marker, cond: cond, reason: reason})
		return deletion{marker.Version, true}, err
	}
	d, files, err := s.removeVersion(t, cond, reason)
	if err != nil {
		return deletion{}, err
	}
	s.sweep(files)
	return d, nil
}

func (s *Server) removeVersion(t target, cond conditions, reason string) (deletion, []string,
	error,
) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucketLocked(t.bucket)
	if err != nil {
		return deletion{}, nil, err
	}
	defer s.lockKey(t.bucket, t.key)()
	current, _, err := s.find(target{t.bucket, t.key, ""})
	if err != nil {
		return deletion{}, nil, err
	}
	if err := cond.check(current, t.key); err != nil {
		return deletion{}, nil, err
	}
	o, at, err := s.find(t)
	if err != nil || o == nil {
		return deletion{version: t.version}, nil, err
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	files, err := s.release(batch, o.Body)
	if err != nil {
		return deletion{}, nil, err
	}
	next := current
	if err := batch.Delete(at, nil); err != nil {
		return deletion{}, nil, err
	}
	if o.Seq == current.Seq {
		if next, err = s.promote(batch, t); err != nil {
			return deletion{}, nil, err
		}
	}
	now := s.cfg.Clock()
	seq, err := s.nextSeq(now)
	if err != nil {
		return deletion{}, nil, err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return deletion{}, nil, fmt.Errorf("commit delete: %w", err)
	}
	if o.Seq == current.Seq {
		s.announce(t.bucket, t.key, b, next, seq, reason, now)
	}
	return deletion{t.version, o.Marker}, files, nil
}

// promote makes the newest older version the current one, after the current one has gone.
func (s *Server) promote(batch *pebble.Batch, t target) (*object, error) {
	old, at, err := s.newest(t.bucket, t.key)
	if err != nil || old == nil {
		return nil, err
	}
	if err := batch.Delete(at, nil); err != nil {
		return nil, err
	}
	return old, put(batch, objectRow(t.bucket, t.key), old)
}

func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request, t target) error {
	cond := conditions{ifMatch: strings.Trim(r.Header.Get("If-Match"), `"`), deleting: true}
	d, err := s.remove(t, cond, "DeleteObject")
	if err != nil {
		return err
	}
	if d.version != "" {
		w.Header().Set("x-amz-version-id", d.version)
	}
	if d.marker {
		w.Header().Set("x-amz-delete-marker", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readXML reads a request document of up to maxDocument bytes, and checks its Content-MD5 or
// checksum.
func readXML(r *http.Request, into any) error {
	want, err := wantedSums(r.Header)
	if err != nil {
		return err
	}
	d := newDigest(want.algorithm)
	body, err := io.ReadAll(io.TeeReader(io.LimitReader(r.Body, maxDocument+1), d))
	if err != nil {
		return bodyError(err)
	}
	if len(body) > maxDocument {
		return badRequest("MaxMessageLengthExceeded", "Your request was too big.")
	}
	if err := d.check(want, r.Trailer); err != nil {
		return err
	}
	if err := xml.Unmarshal(body, into); err != nil {
		return malformedXML()
	}
	return nil
}

const maxDeletes = 1000 // objects of one DeleteObjects

func (s *Server) deleteObjects(w http.ResponseWriter, r *http.Request, t target) error {
	var in struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []struct{ Key, VersionId, ETag string }
	}
	if err := readXML(r, &in); err != nil {
		return err
	}
	if len(in.Object) == 0 || len(in.Object) > maxDeletes {
		return malformedXML()
	}
	if _, err := s.bucket(t.bucket); err != nil {
		return err
	}
	results := make([]deletion, len(in.Object))
	errs := make([]error, len(in.Object))
	inParallel(len(in.Object), func(i int) {
		o := in.Object[i]
		cond := conditions{ifMatch: strings.Trim(o.ETag, `"`), deleting: true}
		results[i], errs[i] = s.removeChecked(target{t.bucket, o.Key, o.VersionId}, cond)
	})
	d := newXML("DeleteResult")
	for i, o := range in.Object {
		if errs[i] != nil {
			s.logInternal(r, errs[i])
			d.deleteError(o.Key, o.VersionId, asAPIError(errs[i]))
		} else if !in.Quiet {
			d.deleted(o.Key, o.VersionId, results[i])
		}
	}
	d.send(w, "DeleteResult")
	return nil
}

// inParallel calls fn for 0 to n-1, a few at a time, so that their commits share fsyncs.
func inParallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(n, 16) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

func (s *Server) removeChecked(t target, cond conditions) (deletion, error) {
	if err := checkKey(t.key); err != nil {
		return deletion{}, err
	}
	return s.remove(t, cond, "DeleteObjects")
}

func (d *xmlDoc) deleted(key, version string, done deletion) {
	d.open("Deleted")
	d.leaf("Key", key)
	d.some("VersionId", version)
	if done.marker {
		d.leaf("DeleteMarker", strconv.FormatBool(true))
		d.some("DeleteMarkerVersionId", done.version)
	}
	d.close("Deleted")
}

func (d *xmlDoc) deleteError(key, version string, e *apiError) {
	d.open("Error")
	d.leaf("Key", key)
	d.some("VersionId", version)
	d.leaf("Code", e.code)
	d.leaf("Message", e.message)
	d.close("Error")
}
