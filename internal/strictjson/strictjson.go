// Package strictjson finds JSON text that encoding/json would alter without a word.
package strictjson

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// IsUnicode reports whether a JSON text is UTF-8 and escapes no half of a surrogate pair alone (RFC 8259 section 8.2): the
// decoder would put U+FFFD in the place of either.
func IsUnicode(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	for rest := text; ; {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 || i+1 >= len(rest) {
			return true
		}
		unit := codeUnit(rest[i:])
		if unit < 0 { // another escape, or none at all: the decoder's business
			rest = rest[i+2:]
			continue
		}
		rest = rest[i+6:]
		if !utf16.IsSurrogate(unit) {
			continue
		}
		if utf16.DecodeRune(unit, codeUnit(rest)) == utf8.RuneError {
			return false
		}
		rest = rest[6:]
	}
}

// codeUnit is the UTF-16 code unit of an escape \uXXXX at the beginning of a text, -1 where there is none.
func codeUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
