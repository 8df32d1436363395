package s3

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The rows of the metadata store. A bucket's name holds no zero byte, so it ends at the first one;
// object keys may hold any byte and are escaped where something follows them.
//
//	b/<bucket>                              bucketRow
//	o/<bucket> 00 <key>                     object: the current version, which may be a delete marker
//	v/<bucket> 00 <esc key> 00 01 <^seq>    object: a version that is no longer current, newest first
//	u/<bucket> 00 <esc key> 00 01 <upload>  upload: a multipart upload in progress
//	w/<upload> <part number>                part
//	d/<id>                                  a body of up to inlineMax bytes
//	f/<generation>/<id>                     exists while something refers to that file
//	s/<id>                                  []segment of a body put together from parts
//	t/<generation>/<id>                     a file that is to be removed
//	m/seq                                   numbers up to here are reserved
//	m/verified                              the last generation that was checked for orphans
type row []byte

const (
	rowBucket   = "b/"
	rowObject   = "o/"
	rowVersion  = "v/"
	rowUpload   = "u/"
	rowPart     = "w/"
	rowInline   = "d/"
	rowFile     = "f/"
	rowSegments = "s/"
	rowTrash    = "t/"
	rowSeq      = "m/seq"
	rowVerified = "m/verified"
)

// object is one version of an object, or a delete marker.
type object struct {
	Seq      uint64            `json:"q"`
	Version  string            `json:"v"` // "null" or a version id
	Marker   bool              `json:"x,omitempty"`
	Size     int64             `json:"n,omitempty"`
	ETag     string            `json:"e,omitempty"` // without quotes
	Modified int64             `json:"t"`           // Unix milliseconds
	Body     bodyRef           `json:"b,omitzero"`
	Parts    int               `json:"p,omitempty"` // number of parts of a multipart upload
	Header   map[string]string `json:"h,omitempty"` // Content-Type, Cache-Control, … by canonical name
	Meta     map[string]string `json:"m,omitempty"` // user metadata, names in lower case
	Tags     []tag             `json:"g,omitempty"`
	Sums     checksums         `json:"c,omitzero"`
}

type tag struct{ Key, Value string }

// bodyRef says where a body is: "d" inline, "f" a file, "s" segments; "" is an empty body.
type bodyRef struct {
	Kind string `json:"k,omitempty"`
	ID   string `json:"i,omitempty"`
}

// segment is one part of a body.
type segment struct {
	Body bodyRef   `json:"b"`
	Size int64     `json:"n"`
	Sums checksums `json:"c,omitzero"`
}

// bucketRow describes a bucket.
type bucketRow struct {
	Created    int64  `json:"t"`           // Unix milliseconds
	Versioning string `json:"v,omitempty"` // "", "Enabled" or "Suspended"

	Notifications []notification `json:"n,omitempty"`
}

// upload is a multipart upload in progress.
type upload struct {
	ID        string            `json:"i"`
	Initiated int64             `json:"t"` // Unix milliseconds
	Algorithm string            `json:"a,omitempty"`
	SumType   string            `json:"y,omitempty"`
	Header    map[string]string `json:"h,omitempty"`
	Meta      map[string]string `json:"m,omitempty"`
	Tags      []tag             `json:"g,omitempty"`
}

// part is one uploaded part.
type part struct {
	ETag     string  `json:"e"`
	Modified int64   `json:"t"`
	Seg      segment `json:"s"`
	Number   int     `json:"-"`
}

func objectRow(bucket, key string) row { return row(rowObject + bucket + "\x00" + key) }

// escapeKey keeps byte order and makes the end of the key findable.
func escapeKey(key string) string {
	b := make([]byte, 0, len(key)+2)
	for i := range len(key) {
		b = append(b, key[i])
		if key[i] == 0 {
			b = append(b, 0xFF)
		}
	}
	return string(append(b, 0, 1))
}

// unescapeKey splits an escaped key from what follows it.
func unescapeKey(b []byte) (key string, rest []byte, ok bool) {
	out := make([]byte, 0, len(b))
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		if b[i+1] == 1 {
			return string(out), b[i+2:], true
		}
		out = append(out, 0)
		i++
	}
	return "", nil, false
}

func versionPrefix(bucket, key string) row {
	return row(rowVersion + bucket + "\x00" + escapeKey(key))
}

func versionRow(bucket, key string, seq uint64) row {
	return binary.BigEndian.AppendUint64(versionPrefix(bucket, key), ^seq)
}

func uploadRow(bucket, key, id string) row {
	return row(rowUpload + bucket + "\x00" + escapeKey(key) + id)
}

func partRow(upload string, number int) row {
	return binary.BigEndian.AppendUint16(row(rowPart+upload+"/"), uint16(number))
}

// prefixEnd is the first row after all rows with the prefix.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xFF {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// get reads a row into out; false when there is none.
func (s *Server) get(k row, out any) (bool, error) {
	b, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read row: %w", err)
	}
	err = json.Unmarshal(b, out)
	return true, errors.Join(err, closer.Close())
}

// has reports whether a row exists.
func (s *Server) has(k row) (bool, error) {
	_, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read row: %w", err)
	}
	return true, closer.Close()
}

// put adds a row to the batch.
func put(b *pebble.Batch, k row, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode row: %w", err)
	}
	return b.Set(k, raw, nil)
}

// scan calls fn for each row with the prefix, from the row from on (nil: the first), until fn
// returns false.
func (s *Server) scan(prefix, from row, fn func(k, v []byte) (bool, error)) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("scan rows: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if from == nil {
		from = prefix
	}
	for ok := it.SeekGE(from); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("scan rows: %w", err)
		}
		if more, err := fn(it.Key(), v); err != nil || !more {
			return err
		}
	}
	return it.Error()
}
