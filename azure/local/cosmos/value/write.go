package value

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSON appends v as compact JSON. Undefined properties and elements are left out; undefined
// itself appends nothing.
//
// Numbers are written as the shortest decimal that reads back as the same double: integers below
// 1e21 without exponent, others as JavaScript prints them (1e+21, 1.5e-7). 1.0 and 1 are the same
// number and print as 1; -0 prints as 0.
func AppendJSON(dst []byte, v Value) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		return strconv.AppendBool(dst, v.Bool)
	case Number:
		return appendNumber(dst, v.Num)
	case String:
		return appendString(dst, v.Str)
	case Array:
		return appendArray(dst, v.Items)
	case Object:
		return appendObject(dst, v.Members)
	}
	return dst
}

// JSON returns v as compact JSON.
func (v Value) JSON() []byte { return AppendJSON(nil, v) }

func appendArray(dst []byte, items []Value) []byte {
	dst = append(dst, '[')
	first := true
	for i := range items {
		if !items[i].Defined() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = AppendJSON(dst, items[i])
	}
	return append(dst, ']')
}

func appendObject(dst []byte, members []Member) []byte {
	dst = append(dst, '{')
	first := true
	for i := range members {
		if !members[i].Value.Defined() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendString(dst, members[i].Name), ':')
		dst = AppendJSON(dst, members[i].Value)
	}
	return append(dst, '}')
}

func appendNumber(dst []byte, f float64) []byte {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		// NaN and infinities never get here: the parser refuses them and operators yield undefined
		return append(dst, '0')
	}
	abs := math.Abs(f)
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// e-09 → e-9
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendASCII appends s as a JSON string of ASCII characters only, for HTTP headers.
func AppendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && r != '"' && r != '\\' && r >= 0x20:
			dst = append(dst, byte(r))
		case r < 0x20 || r == '"' || r == '\\':
			dst = appendEscape(dst, byte(r))
		case r > 0xFFFF:
			r -= 0x10000
			dst = appendHex4(dst, 0xD800+(r>>10))
			dst = appendHex4(dst, 0xDC00+(r&0x3FF))
		default:
			dst = appendHex4(dst, r)
		}
	}
	return append(dst, '"')
}

func appendHex4(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15],
		hexDigits[r&15])
}
