// Package epk computes effective partition keys: the hash, in upper-case hex, by which a partition
// key is routed to a physical partition. Versions and encodings follow the official SDKs, whose
// test vectors this package is checked against.
package epk

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// Kind is how a container hashes its keys.
type Kind uint8

// The kinds of partition key definition.
const (
	HashV1    Kind = iota // kind Hash, version 1: 32-bit hash, then the key itself
	HashV2                // kind Hash, version 2: one 128-bit hash
	MultiHash             // hierarchical: a 128-bit hash per level
)

// The ends of the key space. Every effective partition key e has Min <= e < Max.
const (
	Min = ""
	Max = "FF"
)

const (
	maxStringCharsV1 = 100
	numberMarker     = 0x05
	stringMarker     = 0x08
)

// Of returns the effective partition key of the components, each null, a boolean, a number, a
// string or undefined. Fewer components than levels (MultiHash) give the prefix that all full keys
// below share.
func Of(kind Kind, components []value.Value) string {
	switch kind {
	case HashV1:
		return v1(components)
	case HashV2:
		var in []byte
		for _, c := range components {
			in = appendHashInput(in, c, 0xFF)
		}
		return routed(in)
	}
	var b strings.Builder
	for _, c := range components {
		b.WriteString(routed(appendHashInput(nil, c, 0xFF)))
	}
	return b.String()
}

// routed hashes in and clears the two top bits, so that "FF" lies above every key.
func routed(in []byte) string {
	low, high := murmur128(in)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	b[0] &= 0x3F
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

func appendHashInput(dst []byte, c value.Value, stringEnd byte) []byte {
	switch c.Kind {
	case value.Null:
		return append(dst, 1)
	case value.Bool:
		if c.Bool {
			return append(dst, 3)
		}
		return append(dst, 2)
	case value.Number:
		return binary.LittleEndian.AppendUint64(append(dst, numberMarker), math.Float64bits(c.Num))
	case value.String:
		dst = append(append(dst, stringMarker), c.Str...)
		return append(dst, stringEnd)
	}
	return append(dst, 0)
}

// v1 is the number of the 32-bit hash, then the components, in an encoding that sorts as the values
// do. Strings count with their first 100 characters.
func v1(components []value.Value) string {
	cut := make([]value.Value, len(components))
	var in []byte
	for i, c := range components {
		if r := []rune(c.Str); len(r) > maxStringCharsV1 {
			c.Str = string(r[:maxStringCharsV1])
		}
		cut[i] = c
		in = appendHashInput(in, c, 0x00)
	}
	out := appendSortable(nil, value.OfNumber(float64(murmur32(in))))
	for _, c := range cut {
		out = appendSortable(out, c)
	}
	return strings.ToUpper(hex.EncodeToString(out))
}

func appendSortable(dst []byte, c value.Value) []byte {
	switch c.Kind {
	case value.Number:
		return appendSortableNumber(append(dst, numberMarker), c.Num)
	case value.String:
		return appendSortableString(append(dst, stringMarker), c.Str)
	case value.Null, value.Bool:
		return appendHashInput(dst, c, 0)
	}
	return append(dst, 0)
}

// appendSortableNumber writes 8 bits, then groups of 7 bits whose low bit says whether more follow.
func appendSortableNumber(dst []byte, f float64) []byte {
	payload := math.Float64bits(f)
	if payload>>63 == 0 {
		payload ^= 1 << 63
	} else {
		payload = ^payload + 1
	}
	dst = append(dst, byte(payload>>56))
	payload <<= 8
	var group byte
	for first := true; payload != 0; first = false {
		if !first {
			dst = append(dst, group)
		}
		group = byte(payload>>56) | 1
		payload <<= 7
	}
	return append(dst, group&0xFE)
}

func appendSortableString(dst []byte, s string) []byte {
	short := len(s) <= maxStringCharsV1
	for i := 0; i < len(s) && i <= maxStringCharsV1; i++ {
		c := s[i]
		if c < 0xFF {
			c++
		}
		dst = append(dst, c)
	}
	if short {
		dst = append(dst, 0)
	}
	return dst
}

// Middle returns a boundary halfway between two boundaries of a HashV2 or MultiHash container, and
// false when there is no room for one.
func Middle(lower, upper string) (string, bool) {
	lo, hi := boundary(lower), boundary(upper)
	if upper == Max {
		hi = [2]uint64{0x40 << 56, 0}
	}
	// (lo + hi) / 2 over 128 bits: both are below 2^127, so that the sum does not overflow.
	low := lo[1] + hi[1]
	carry := uint64(0)
	if low < lo[1] {
		carry = 1
	}
	high := lo[0] + hi[0] + carry
	mid := [2]uint64{high >> 1, low>>1 | high<<63}
	if mid == lo || mid == hi {
		return "", false
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], mid[0])
	binary.BigEndian.PutUint64(b[8:], mid[1])
	return strings.ToUpper(hex.EncodeToString(b[:])), true
}

// boundary reads the first 32 hex digits of s, missing ones being 0.
func boundary(s string) [2]uint64 {
	s += strings.Repeat("0", 32)
	b, err := hex.DecodeString(s[:32])
	if err != nil {
		return [2]uint64{}
	}
	return [2]uint64{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}
