package azure

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/proa-cloud/proa"
)

// Limits of Cosmos DB. https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits
const (
	maxID           = 1023
	maxPartitionKey = 2048
	maxDocument     = 2 << 20
)

// The escape character of ids and property names, and the property that holds the partition key where the hash key itself cannot.
const (
	escape   = '~'
	pkName   = "_proa_pk"
	reserved = "_proa"
)

// PartitionKeyPath returns the partition key path that a table's container must have.
//
// Without a range key it is /id. With one it is the hash attribute where that is a string with a plain name, else /_proa_pk.
func PartitionKeyPath(s proa.Schema) string {
	switch {
	case s.RangeName == "":
		return "/id"
	case natural(s):
		return "/" + s.HashName
	}
	return "/" + pkName
}

// natural reports whether the hash attribute's own property can be the partition key of a table with a range key.
func natural(s proa.Schema) bool {
	if s.HashKind != proa.KindS || isReserved(s.HashName) {
		return false
	}
	for i, c := range s.HashName {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s.HashName != ""
}

// address is where a key's document lives.
type address struct {
	id, partition string
}

// addressOf maps a key to its document. It fails with ErrTooLarge past Cosmos's limits and ErrInvalid for a key of another schema.
func addressOf(s proa.Schema, k proa.Key) (address, error) {
	if k.Hash.Kind != s.HashKind || k.Range.Kind != s.RangeKind {
		return address{}, fmt.Errorf("key %s is not of the schema of table %s: %w", k, s.Table, proa.ErrInvalid)
	}
	var a address
	if s.RangeName == "" {
		a.id = encodeKey(k.Hash)
		a.partition = a.id
	} else {
		a.id = encodeKey(k.Range)
		a.partition = encodeKey(k.Hash)
		if s.HashKind == proa.KindS {
			a.partition = k.Hash.Str
		}
	}
	switch {
	case a.id == "" || a.partition == "":
		return a, fmt.Errorf("key %s: Cosmos DB takes no empty key: %w", k, proa.ErrInvalid)
	case len(a.id) > maxID:
		return a, fmt.Errorf("key %.80s: its Cosmos id has %d bytes of at most %d: %w", k, len(a.id), maxID, proa.ErrTooLarge)
	case len(a.partition) > maxPartitionKey:
		return a, fmt.Errorf("key %.80s: its partition key has %d bytes of at most %d: %w",
			k, len(a.partition), maxPartitionKey, proa.ErrTooLarge)
	case !utf8.ValidString(a.id) || !utf8.ValidString(a.partition):
		return a, fmt.Errorf("key %.80q is not UTF-8: %w", k, proa.ErrInvalid)
	}
	return a, nil
}

// keyAt is the inverse of addressOf. It fails for a document that no key maps to: one that another writer made under an id that
// the schema's kinds cannot hold, such as "007" for a number.
func keyAt(s proa.Schema, a address) (proa.Key, error) {
	k := proa.Key{Table: s.Table}
	var ok bool
	if s.RangeName == "" {
		k.Hash, ok = decodeKey(s.HashKind, a.id)
	} else {
		k.Range, ok = decodeKey(s.RangeKind, a.id)
		if ok && s.HashKind == proa.KindS {
			k.Hash = proa.String(a.partition)
		} else if ok {
			k.Hash, ok = decodeKey(s.HashKind, a.partition)
		}
	}
	if !ok {
		return k, fmt.Errorf("document %.80q is at no key of table %s: %w", a.id, s.Table, proa.ErrInvalid)
	}
	again, err := addressOf(s, k)
	if err != nil {
		return k, err
	}
	if a.partition != again.partition || a.id != again.id {
		return k, fmt.Errorf("document %.80q is at no key of table %s: %w", a.id, s.Table, proa.ErrInvalid)
	}
	return k, nil
}

// encodeKey renders a key value as an id: S as itself with escapes, N in canonical decimal, B in URL-safe base64.
func encodeKey(v proa.Value) string {
	switch v.Kind {
	case proa.KindS:
		return escapeID(v.Str)
	case proa.KindB:
		return base64.RawURLEncoding.EncodeToString([]byte(v.Str))
	}
	return v.Str
}

func decodeKey(kind proa.Kind, id string) (proa.Value, bool) {
	switch kind {
	case proa.KindS:
		return proa.String(unescapeID(id)), true
	case proa.KindB:
		b, err := base64.RawURLEncoding.DecodeString(id)
		return proa.Binary(b), err == nil
	case proa.KindN:
		v, err := proa.Number(id)
		return v, err == nil
	}
	return proa.Value{}, false
}

// escapeID writes bytes that an id cannot hold as ~xhh: / \ ? # and control characters anywhere, space and dot at the end (they
// are lost in URLs), space at the start, and ~ where it would read as an escape.
func escapeID(s string) string {
	tail := len(strings.TrimRight(s, " ."))
	head := len(s) - len(strings.TrimLeft(s, " "))
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == 0x7f || strings.IndexByte(`/\?#`, c) >= 0 || i >= tail || i < head ||
			c == escape && isEscape(s[i+1:]) {
			fmt.Fprintf(&b, "%cx%02x", escape, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unescapeID(s string) string {
	if strings.IndexByte(s, escape) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == escape && isEscape(s[i+1:]) {
			b.WriteByte(unhex(s[i+2])<<4 | unhex(s[i+3]))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isEscape reports whether s goes on as an escape does after its ~.
func isEscape(s string) bool { return len(s) >= 3 && s[0] == 'x' && isHex(s[1:]) }

// isHex reports whether s starts with two lower-case hexadecimal digits.
func isHex(s string) bool { return len(s) >= 2 && unhex(s[0]) < 16 && unhex(s[1]) < 16 }

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// isReserved reports names of top-level properties that Cosmos DB or proa keeps for itself.
func isReserved(name string) bool {
	switch name {
	case "id", "_rid", "_self", "_etag", "_ts", "_attachments", "_lsn", "ttl":
		return true
	}
	return strings.HasPrefix(name, reserved)
}

// propertyName is the property that holds a top-level attribute: its own name, with ~ before it where the name without its leading ~
// is reserved. attributeName is the inverse on every property that is not reserved itself.
func propertyName(attr string) string {
	if isReserved(strings.TrimLeft(attr, string(escape))) {
		return string(escape) + attr
	}
	return attr
}

func attributeName(property string) string {
	if property != "" && property[0] == escape && isReserved(strings.TrimLeft(property, string(escape))) {
		return property[1:]
	}
	return property
}
