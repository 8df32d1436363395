// Package cloud is the seam between proa and the two clouds: small interfaces that the drivers in aws/ and azure/ fulfil through
// the vendors' official SDKs, and that the conformance suite in cloud/cloudtest checks.
//
// Every method honours its context, fails with an error that wraps one of the sentinels of package proa, and may be called
// from several goroutines. An error that wraps proa.ErrUnavailable leaves open whether the call took effect.
package cloud

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/proa-cloud/proa"
)

// Row is one stored state together with the side's own token for it.
type Row struct {
	Key   proa.Key
	Image proa.Image // the zero Image: nothing is stored
	// ETag is the store's token of exactly this state, "" where the store has none (DynamoDB) or nothing is stored.
	ETag string
}

// Table is one replicated table at one side.
type Table interface {
	Schema() proa.Schema

	// Get reads one key strongly consistently. Nothing stored is the zero Image and no error.
	Get(ctx context.Context, key proa.Key) (Row, error)

	// Swap puts next in the place of seen, if seen still is what is stored. When something else is stored, it fails with an error that
	// wraps proa.ErrConflict and returns that row, so that the loser arrives with the refusal. On success it returns the row
	// as now stored and, in replaced, the image that the write took the place of where the store tells (DynamoDB's ALL_OLD):
	// where a store cannot compare whole images atomically, replaced may differ from seen, and the caller must judge it.
	//
	// A seen row that exists but has no ETag is compared by its image, on a store that has ETags by reading it first.
	//
	// seen.Image zero means "nothing stored". next must exist; a tombstone image is stored as such. Attributes that are the same in seen
	// and next are not touched on DynamoDB (an UpdateItem of what differs); Cosmos replaces the document under its ETag.
	Swap(ctx context.Context, seen Row, next proa.Image) (now Row, replaced *proa.Image, err error)

	// Purge removes a tombstone image if it still is exactly seen; otherwise it fails as Swap does.
	Purge(ctx context.Context, seen Row) (now Row, err error)

	// Scan returns up to limit stored rows after the cursor ("" starts), tombstone images included, and the next cursor, "" at the end.
	Scan(ctx context.Context, cursor string, limit int) (rows []Row, next string, err error)
}

// Batch is one read of a feed.
type Batch struct {
	Changes []proa.Change // per key in the order in which they happened
	Next    string        // cursor after these changes; valid after a restart of either side
	More    bool          // more changes are known to wait: read again at once
	// Age, where it is not 0, is how long before the end of the call the feed's most backward part was last read to its end, as
	// where a service limits reads: changes made since may still come. AgeUnknown where a part has not been read to its end.
	// 0 says that without More the whole feed was read to its end by this call.
	Age time.Duration
}

// AgeUnknown is the Age of a Batch that says nothing of how far the feed has been read.
const AgeUnknown = time.Duration(math.MaxInt64)

// Feed is the ordered change feed of one table. It hides shards and feed ranges: a cursor covers all of them.
type Feed interface {
	// Now returns a cursor after everything that happened before the call.
	Now(ctx context.Context) (cursor string, err error)
	// Read returns the changes after the cursor, at once, without waiting for one. An error that wraps proa.ErrFeedGap says that
	// the cursor is older than what the feed retains: changes have been missed, and a scan must find them.
	Read(ctx context.Context, cursor string) (Batch, error)
}

// ObjectInfo describes one stored object.
type ObjectInfo struct {
	Name         string
	Size         int64
	ETag         string
	VersionID    string // "" where versioning is off
	ContentType  string
	Headers      Headers
	Metadata     map[string]string // user metadata, names in lower case
	LastModified time.Time
	CRC64        uint64 // CRC-64/NVME of the content
	HasCRC64     bool
}

// Headers are the content headers that both stores keep beside the content type. They say how a browser must treat the content, so they
// are part of what makes two objects equal.
type Headers struct {
	CacheControl       string `json:"cache_control,omitempty"`
	ContentDisposition string `json:"content_disposition,omitempty"`
	ContentEncoding    string `json:"content_encoding,omitempty"`
	ContentLanguage    string `json:"content_language,omitempty"`
}

// PutOptions are the conditions and the description of an upload. At most one condition may be set.
type PutOptions struct {
	ContentType string
	Headers     Headers
	Metadata    map[string]string
	IfMatch     string // replace only the object with this ETag
	IfNoneMatch bool   // create only: fail when there is an object of that name
}

