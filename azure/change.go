package azure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// wireChange is one entry of the all-versions-and-deletes feed.
//
// https://learn.microsoft.com/azure/cosmos-db/nosql/change-feed-modes#parse-the-response-object
type wireChange struct {
	Current  json.RawMessage `json:"current"`
	Previous json.RawMessage `json:"previous"`
	Metadata *wireMetadata   `json:"metadata"`
}

type wireMetadata struct {
	LSN          json.Number     `json:"lsn"`
	CRTS         int64           `json:"crts"`          // Unix seconds
	Operation    string          `json:"operationType"` // create, replace or delete
	Expired      bool            `json:"timeToLiveExpired"`
	ID           string          `json:"id"`
	PartitionKey json.RawMessage `json:"partitionKey"`
}

// change reads one entry of either feed: an entry without metadata is a document of the latest-version feed.
func (f *Feed) change(text []byte) (proa.Change, error) {
	var w wireChange
	if err := json.Unmarshal(text, &w); err != nil {
		return proa.Change{}, fmt.Errorf("change: %w: %w", proa.ErrInvalid, err)
	}
	if w.Metadata == nil || w.Metadata.Operation == "" {
		return f.latest(text)
	}
	c := proa.Change{Region: proa.Azure, Position: proa.Position(w.Metadata.LSN), Expired: w.Metadata.Expired}
	previous, err := f.optional(w.Previous)
	if err != nil {
		return c, err
	}
	if previous != nil {
		c.Old, c.Key = &previous.image, previous.key
	}
	if w.Metadata.Operation == "delete" {
		c.Time = unixTime(w.Metadata.CRTS, 0)
		if previous == nil {
			c.Key, err = f.deletedKey(w.Metadata)
		}
		return c, err
	}
	current, err := parseDocument(f.schema, w.Current)
	if err != nil {
		return c, err
	}
	c.Key, c.New, c.Time = current.key, current.image, unixTime(w.Metadata.CRTS, current.ts)
	if w.Metadata.Operation == "create" {
		c.Old = &proa.Image{}
	}
	return c, nil
}

// unreadable is a change that must not hold back the feed: a document at no key of the schema, or none at all. It is told as
// what it is, with what it holds and without a key.
func (f *Feed) unreadable(text []byte, cause error) proa.Change {
	c := proa.Change{
		Region: proa.Azure, Key: proa.Key{Table: f.schema.Table},
		New: proa.Image{Malformed: fail("read change feed", f.schema.Table, cause).Error()},
	}
	var w wireChange
	if json.Unmarshal(text, &w) != nil {
		return c
	}
	whole, ts := w.Current, int64(0)
	if w.Metadata == nil || w.Metadata.Operation == "" {
		whole, w.Metadata = text, &wireMetadata{}
	}
	raw, err := rawObject(whole)
	if err != nil || raw == nil {
		raw, err = rawObject(w.Previous)
	}
	if err == nil && raw != nil {
		c.New.Item = decoder{}.value(raw, "").Map
		if n, ok := raw["_ts"].(json.Number); ok {
			ts, _ = n.Int64()
		}
		if n, ok := raw["_lsn"].(json.Number); ok {
			w.Metadata.LSN = cmp.Or(w.Metadata.LSN, n)
		}
	}
	c.Time, c.Position = unixTime(w.Metadata.CRTS, ts), proa.Position(w.Metadata.LSN)
	return c
}

func (f *Feed) latest(text []byte) (proa.Change, error) {
	d, err := parseDocument(f.schema, text)
	if err != nil {
		return proa.Change{}, err
	}
	return proa.Change{
		Region: proa.Azure, Key: d.key, New: d.image, Time: time.Unix(d.ts, 0).UTC(), Position: proa.Position(d.lsn),
	}, nil
}

// optional reads a document that may be missing: absent, null or an empty object.
func (f *Feed) optional(text json.RawMessage) (*document, error) {
	switch string(text) {
	case "", "null", "{}":
		return nil, nil
	}
	d, err := parseDocument(f.schema, text)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// deletedKey is the key of a delete that came without its previous image. The partition key comes as an object of the path's
// property, or as an array, or as the plain value.
func (f *Feed) deletedKey(m *wireMetadata) (proa.Key, error) {
	a := address{id: m.ID, partition: m.ID}
	if f.schema.RangeName != "" {
		a.partition = partitionText(m.PartitionKey, PartitionKeyPath(f.schema)[1:])
	}
	return keyAt(f.schema, a)
}

func partitionText(raw json.RawMessage, property string) string {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	switch v := value.(type) {
	case map[string]any:
		value = v[property]
	case []any:
		if len(v) == 1 {
			value = v[0]
		}
	}
	s, _ := value.(string)
	return s
}

// unixTime prefers the change's own stamp, in seconds or, as some versions of the service give it, in milliseconds.
func unixTime(crts, ts int64) time.Time {
	const milliseconds = 1e11
	switch {
	case crts >= milliseconds:
		return time.UnixMilli(crts).UTC()
	case crts > 0:
		return time.Unix(crts, 0).UTC()
	}
	return time.Unix(ts, 0).UTC()
}
