package proa

import (
	"cmp"
	"strings"
	"time"
)

// Image is one stored state of a key at one side. The zero Image says that nothing is stored.
type Image struct {
	Item     Item      `json:"item,omitempty"`     // content with its key attributes and without the envelope; nil: nothing stored
	Envelope *Envelope `json:"envelope,omitempty"` // nil: none stored, or one that cannot be read (Malformed)
	// Malformed is why what is stored must not be judged, such as an envelope that cannot be read or text that is no
	// Unicode; "" for all else.
	Malformed string `json:"malformed,omitempty"`
}

// Exists reports whether anything is stored, a tombstone image included.
func (i Image) Exists() bool { return i.Item != nil }

// Tombstone reports whether the image is a tombstone: stored, but not an item to its readers.
func (i Image) Tombstone() bool { return i.Item != nil && i.Envelope != nil && i.Envelope.Tombstone }

// SplitEnvelope takes a stored item apart into content and envelope. A nil item gives the zero Image.
func SplitEnvelope(stored Item) Image {
	v, ok := stored[EnvelopeAttr]
	if !ok {
		return Image{Item: stored}
	}
	img := Image{Item: stored.Without(EnvelopeAttr)}
	e, err := ParseEnvelope(v)
	if err != nil {
		img.Malformed = err.Error()
		return img
	}
	img.Envelope = &e
	return img
}

// Stored puts content and envelope together as they are stored.
func (i Image) Stored() Item {
	if i.Item == nil || i.Envelope == nil {
		return i.Item
	}
	stored := make(Item, len(i.Item)+1)
	for name, v := range i.Item {
		stored[name] = v
	}
	stored[EnvelopeAttr] = i.Envelope.Value()
	return stored
}

// Position is a place in one side's change feed as a decimal number of any length: DynamoDB's SequenceNumber, Cosmos's _lsn.
// Positions of one key at one side rise with each change. "" is before every position.
type Position string

// Compare orders positions by value.
func (p Position) Compare(o Position) int {
	a, b := strings.TrimLeft(string(p), "0"), strings.TrimLeft(string(o), "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// Change is one event of a change feed: at Region, Key went from Old to New.
type Change struct {
	Region   Region
	Key      Key
	Old      *Image    // nil: the feed does not say what was there before
	New      Image     // the zero Image: the key was removed
	ETag     string    // the store's token of New; "" where it has none (DynamoDB) or the key was removed
	Time     time.Time // when the side says it happened; both clouds' feeds give whole seconds
	Position Position
	Expired  bool // removed by the store's time-to-live, not by a writer
}
