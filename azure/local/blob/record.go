package blob

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Blob types.
const (
	blockBlob  = "BlockBlob"
	appendBlob = "AppendBlob"
)

// record is the state of a blob, of one of its versions or of one of its snapshots. It is stored as
// JSON.
type record struct {
	Type     string            `json:"t"`
	Tick     uint64            `json:"e"` // the ETag: 100 ns since year 1, never twice
	Created  time.Time         `json:"c"`
	Modified time.Time         `json:"m"`
	Size     int64             `json:"s"`
	CRC      uint64            `json:"r"` // CRC-64/NVME of the content
	MD5      []byte            `json:"d,omitempty"`
	Headers  headers           `json:"h"`
	Meta     map[string]string `json:"x,omitempty"`
	Segments []segment         `json:"g,omitempty"`
	Lease    *lease            `json:"l,omitempty"`
	Version  string            `json:"v,omitempty"`
	Copy     *copied           `json:"y,omitempty"`
	Tier     string            `json:"a,omitempty"` // "" is the account's default, inferred
	TierTime time.Time         `json:"at,omitzero"`
}

// segment is a stretch of content: a block, or the body of one Put Blob.
type segment struct {
	ID     uint64 `json:"i"` // 0: empty, nothing is stored
	Size   int64  `json:"s"`
	CRC    uint64 `json:"r"`
	Inline bool   `json:"n,omitempty"` // stored in the database, not in a file
	Block  string `json:"b,omitempty"` // block id as sent (base64); "" for a Put Blob
}

// headers are the HTTP headers that a blob's author chose.
type headers struct {
	Type        string `json:"t,omitempty"`
	Encoding    string `json:"e,omitempty"`
	Language    string `json:"l,omitempty"`
	Disposition string `json:"d,omitempty"`
	Cache       string `json:"c,omitempty"`
}

// copied says where a blob was copied from.
type copied struct {
	ID     string    `json:"i"`
	Source string    `json:"s"`
	Done   time.Time `json:"d"`
}

// block is one uncommitted block.
type block struct {
	Segment segment   `json:"s"`
	Put     time.Time `json:"p"`
}

// container is the state of a container.
type container struct {
	UID      uint64            `json:"u"`
	Tick     uint64            `json:"e"`
	Modified time.Time         `json:"m"`
	Meta     map[string]string `json:"x,omitempty"`
	Lease    *lease            `json:"l,omitempty"`
}

// ticksAtEpoch is 1970-01-01 in 100 ns since year 1.
const ticksAtEpoch = 621355968000000000

func etagOf(tick uint64) string { return fmt.Sprintf("%q", fmt.Sprintf("0x%X", tick)) }

// momentOf renders a tick as version ids and snapshots are: seven digits of a second.
func momentOf(tick uint64) string {
	since := tick - ticksAtEpoch
	return time.Unix(int64(since/1e7), int64(since%1e7)*100).UTC().
		Format("2006-01-02T15:04:05.0000000Z")
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above always marshal
	}
	return b
}

// headersOf reads the x-ms-blob- headers of a request, with the plain ones as fallback where asked.
func headersOf(h http.Header, plain bool) headers {
	get := func(name string) string {
		if v := h.Get("x-ms-blob-" + name); v != "" || !plain {
			return v
		}
		return h.Get(name)
	}
	out := headers{
		Type: get("content-type"), Encoding: get("content-encoding"), Language: get("content-language"),
		Disposition: h.Get("x-ms-blob-content-disposition"), Cache: get("cache-control"),
	}
	if out.Type == "" {
		out.Type = "application/octet-stream"
	}
	return out
}

// show puts what a reader is told about a blob on its response; the content's own length and range
// are the caller's.
func (r *record) show(h http.Header, now time.Time) {
	set := func(name, value string) {
		if value != "" {
			h[http.CanonicalHeaderKey(name)] = []string{value}
		}
	}
	set("Etag", etagOf(r.Tick))
	set("Last-Modified", r.Modified.UTC().Format(http.TimeFormat))
	set("x-ms-creation-time", r.Created.UTC().Format(http.TimeFormat))
	set("x-ms-blob-type", r.Type)
	set("x-ms-server-encrypted", "true")
	set("Accept-Ranges", "bytes")
	set("Content-Type", r.Headers.Type)
	set("Content-Encoding", r.Headers.Encoding)
	set("Content-Language", r.Headers.Language)
	set("Content-Disposition", r.Headers.Disposition)
	set("Cache-Control", r.Headers.Cache)
	state, status, duration := r.Lease.look(now)
	set("x-ms-lease-state", state)
	set("x-ms-lease-status", status)
	set("x-ms-lease-duration", duration)
	set("x-ms-version-id", r.Version)
	if r.Copy != nil {
		set("x-ms-copy-id", r.Copy.ID)
		set("x-ms-copy-source", r.Copy.Source)
		set("x-ms-copy-status", "success")
		set("x-ms-copy-progress", fmt.Sprintf("%d/%d", r.Size, r.Size))
		set("x-ms-copy-completion-time", r.Copy.Done.UTC().Format(http.TimeFormat))
	}
	if r.Type == appendBlob {
		set("x-ms-blob-committed-block-count", fmt.Sprint(len(r.Segments)))
	}
	showMetadata(h, r.Meta)
}

func showMetadata(h http.Header, meta map[string]string) {
	for name, value := range meta {
		h["x-ms-meta-"+strings.ToLower(name)] = []string{value}
	}
}

// stamp puts ETag and time of a changed blob or container on the response.
func stamp(h http.Header, tick uint64, modified time.Time) {
	h.Set("ETag", etagOf(tick))
	h.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
}
