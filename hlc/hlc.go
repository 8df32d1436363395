// Package hlc is the hybrid logical clock: 48 bits of milliseconds since the Unix epoch and 16 bits of
// logical counter in one uint64, so that timestamps compare as integers. Logical overflow carries into
// the milliseconds. It reads no clock: the caller gives the physical time.
//
// Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.
package hlc

import (
	"fmt"
	"strconv"
	"time"
)

const logicalBits = 16

// Timestamp is a point of hybrid time. The zero Timestamp is before every other.
type Timestamp uint64

// At returns the first timestamp of the millisecond that t falls in. Times before the epoch give zero and
// times that 48 bits of milliseconds cannot hold (year 10889) give the last representable millisecond.
func At(t time.Time) Timestamp { return FromMS(t.UnixMilli()) }

// FromMS is At for milliseconds since the Unix epoch.
func FromMS(ms int64) Timestamp {
	const most = 1<<48 - 1
	return Timestamp(min(max(ms, 0), most)) << logicalBits
}

// MS returns the milliseconds since the Unix epoch.
func (t Timestamp) MS() int64 { return int64(t >> logicalBits) }

// Logical returns the counter within the millisecond.
func (t Timestamp) Logical() uint16 { return uint16(t) }

// Time returns the physical part.
func (t Timestamp) Time() time.Time { return time.UnixMilli(t.MS()).UTC() }

// Next returns the smallest timestamp after t; a full logical counter carries into the milliseconds.
// The last timestamp has no successor and is returned as it is.
func (t Timestamp) Next() Timestamp {
	if t == ^Timestamp(0) {
		return t
	}
	return t + 1
}

// String renders 16 fixed-width hexadecimal digits, which sort as the timestamps do.
func (t Timestamp) String() string { return fmt.Sprintf("%016x", uint64(t)) }

// Parse reads what String writes.
func Parse(s string) (Timestamp, error) {
	if len(s) != 16 {
		return 0, fmt.Errorf("hybrid timestamp %q: want 16 hexadecimal digits", s)
	}
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("hybrid timestamp %q: want 16 hexadecimal digits", s)
	}
	return Timestamp(n), nil
}
