package blob

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// deleteBlob is Delete Blob: https://learn.microsoft.com/rest/api/storageservices/delete-blob.
func (c *call) deleteBlob() error {
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	w.create = false
	snapshots := strings.ToLower(c.header("x-ms-delete-snapshots"))
	if snapshots != "" && snapshots != "include" && snapshots != "only" {
		return invalidHeader("x-ms-delete-snapshots", snapshots)
	}
	snapshot, version := c.get("snapshot"), c.get("versionid")
	permanent := "true"
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if snapshot != "" || version != "" {
			if snapshots != "" {
				return badRequest("InvalidOperation", "Invalid operation against a blob snapshot.")
			}
			return t.deletePart(w, c, snapshot, version)
		}
		if t.cur == nil {
			return blobNotFound()
		}
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		if t.s.versioning && snapshots != "only" {
			permanent = "false"
		}
		return t.deleteBase(snapshots)
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("x-ms-delete-type-permanent", permanent)
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// deletePart removes one snapshot or one older version.
func (t *tx) deletePart(w write, c *call, snapshot, version string) error {
	kind, suffix := byte(kindSnapshot), snapshot
	if version != "" {
		kind, suffix = kindVersion, version
		if t.cur != nil && t.cur.Version == version {
			return conflict("OperationNotAllowedOnRootBlob",
				"The current version of a blob cannot be deleted by its version id.")
		}
	}
	r, err := t.s.record(t.uid, t.name, kind, suffix)
	if err != nil {
		return err
	}
	if r == nil {
		return blobNotFound()
	}
	if refusal := w.cond.write(r); refusal != nil {
		return refusal
	}
	t.bury(r.Segments, nil)
	return t.batch.Delete(t.key(kind, suffix), nil)
}

// deleteBase removes the blob, or its snapshots, or both.
func (t *tx) deleteBase(snapshots string) error {
	var keys [][]byte
	var dead []segment
	iter, err := t.s.db.NewIter(&pebble.IterOptions{
		LowerBound: t.key(kindSnapshot, ""), UpperBound: t.key(kindSnapshot+1, ""),
	})
	if err != nil {
		return err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		var r record
		if err := json.Unmarshal(iter.Value(), &r); err != nil {
			_ = iter.Close()
			return err
		}
		keys = append(keys, append([]byte(nil), iter.Key()...))
		dead = append(dead, r.Segments...)
	}
	if err := iter.Close(); err != nil {
		return err
	}
	if len(keys) > 0 && snapshots == "" && !t.s.versioning {
		return conflict("SnapshotsPresent",
			"This operation is not permitted because the blob has snapshots.")
	}
	if snapshots != "" {
		t.bury(dead, nil)
		for _, key := range keys {
			if err := t.batch.Delete(key, nil); err != nil {
				return err
			}
		}
	}
	if snapshots == "only" {
		return nil
	}
	if err := t.retire(nil); err != nil {
		return err
	}
	if err := t.discardBlocks(nil); err != nil {
		return err
	}
	now := t.s.clock()
	t.event = &Event{API: "DeleteBlob", Deleted: true, Tick: t.s.nextTick(now), At: now}
	return t.batch.Delete(t.key(kindCurrent, ""), nil)
}
