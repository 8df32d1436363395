// Package wire is the binary form in which datasync keeps items, versions and times on its own
// disk. It is not a wire protocol of anyone else's and carries no format version: each record
// begins with its own.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// ErrCorrupt says that a stored record cannot be read: the disk lies, or a newer proa wrote it.
var ErrCorrupt = errors.New("corrupt record")

// Encoder appends fields to a record.
type Encoder struct {
	B []byte // the record so far
}

// Uint appends a number in as few bytes as it needs.
func (e *Encoder) Uint(n uint64) { e.B = binary.AppendUvarint(e.B, n) }

// Bool appends one byte.
func (e *Encoder) Bool(v bool) {
	if v {
		e.B = append(e.B, 1)
	} else {
		e.B = append(e.B, 0)
	}
}

// String appends a length and the bytes.
func (e *Encoder) String(s string) {
	e.Uint(uint64(len(s)))
	e.B = append(e.B, s...)
}

// Time keeps nanoseconds; the zero time is zero.
func (e *Encoder) Time(t time.Time) {
	var n int64
	if !t.IsZero() {
		n = t.UnixNano()
	}
	e.B = binary.BigEndian.AppendUint64(e.B, uint64(n))
}

// Hash appends 16 bytes.
func (e *Encoder) Hash(h proa.Hash) { e.B = append(e.B, h[:]...) }

// Version appends a version; one byte for the zero Version.
func (e *Encoder) Version(v proa.Version) {
	e.Bool(!v.IsZero())
	if v.IsZero() {
		return
	}
	e.B = binary.BigEndian.AppendUint64(e.B, uint64(v.Time))
	e.String(string(v.Region))
	e.Hash(v.Hash)
}

// Item appends an item; a nil one stays nil.
func (e *Encoder) Item(i proa.Item) {
	if i == nil {
		e.Uint(0)
		return
	}
	e.Uint(uint64(len(i)) + 1)
	for name, v := range i {
		e.String(name)
		e.Value(v)
	}
}

// Value appends a value that is not the zero Value.
func (e *Encoder) Value(v proa.Value) {
	e.B = append(e.B, byte(v.Kind))
	switch v.Kind {
	case proa.KindS, proa.KindN, proa.KindB:
		e.String(v.Str)
	case proa.KindBOOL:
		e.Bool(v.Bool)
	case proa.KindL:
		e.Uint(uint64(len(v.List)))
		for _, el := range v.List {
			e.Value(el)
		}
	case proa.KindM:
		e.Item(v.Map)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		e.Uint(uint64(len(v.Set)))
		for _, s := range v.Set {
			e.String(s)
		}
	}
}

// Decoder reads fields in the order in which they were appended. The first failure sticks.
type Decoder struct {
	B   []byte // what is left
	err error
}

func (d *Decoder) fail() {
	if d.err == nil {
		d.err = ErrCorrupt
	}
	d.B = nil
}

// Uint reads what Encoder.Uint appends.
func (d *Decoder) Uint() uint64 {
	n, size := binary.Uvarint(d.B)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.B = d.B[size:]
	return n
}

