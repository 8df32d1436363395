package cloud

import (
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"
)

// wordBytes is how much text one encoded word holds: RFC 2047 allows 75 characters, prefix, suffix and base64 included.
const wordBytes = 45

// EncodeHeader makes any UTF-8 text fit to be the value of a metadata header: text that is not printable ASCII, has space at an end or
// looks like an encoded word itself becomes RFC 2047 words. Both drivers use it, so that metadata is the same on both sides.
func EncodeHeader(v string) string {
	plain := strings.TrimSpace(v) == v && !strings.Contains(v, "=?")
	for i := 0; i < len(v) && plain; i++ {
		plain = v[i] >= 0x20 && v[i] < 0x7f
	}
	if plain {
		return v
	}
	var words []string
	for v != "" {
		n := min(len(v), wordBytes)
		for n < len(v) && n > 1 && !utf8.RuneStart(v[n]) {
			n--
		}
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(v[:n]))+"?=")
		v = v[n:]
	}
	return strings.Join(words, " ")
}

// DecodeHeader undoes EncodeHeader and what S3 makes of other writers' values. Text that is no encoded word is returned as it is.
func DecodeHeader(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(v)
	if err != nil {
		return v
	}
	return decoded
}
