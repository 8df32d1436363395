package cosmos

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// The layout of the store. cid is the container's number (4 bytes), range the physical partition's
// (4 bytes), all big-endian:
//
//	m                                 counters of the account
//	D name                            database
//	C cid                             container with its physical partitions
//	n cid range                       its counters: last LSN, document number, trimmed LSN
//	d cid dockey                      document; dockey = epk 0x00 pk 0x00 id
//	v cid range lsn seq               latest-version index: dockey
//	f cid range lsn seq               all-versions log
//	t cid expiry dockey               expiry index (seconds)
//	u cid n pk 0x00 values            unique key n: dockey
const (
	prefixAccount   = 'm'
	prefixDatabase  = 'D'
	prefixContainer = 'C'
	prefixCounters  = 'n'
	prefixDocument  = 'd'
	prefixVersion   = 'v'
	prefixFeed      = 'f'
	prefixExpiry    = 't'
	prefixUnique    = 'u'
)

func key32(prefix byte, cid uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix}, cid)
}

func keyRange(prefix byte, cid, rng uint32) []byte {
	return binary.BigEndian.AppendUint32(key32(prefix, cid), rng)
}

func keyLSN(prefix byte, cid, rng uint32, lsn uint64, seq uint16) []byte {
	k := binary.BigEndian.AppendUint64(keyRange(prefix, cid, rng), lsn)
	return binary.BigEndian.AppendUint16(k, seq)
}

const lsnOffset = 1 + 4 + 4

func lsnOf(key []byte) (lsn uint64, seq uint16) {
	if len(key) < lsnOffset+10 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(key[lsnOffset:]), binary.BigEndian.Uint16(key[lsnOffset+8:])
}

func keyDocument(cid uint32, docKey string) []byte {
	return append(key32(prefixDocument, cid), docKey...)
}

func keyExpiry(cid uint32, expiry int64, docKey string) []byte {
	return append(binary.BigEndian.AppendUint64(key32(prefixExpiry, cid), uint64(expiry)), docKey...)
}

// docKey names one document within its container.
func docKey(epk string, pk partitionKey, id string) string {
	return epk + "\x00" + pk.canonical + "\x00" + id
}

func splitDocKey(k string) (epk, pk, id string) {
	epk, rest, _ := strings.Cut(k, "\x00")
	pk, id, _ = strings.Cut(rest, "\x00")
	return epk, pk, id
}

// upperBound returns the first key after all keys with the prefix.
func upperBound(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// record is a stored document.
type record struct {
	Range  uint32 // the physical partition whose log holds its last write
	LSN    uint64
	Seq    uint16
	Number uint64 // document number, of which _rid is made
	TS     int64  // seconds
	Expiry int64  // seconds; 0: never
	ETag   string // without quotes
	Body   []byte // JSON with the system properties
}

const recordVersion = 1

func (r *record) encode() []byte {
	b := make([]byte, 0, 64+len(r.ETag)+len(r.Body))
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(r.Range))
	b = binary.AppendUvarint(b, r.LSN)
	b = binary.AppendUvarint(b, uint64(r.Seq))
	b = binary.AppendUvarint(b, r.Number)
	b = binary.AppendVarint(b, r.TS)
	b = binary.AppendVarint(b, r.Expiry)
	b = appendBytes(b, []byte(r.ETag))
	return append(b, r.Body...)
}

func decodeRecord(b []byte) (*record, error) {
	d := decoder{b: b}
	if d.byte() != recordVersion {
		return nil, errCorrupt
	}
	r := &record{
		Range: uint32(d.uvarint()), LSN: d.uvarint(), Seq: uint16(d.uvarint()),
		Number: d.uvarint(),
		TS:     d.varint(), Expiry: d.varint(), ETag: string(d.bytes()),
	}
	r.Body = bytes.Clone(d.b)
	return r, d.err
}

func (r *record) value() (value.Value, error) { return value.Parse(r.Body) }

// change is one entry of the all-versions log.
type change struct {
	Op       byte // one of opCreate, opReplace, opDelete
	Expired  bool
	TS       int64 // conflict resolution time stamp, seconds
	Previous uint64
	DocKey   string
	Current  []byte // JSON, empty for a delete
	Before   []byte // JSON of the replaced or deleted document; empty unless previous images are kept
}

const (
	opCreate  = 'c'
	opReplace = 'r'
	opDelete  = 'x'
)

func (c *change) encode() []byte {
	b := make([]byte, 0, 64+len(c.DocKey)+len(c.Current)+len(c.Before))
	b = append(b, recordVersion, c.Op, boolByte(c.Expired))
	b = binary.AppendVarint(b, c.TS)
	b = binary.AppendUvarint(b, c.Previous)
	b = appendBytes(b, []byte(c.DocKey))
	b = appendBytes(b, c.Current)
	return appendBytes(b, c.Before)
}

func decodeChange(b []byte) (*change, error) {
	d := decoder{b: b}
	if d.byte() != recordVersion {
		return nil, errCorrupt
	}
	c := &change{
		Op: d.byte(), Expired: d.byte() == 1, TS: d.varint(), Previous: d.uvarint(),
		DocKey: string(d.bytes()),
	}
	c.Current, c.Before = bytes.Clone(d.bytes()), bytes.Clone(d.bytes())
	return c, d.err
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decoder reads the encodings above; after a first failure it yields zeros and keeps the error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.err = errCorrupt
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.err = errCorrupt
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.err = errCorrupt
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.err = errCorrupt
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}
