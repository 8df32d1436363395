package proa

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// Schema is the key schema of one replicated table. Key kinds are S, N or B.
type Schema struct {
	Table     string // the table's name in the picture; drivers map it to a DynamoDB table and a Cosmos container
	HashName  string
	HashKind  Kind
	RangeName string // "" when the table has no range key
	RangeKind Kind
}

// Key names one item of one table.
type Key struct {
	Table string
	Hash  Value
	Range Value // the zero Value when the table has no range key
}

// KeyOf takes the key out of an item. It fails with ErrInvalid when a key attribute is missing or of the wrong kind.
func (s Schema) KeyOf(item Item) (Key, error) {
	k := Key{Table: s.Table, Hash: item[s.HashName]}
	if k.Hash.Kind != s.HashKind {
		return Key{}, fmt.Errorf("table %s: key attribute %s: want %s, got %q: %w", s.Table, s.HashName, s.HashKind, k.Hash.Kind, ErrInvalid)
	}
	if s.RangeName == "" {
		return k, nil
	}
	k.Range = item[s.RangeName]
	if k.Range.Kind != s.RangeKind {
		return Key{}, fmt.Errorf("table %s: key attribute %s: want %s, got %q: %w", s.Table, s.RangeName, s.RangeKind, k.Range.Kind, ErrInvalid)
	}
	return k, nil
}

// Attributes returns the key as an item of its own.
func (s Schema) Attributes(k Key) Item {
	item := Item{s.HashName: k.Hash}
	if s.RangeName != "" {
		item[s.RangeName] = k.Range
	}
	return item
}

// ID returns the key as one unambiguous string, for maps and stores. Different keys have different IDs.
func (k Key) ID() string {
	b := make([]byte, 0, len(k.Table)+len(k.Hash.Str)+len(k.Range.Str)+16)
	for _, part := range []string{k.Table, k.Hash.Kind.String() + k.Hash.Str, k.Range.Kind.String() + k.Range.Str} {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
	}
	return string(b)
}

// String renders the key for people: table/hash or table/hash/range; bytes in base64.
func (k Key) String() string {
	s := k.Table + "/" + keyText(k.Hash)
	if k.Range.Kind != KindNone {
		s += "/" + keyText(k.Range)
	}
	return s
}

func keyText(v Value) string {
	if v.Kind == KindB {
		return base64.RawURLEncoding.EncodeToString([]byte(v.Str))
	}
	return v.Str
}
