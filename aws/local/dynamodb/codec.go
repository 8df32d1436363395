package dynamodb

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/proa-cloud/proa"
)

// codecVersion starts every stored item, so that the form can change.
const codecVersion = 1

// appendItem appends an item's stored form: attributes in order of name, lengths as varints.
func appendItem(b []byte, item proa.Item) []byte {
	b = binary.AppendUvarint(b, uint64(len(item)))
	var few [16]string // most items have no more attributes: their names need no memory of their own
	names := few[:0]
	for name := range item {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = appendText(b, name)
		b = appendValue(b, item[name])
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, v proa.Value) []byte {
	b = append(b, byte(v.Kind))
	switch v.Kind {
	case proa.KindS, proa.KindN, proa.KindB:
		return appendText(b, v.Str)
	case proa.KindBOOL:
		if v.Bool {
			return append(b, 1)
		}
		return append(b, 0)
	case proa.KindL:
		b = binary.AppendUvarint(b, uint64(len(v.List)))
		for _, e := range v.List {
			b = appendValue(b, e)
		}
	case proa.KindM:
		return appendItem(b, v.Map)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		b = binary.AppendUvarint(b, uint64(len(v.Set)))
		for _, m := range v.Set {
			b = appendText(b, m)
		}
	}
	return b
}

// decoder reads the stored form. The first fault sticks; what is read after it is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("stored item: malformed %s", what)
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail("length")
		return 0
	}
	d.b = d.b[size:]
	return n
}

// count reads a number of things, each of which takes at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("count")
		return 0
	}
	return int(n)
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("byte")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) text() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) item(depth int) proa.Item {
	n := d.count()
	item := make(proa.Item, n)
	for range n {
		name := d.text()
		item[name] = d.value(depth)
	}
	return item
}

func (d *decoder) value(depth int) proa.Value {
	v := proa.Value{Kind: proa.Kind(d.byte())}
	if depth > maxDepth {
		d.fail("depth")
	}
	switch v.Kind {
	case proa.KindS, proa.KindN, proa.KindB:
		v.Str = d.text()
	case proa.KindBOOL:
		v.Bool = d.byte() == 1
	case proa.KindNULL:
	case proa.KindL:
		v.List = make([]proa.Value, d.count())
		for i := range v.List {
			v.List[i] = d.value(depth + 1)
		}
	case proa.KindM:
		v.Map = d.item(depth + 1)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		v.Set = make([]string, d.count())
		for i := range v.Set {
			v.Set[i] = d.text()
		}
	default:
		d.fail("kind")
	}
	return v
}

func encodeItem(item proa.Item) []byte { return appendItem([]byte{codecVersion}, item) }

func decodeItem(b []byte) (proa.Item, error) {
	d := &decoder{b: b}
	if d.byte() != codecVersion {
		d.fail("version")
	}
	item := d.item(0)
	return item, d.err
}