// Take reads n bytes, which are valid as long as B is.
func (d *Decoder) Take(n uint64) []byte {
	if n > uint64(len(d.B)) {
		d.fail()
		return nil
	}
	b := d.B[:n]
	d.B = d.B[n:]
	return b
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if b := d.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads what Encoder.Bool appends.
func (d *Decoder) Bool() bool { return d.Byte() != 0 }

// String reads what Encoder.String appends.
func (d *Decoder) String() string { return string(d.Take(d.Uint())) }

// Time reads what Encoder.Time appends, in UTC.
func (d *Decoder) Time() time.Time {
	b := d.Take(8)
	if b == nil {
		return time.Time{}
	}
	n := int64(binary.BigEndian.Uint64(b))
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// Hash reads what Encoder.Hash appends.
func (d *Decoder) Hash() (h proa.Hash) {
	copy(h[:], d.Take(uint64(len(h))))
	return h
}

// Version reads what Encoder.Version appends.
func (d *Decoder) Version() (v proa.Version) {
	if !d.Bool() {
		return v
	}
	if b := d.Take(8); b != nil {
		v.Time = hlc.Timestamp(binary.BigEndian.Uint64(b))
	}
	v.Region = proa.Region(d.String())
	v.Hash = d.Hash()
	return v
}

// Count reads a number of elements of at least one byte each.
func (d *Decoder) Count() int {
	n := d.Uint()
	if n > uint64(len(d.B)) {
		d.fail()
		return 0
	}
	return int(n)
}

// Item reads what Encoder.Item appends; nil where that was nil.
func (d *Decoder) Item() proa.Item { return d.item(0) }

func (d *Decoder) item(depth int) proa.Item {
	n := d.Uint()
	if n == 0 || d.err != nil {
		return nil
	}
	if n-1 > uint64(len(d.B)) || depth > maxDepth {
		d.fail()
		return nil
	}
	i := make(proa.Item, n-1)
	for range n - 1 {
		name := d.String()
		i[name] = d.value(depth + 1)
	}
	return i
}

// maxDepth bounds the nesting of values; Cosmos allows 128 levels.
const maxDepth = 256

func (d *Decoder) value(depth int) proa.Value {
	v := proa.Value{Kind: proa.Kind(d.Byte())}
	if depth > maxDepth {
		d.fail()
	}
	switch v.Kind {
	case proa.KindS, proa.KindN, proa.KindB:
		v.Str = d.String()
	case proa.KindBOOL:
		v.Bool = d.Bool()
	case proa.KindNULL:
	case proa.KindL:
		v.List = make([]proa.Value, d.Count())
		for i := range v.List {
			v.List[i] = d.value(depth + 1)
		}
	case proa.KindM:
		v.Map = d.item(depth)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		v.Set = make([]string, d.Count())
		for i := range v.Set {
			v.Set[i] = d.String()
		}
	default:
		d.fail()
	}
	return v
}

// Done reports a failure, or bytes that are left over, as ErrCorrupt.
func (d *Decoder) Done(what string) error {
	if d.err == nil && len(d.B) > 0 {
		d.err = ErrCorrupt
	}
	if d.err != nil {
		return fmt.Errorf("%s: %w", what, d.err)
	}
	return nil
}

// Envelope appends an envelope that may be missing.
func (e *Encoder) Envelope(v *proa.Envelope) {
	e.Bool(v != nil)
	if v != nil {
		e.Version(v.Version)
		e.Version(v.Parent)
		e.Bool(v.Tombstone)
		e.Uint(v.Write)
	}
}

// Envelope reads what Encoder.Envelope appends.
func (d *Decoder) Envelope() *proa.Envelope {
	if !d.Bool() {
		return nil
	}
	return &proa.Envelope{
		Version: d.Version(), Parent: d.Version(), Tombstone: d.Bool(),
		Write: d.Uint(),
	}
}

// Image appends an image.
func (e *Encoder) Image(i proa.Image) {
	e.Item(i.Item)
	e.Envelope(i.Envelope)
	e.String(i.Malformed)
}

// Image reads what Encoder.Image appends.
func (d *Decoder) Image() proa.Image {
	return proa.Image{Item: d.Item(), Envelope: d.Envelope(), Malformed: d.String()}
}

// Key appends a key.
func (e *Encoder) Key(k proa.Key) {
	e.String(k.Table)
	e.part(k.Hash)
	e.part(k.Range)
}

// Key reads what Encoder.Key appends.
func (d *Decoder) Key() proa.Key {
	return proa.Key{Table: d.String(), Hash: d.part(), Range: d.part()}
}

func (e *Encoder) part(v proa.Value) {
	e.Bool(v.Kind != proa.KindNone)
	if v.Kind != proa.KindNone {
		e.Value(v)
	}
}

func (d *Decoder) part() proa.Value {
	if !d.Bool() {
		return proa.Value{}
	}
	return d.value(0)
}
