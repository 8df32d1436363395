package proa

import "time"

// Announcement tells the nodes, outside the cloud that may be lost next, that a region has acknowledged a write. function.Table and
// function.Bucket send one for each write before they return, so that after the loss of a region proa can list
// the acknowledged writes that its change feed never gave. It carries no content and is best effort: it never fails a write.
type Announcement struct {
	Region  Region    `json:"region"`
	Table   string    `json:"table,omitempty"` // set for an item
	Key     Item      `json:"key,omitempty"`   // the item's key attributes
	Version Version   `json:"version,omitzero"`
	Bucket  string    `json:"bucket,omitempty"` // set for an object
	Object  string    `json:"object,omitempty"`
	ETag    string    `json:"etag,omitempty"` // the object's, at Region; "" when it was deleted
	Deleted bool      `json:"deleted,omitempty"`
	At      time.Time `json:"at"`
}