// Bucket is one replicated bucket (S3) or container (Blob).
type Bucket interface {
	// List returns up to limit objects whose names come after the given one, in byte order of their names, and whether more follow.
	// Metadata and CRC64 need not be filled.
	List(ctx context.Context, after string, limit int) (objects []ObjectInfo, more bool, err error)
	// Head describes one object; proa.ErrNotFound when there is none.
	Head(ctx context.Context, name string) (ObjectInfo, error)
	// Get opens one object; proa.ErrNotFound when there is none. The caller closes the body.
	Get(ctx context.Context, name string) (ObjectInfo, io.ReadCloser, error)
	// Put stores size bytes of body under name; proa.ErrConflict when a condition does not hold. It streams: memory is bounded whatever
	// the size, and a body that ends early or does not verify leaves nothing behind.
	Put(ctx context.Context, name string, body io.Reader, size int64, o PutOptions) (ObjectInfo, error)
	// Delete removes the object if its ETag is ifMatch ("" for any); proa.ErrConflict when it is another. Removing nothing is no error.
	Delete(ctx context.Context, name, ifMatch string) error
}

// MaxParts is the most parts that an upload in parts may have in either store.
const MaxParts = 10_000

// Part is one part of an upload that is stored.
type Part struct {
	Number int    `json:"n"` // from 1
	Size   int64  `json:"size"`
	CRC64  uint64 `json:"crc64"`
	ETag   string `json:"etag,omitempty"` // S3's; "" on Blob
}

// PartBucket is a Bucket whose uploads can be made of parts, sent in any order and side by side, and go on after the process that began
// them has ended: with the upload's id and the parts that are stored. What is stored of an upload is invisible until Complete.
type PartBucket interface {
	Bucket
	// GetRange opens length bytes of the object from an offset on, if its ETag still is etag; proa.ErrConflict when it is another,
	// proa.ErrNotFound when there is none.
	GetRange(ctx context.Context, name, etag string, offset, length int64) (io.ReadCloser, error)
	// Begin begins an upload and returns its id.
	Begin(ctx context.Context, name string, o PutOptions) (upload string, err error)
	// PutPart stores one part, size bytes of body from its beginning, which it may read more than once. The store has verified the
	// part's CRC-64 when it returns.
	PutPart(ctx context.Context, name, upload string, number int, body io.ReadSeeker, size int64) (Part, error)
	// Complete makes the parts, numbered from 1 without a gap, the object's content if o's condition holds. The options are those of
	// Begin. An upload that is not known any more (it was completed, aborted or has expired) is proa.ErrNotFound.
	Complete(ctx context.Context, name, upload string, parts []Part, o PutOptions) (ObjectInfo, error)
	// Abort gives an upload up. One that is not known is no error.
	Abort(ctx context.Context, name, upload string) error
}

// ObjectEvent is a notice that one object has changed. It is a hint of where to look: notices may be repeated, come in another order
// and be missing.
type ObjectEvent struct {
	Name    string
	ETag    string // as Head gives it; "" of a delete
	Size    int64  // -1 where it is not told
	Deleted bool
	Time    time.Time
	// Receipt acknowledges the message in which the event came; several events may share one. An event without a name only brings a
	// receipt: its message is about something else.
	Receipt string
}

// ObjectEvents is the queue of one bucket's notices: S3 notifications in an SQS queue, Event Grid's in a storage queue. A notice that is
// not acknowledged is delivered again later.
type ObjectEvents interface {
	// Receive returns what waits, at the latest after the time to wait; nothing is no error.
	Receive(ctx context.Context, wait time.Duration) ([]ObjectEvent, error)
	// Acknowledge removes messages for good. An unknown receipt is no error.
	Acknowledge(ctx context.Context, receipts []string) error
}

// Function is one deployed function behind the region's own invocation API.
type Function interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Alarm is a cloud monitor's opinion of its own region.
type Alarm struct {
	Firing bool
	Known  bool // false: the monitor has no data to judge by
	Reason string
	Since  time.Time
}

// Monitor reads the region's own monitoring: CloudWatch alarms, Azure Monitor alerts.
type Monitor interface {
	Alarm(ctx context.Context) (Alarm, error)
}
