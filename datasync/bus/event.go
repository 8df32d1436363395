package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/wire"
)

// Event is one captured change as it stands in the log: a local write of an item, or of an object.
type Event struct {
	Offset   uint64
	Region   proa.Region // where it was written
	Key      proa.Key    // of an item, masked where it may not be logged; the zero Key for an object
	Mark     string      // tells keys apart that are masked
	Image    proa.Image  // what was written; the zero Image for a delete
	Bucket   string      // of an object
	Object   string
	ETag     string // the object's, at Region; "" for a delete
	Size     int64
	Version  proa.Version // the version it was given
	Parent   proa.Version // what it replaced
	Position proa.Position
	Origin   time.Time // when it was written, as finely as is known
	Captured time.Time // when proa learnt of it
	Expired  bool      // deleted by the store's time-to-live
	Won      bool      // it became the winner; otherwise it is in the conflict journal
}

// The formats of an event on disk. The first had no mark.
const (
	unmarkedFormat = 1
	eventFormat    = 2
)

func (v *Event) encode() []byte {
	e := wire.Encoder{B: make([]byte, 0, 256)}
	e.B = append(e.B, eventFormat)
	e.String(string(v.Region))
	e.Key(v.Key)
	e.Image(v.Image)
	e.String(v.Bucket)
	e.String(v.Object)
	e.String(v.ETag)
	e.Uint(uint64(v.Size))
	e.Version(v.Version)
	e.Version(v.Parent)
	e.String(string(v.Position))
	e.Time(v.Origin)
	e.Time(v.Captured)
	e.Bool(v.Expired)
	e.Bool(v.Won)
	e.String(v.Mark)
	return e.B
}

func decode(offset uint64, b []byte) (Event, error) {
	d := wire.Decoder{B: b}
	format := d.Byte()
	if format != eventFormat && format != unmarkedFormat {
		return Event{}, wire.ErrCorrupt
	}
	v := Event{
		Offset: offset, Region: proa.Region(d.String()), Key: d.Key(), Image: d.Image(),
		Bucket: d.String(),
		Object: d.String(), ETag: d.String(), Size: int64(d.Uint()), Version: d.Version(),
		Parent:   d.Version(),
		Position: proa.Position(d.String()), Origin: d.Time(), Captured: d.Time(), Expired: d.Bool(),
		Won: d.Bool(),
	}
	if format == eventFormat {
		v.Mark = d.String()
	}
	return v, d.Done("change log")
}

// ID tells a change from every other one: it is drawn from where it was written, what it is of, its
// version and its place in the feed. It is the same for each delivery, and for two owners of data sync
// that have both captured the change.
func (v *Event) ID() string {
	var e wire.Encoder
	for _, s := range []string{
		string(v.Region), v.Key.ID(), v.Mark, v.Bucket, v.Object, v.ETag, string(v.Position),
	} {
		e.String(s)
	}
	e.Version(v.Version)
	sum := sha256.Sum256(e.B)
	return hex.EncodeToString(sum[:16])
}

// Type is the event's CloudEvents type.
func (v *Event) Type() string {
	kind := "item"
	if v.Bucket != "" {
		kind = "object"
	}
	if v.Version.Hash == (proa.Hash{}) {
		return "cloud.proa." + kind + ".deleted"
	}
	return "cloud.proa." + kind + ".written"
}

// CloudEvent renders the event in CloudEvents 1.0's JSON format; data holds canonical DynamoDB JSON.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
func (v *Event) CloudEvent() ([]byte, error) {
	source, subject := "/proa/"+string(v.Region)+"/tables/"+v.Key.Table, v.Key.String()
	if v.Bucket != "" {
		source, subject = "/proa/"+string(v.Region)+"/buckets/"+v.Bucket, v.Object
	}
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: v.ID(), Source: source, Type: v.Type(),
		Subject: subject,
		Time:    v.Origin.UTC(), ContentType: "application/json", ProaVersion: v.Version,
		ProaParent: v.Parent, ProaWon: v.Won,
		Data: eventData{Item: v.Image.Item, ETag: v.ETag, Size: v.Size, Expired: v.Expired},
	})
}

type cloudEvent struct {
	SpecVersion string       `json:"specversion"`
	ID          string       `json:"id"`
	Source      string       `json:"source"`
	Type        string       `json:"type"`
	Subject     string       `json:"subject"`
	Time        time.Time    `json:"time"`
	ContentType string       `json:"datacontenttype"`
	ProaVersion proa.Version `json:"proaversion"`
	ProaParent  proa.Version `json:"proaparent,omitzero"`
	ProaWon     bool         `json:"proawon"`
	Data        eventData    `json:"data"`
}

type eventData struct {
	Item    proa.Item `json:"item,omitempty"`
	ETag    string    `json:"etag,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Expired bool      `json:"expired,omitempty"`
}
