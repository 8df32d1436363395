package proa

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/hlc"
)

// Hash is the first 128 bits of SHA-256 over an item's canonical DynamoDB JSON without its envelope.
// A tombstone's is zero.
type Hash [16]byte

// String renders 32 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ContentHash hashes an item's content; the reserved envelope attribute is left out. A nil item hashes to zero.
func ContentHash(item Item) Hash {
	if item == nil {
		return Hash{}
	}
	sum := sha256.Sum256(item.Without(EnvelopeAttr).AppendJSON(nil))
	return Hash(sum[:16])
}

// Version identifies one state of one key. Versions are totally ordered by (ms, logical, region, hash).
type Version struct {
	Time   hlc.Timestamp
	Region Region
	Hash   Hash
}

// IsZero reports whether v is no version at all.
func (v Version) IsZero() bool { return v == Version{} }

// Compare orders versions: negative when v is older than o.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Time, o.Time), strings.Compare(string(v.Region), string(o.Region)), bytes.Compare(v.Hash[:], o.Hash[:]))
}

// String renders "time.region.hash", "" for the zero Version.
func (v Version) String() string {
	if v.IsZero() {
		return ""
	}
	return v.Time.String() + "." + string(v.Region) + "." + v.Hash.String()
}

// MarshalText writes what String returns.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Version) UnmarshalText(b []byte) error {
	got, err := ParseVersion(string(b))
	*v = got
	return err
}

// ParseVersion reads what String writes. Errors wrap ErrInvalid.
func ParseVersion(s string) (Version, error) {
	if s == "" {
		return Version{}, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("version %.80q: want time.region.hash: %w", s, ErrInvalid)
	}
	t, err := hlc.Parse(parts[0])
	if err != nil {
		return Version{}, fmt.Errorf("version %.80q: %w: %w", s, ErrInvalid, err)
	}
	r, err := ParseRegion(parts[1])
	if err != nil {
		return Version{}, fmt.Errorf("version %.80q: %w: %w", s, ErrInvalid, err)
	}
	h, err := parseHash(parts[2])
	return Version{Time: t, Region: r, Hash: h}, err
}

func parseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("hash %.80q: want 32 hexadecimal digits: %w", s, ErrInvalid)
	}
	return Hash(b), nil
}

// EnvelopeAttr is the reserved attribute that carries an item's envelope on both sides.
const EnvelopeAttr = "_proa"

// Envelope is what proa stores in EnvelopeAttr beside an item's content: which version the content is and what it replaced.
// The Cosmos driver adds type hints (field t), which are its own affair.
type Envelope struct {
	Version   Version // fields v (time), o (origin region) and h (content hash)
	Parent    Version // field p: the version that the writer saw; zero when it saw none
	Tombstone bool    // field d: the key was deleted; the image holds the key attributes only
	Write     uint64  // field w: the number of data sync's write that stored it, so that it knows its own; 0 for other writers
}

// EnvelopeFormat is the highest format of envelopes that this proa reads and the one that it writes: field f, where there is none
// 1. Fields that an older proa may lose are added without a new format. One that changes what a stored state means raises it: nodes
// that do not know the format leave the key alone, as quarantined, until they are upgraded.
const EnvelopeFormat = 1

// laterFormat begins what is said of an envelope that a later proa has written.
const laterFormat = "envelope: of format "

// LaterFormat reports whether an image's Malformed says that a later proa has written its envelope: there is nothing wrong with it,
// and nobody else may write over it.
func LaterFormat(malformed string) bool { return strings.HasPrefix(malformed, laterFormat) }

// Value renders the envelope as the attribute's value: an M of v, o, h and, where set, p, d and w.
func (e Envelope) Value() Value {
	m := Item{
		"v": String(e.Version.Time.String()),
		"o": String(string(e.Version.Region)),
		"h": String(e.Version.Hash.String()),
	}
	if !e.Parent.IsZero() {
		m["p"] = String(e.Parent.String())
	}
	if e.Tombstone {
		m["d"] = Bool(true)
	}
	if e.Write != 0 {
		m["w"] = String(strconv.FormatUint(e.Write, 36))
	}
	return Map(m)
}

// ParseEnvelope reads an envelope attribute. Unknown fields of a format that it knows are ignored; of a later format (LaterFormat)
// nothing is. Errors wrap ErrInvalid.
func ParseEnvelope(v Value) (Envelope, error) {
	var e Envelope
	if v.Kind != KindM {
		return e, fmt.Errorf("envelope: want a map, got %q: %w", v.Kind, ErrInvalid)
	}
	if f, ok := v.Map["f"]; ok && (f.Kind != KindN || f.Str != strconv.Itoa(EnvelopeFormat)) {
		return e, fmt.Errorf("%s%.20q, and this proa reads up to %d: upgrade it: %w", laterFormat, f.Str, EnvelopeFormat,
			ErrInvalid)
	}
	version, err := ParseVersion(v.Map["v"].Str + "." + v.Map["o"].Str + "." + v.Map["h"].Str)
	if err != nil {
		return e, fmt.Errorf("envelope: %w", err)
	}
	parent, err := ParseVersion(v.Map["p"].Str)
	if err != nil {
		return e, fmt.Errorf("envelope: parent: %w", err)
	}
	e = Envelope{Version: version, Parent: parent, Tombstone: v.Map["d"].Bool}
	if w := v.Map["w"].Str; w != "" {
		if e.Write, err = strconv.ParseUint(w, 36, 64); err != nil {
			return Envelope{}, fmt.Errorf("envelope: write %.80q: %w", w, ErrInvalid)
		}
	}
	return e, nil
}
