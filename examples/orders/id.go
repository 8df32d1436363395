package orders

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// newID makes an id that sorts by its time of creation: a ULID, 48 bits of milliseconds and 80 random bits in 26 characters of
// Crockford's base 32. https://github.com/ulid/spec
func newID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // crypto/rand never fails
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = digits[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(id[:])
}

// explainJSON says where malformed JSON goes wrong.
func explainJSON(text []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return strings.TrimSuffix(err.Error(), ": invalid")
	}
	before := string(text[:min(int(syntax.Offset), len(text))])
	line := 1 + strings.Count(before, "\n")
	column := len(before) - strings.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("malformed JSON at line %d, column %d: %s", line, max(column, 1), syntax.Error())
}
