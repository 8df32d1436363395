package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The checksum algorithms, by the vendor's names.
const (
	algCRC64  = "CRC64NVME"
	algCRC32  = "CRC32"
	algCRC32C = "CRC32C"
)

const (
	typeFull      = "FULL_OBJECT"
	typeComposite = "COMPOSITE"
	sumPrefix     = "X-Amz-Checksum-"
)

// Polynomials in reversed bit order, as hash/crc64 and hash/crc32 take them.
const polyNVME = 0x9A6C9329AC4BC9B5

var (
	tableNVME = crc64.MakeTable(polyNVME)
	tableC    = crc32.MakeTable(crc32.Castagnoli)
	algorithm = []string{algCRC32, algCRC32C, algCRC64, "SHA1", "SHA256", "SHA512", "MD5", "XXHASH64"}
)

// checksums are what is known of a body. CRC64 is always there; Algorithm and Value are what the
// client chose besides.
type checksums struct {
	CRC64     uint64 `json:"c"`
	Algorithm string `json:"a,omitempty"`
	Value     string `json:"v,omitempty"` // base64, with "-N" when composite
	Type      string `json:"y,omitempty"` // of Value
}

func newSum(alg string) hash.Hash {
	switch alg {
	case algCRC64:
		return crc64.New(tableNVME)
	case algCRC32:
		return crc32.NewIEEE()
	case algCRC32C:
		return crc32.New(tableC)
	case "SHA1":
		return sha1.New()
	case "SHA256":
		return sha256.New()
	case "SHA512":
		return sha512.New()
	case "MD5":
		return md5.New()
	case "XXHASH64":
		return xxhash.New()
	}
	return nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func crc64Text(c uint64) string { return b64(binary.BigEndian.AppendUint64(nil, c)) }

// setHeaders tells the checksums of a body, CRC64NVME always (the vendor tells it only where the
// client chose no other).
func (c checksums) setHeaders(h http.Header, parted bool) {
	kind := typeFull
	if c.Algorithm != "" && c.Algorithm != algCRC64 {
		h.Set(sumPrefix+c.Algorithm, c.Value)
		if c.Type != "" {
			kind = c.Type
		}
	}
	h.Set(sumPrefix+algCRC64, crc64Text(c.CRC64))
	if !parted {
		h.Set("x-amz-checksum-type", kind)
	}
}

// leaves writes the checksums as XML elements.
func (c checksums) leaves(d *xmlDoc) {
	if c.Algorithm != "" && c.Algorithm != algCRC64 {
		d.leaf("Checksum"+c.Algorithm, c.Value)
	}
	d.leaf("Checksum"+algCRC64, crc64Text(c.CRC64))
}

// wanted is the checksum that a request declares for its body.
type wanted struct {
	algorithm string
	value     string // base64; "" when it comes in the trailer, or is to be computed only
	trailer   string // canonical name of the trailer that will bring it
	md5       []byte // of Content-MD5
}

// wantedSums reads Content-MD5, x-amz-checksum-*, x-amz-trailer and x-amz-sdk-checksum-algorithm.
func wantedSums(h http.Header) (wanted, error) {
	var want wanted
	if v, ok := h["Content-Md5"]; ok {
		sum, err := base64.StdEncoding.DecodeString(v[0])
		if err != nil || len(sum) != md5.Size {
			return want, badRequest("InvalidDigest", "The Content-MD5 you specified is not valid.")
		}
		want.md5 = sum
	}
	for name, values := range h {
		alg, ok := strings.CutPrefix(name, sumPrefix)
		if alg = strings.ToUpper(alg); !ok || alg == "MODE" || alg == "TYPE" || alg == "ALGORITHM" {
			continue
		}
		if want.algorithm != "" {
			return want, invalidRequest("Expecting a single x-amz-checksum- header. " +
				"Multiple checksum Types are not allowed.")
		}
		if err := checkSumValue(name, alg, values[0]); err != nil {
			return want, err
		}
		want.algorithm, want.value = alg, values[0]
	}
	return want, want.fromTrailer(h)
}

func checkSumValue(name, alg, value string) error {
	sum := newSum(alg)
	if sum == nil {
		return invalidRequest("The algorithm type you specified in x-amz-checksum- header is invalid.")
	}
	if raw, err := base64.StdEncoding.DecodeString(value); err != nil || len(raw) != sum.Size() {
		return invalidRequest("Value for " + strings.ToLower(name) + " header is invalid.")
	}
	return nil
}

func (want *wanted) fromTrailer(h http.Header) error {
	trailer := strings.ToUpper(strings.TrimSpace(h.Get("X-Amz-Trailer")))
	if alg, ok := strings.CutPrefix(trailer, "X-AMZ-CHECKSUM-"); ok {
		if newSum(alg) == nil {
			return invalidRequest("The value specified in the x-amz-trailer header is not supported")
		}
		if want.algorithm != "" {
			return invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types " +
				"are not allowed.")
		}
		want.algorithm, want.trailer = alg, http.CanonicalHeaderKey(trailer)
	}
	sdk := strings.ToUpper(h.Get("X-Amz-Sdk-Checksum-Algorithm"))
	switch {
	case sdk == "":
	case !slices.Contains(algorithm, sdk):
		return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any " +
			"of the valid types: [" +
			strings.Join(algorithm, ", ") + "]")
	case want.algorithm == "" && want.md5 == nil:
		return invalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding " +
			"x-amz-checksum-* or x-amz-trailer headers were found.")
	case want.algorithm != "" && want.algorithm != sdk:
		return invalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// digest computes in one pass everything that a body needs.
type digest struct {
	md5   hash.Hash
	crc   hash.Hash64
	extra hash.Hash // of the client's algorithm, nil when that is CRC64NVME or none
	alg   string
}

func newDigest(alg string) *digest {
	d := &digest{md5: md5.New(), crc: crc64.New(tableNVME), alg: alg}
	if alg != "" && alg != algCRC64 {
		d.extra = newSum(alg)
	}
	return d
}

// Write implements io.Writer; it does not fail.
func (d *digest) Write(p []byte) (int, error) {
	_, _ = d.md5.Write(p)
	_, _ = d.crc.Write(p)
	if d.extra != nil {
		_, _ = d.extra.Write(p)
	}
	return len(p), nil
}

func (d *digest) sums() checksums {
	c := checksums{CRC64: d.crc.Sum64(), Algorithm: d.alg}
	switch {
	case d.extra != nil:
		c.Value, c.Type = b64(d.extra.Sum(nil)), typeFull
	case d.alg == algCRC64:
		c.Value, c.Type = crc64Text(c.CRC64), typeFull
	}
	return c
}

// check compares what was computed with what the client declared.
func (d *digest) check(want wanted, trailer http.Header) error {
	if want.md5 != nil && !slices.Equal(want.md5, d.md5.Sum(nil)) {
		return badRequest("BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	value := want.value
	if want.trailer != "" {
		value = trailer.Get(want.trailer)
		if err := checkSumValue(want.trailer, want.algorithm, value); err != nil {
			return invalidRequest("Value for " + strings.ToLower(want.trailer) +
				" trailing header is invalid.")
		}
	}
	if value != "" && value != d.sums().Value {
		return badRequest("BadDigest",
			"The "+want.algorithm+" you specified did not match the calculated checksum.")
	}
	return nil
}

// combineSums combines the checksums of parts into that of the whole, for the algorithms that can
// be combined.
func combineSums(alg string, segments []segment) (string, bool) {
	var whole uint64
	width, poly := 32, uint64(crc32.IEEE)
	switch alg {
	case algCRC32:
	case algCRC32C:
		poly = crc32.Castagnoli
	case algCRC64:
		width, poly = 64, polyNVME
	default:
		return "", false
	}
	for _, seg := range segments {
		next := seg.Sums.CRC64
		if alg != algCRC64 {
			raw, err := base64.StdEncoding.DecodeString(seg.Sums.Value)
			if err != nil || len(raw) != 4 || seg.Sums.Algorithm != alg {
				return "", false
			}
			next = uint64(binary.BigEndian.Uint32(raw))
		}
		whole = combineCRC(width, poly, whole, next, seg.Size)
	}
	if width == 64 {
		return crc64Text(whole), true
	}
	return b64(binary.BigEndian.AppendUint32(nil, uint32(whole))), true
}

func combineCRC64(segments []segment) uint64 {
	var whole uint64
	for _, seg := range segments {
		whole = combineCRC(64, polyNVME, whole, seg.Sums.CRC64, seg.Size)
	}
	return whole
}

// combineCRC returns the CRC of two texts one after the other: crc(ab) = crc(a)·x^(8·len b) +
// crc(b) modulo the polynomial, in reversed bit order.
func combineCRC(width int, poly, a, b uint64, lenB int64) uint64 {
	power := uint64(1) << (width - 1) // x^0
	base := uint64(1) << (width - 9)  // x^8
	for n := uint64(lenB); n > 0; n >>= 1 {
		if n&1 == 1 {
			power = mulMod(width, poly, power, base)
		}
		base = mulMod(width, poly, base, base)
	}
	return mulMod(width, poly, a, power) ^ b
}

// mulMod multiplies two reversed polynomials modulo poly.
func mulMod(width int, poly, a, b uint64) uint64 {
	var out uint64
	for a <<= 64 - width; a != 0; a <<= 1 {
		if a>>63 == 1 {
			out ^= b
		}
		carry := b & 1
		if b >>= 1; carry == 1 {
			b ^= poly
		}
	}
	return out
}

// composite is the checksum of the parts' checksums: the whole's for the algorithms that cannot be
// combined.
func composite(alg string, segments []segment) (string, bool) {
	sum := newSum(alg)
	if sum == nil {
		return "", false
	}
	for _, seg := range segments {
		raw, err := base64.StdEncoding.DecodeString(seg.Sums.Value)
		if err != nil || seg.Sums.Algorithm != alg {
			return "", false
		}
		_, _ = sum.Write(raw)
	}
	return b64(sum.Sum(nil)) + "-" + strconv.Itoa(len(segments)), true
}
