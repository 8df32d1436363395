package cloud

import (
	"mime"
	"strings"
)

// EncodeHeader makes any text fit to be the value of a metadata header: text that is not printable ASCII, has space at an end or looks
// like an encoded word itself becomes an RFC 2047 word. Both drivers use it, so that metadata is the same on both sides.
func EncodeHeader(v string) string {
	plain := strings.TrimSpace(v) == v && !strings.Contains(v, "=?")
	for i := 0; i < len(v) && plain; i++ {
		plain = v[i] >= 0x20 && v[i] < 0x7f
	}
	if plain {
		return v
	}
	return mime.BEncoding.Encode("utf-8", padded(v))
}

// padded makes mime encode text that it would leave as it is: it leaves printable ASCII alone.
func padded(v string) string {
	for i := 0; i < len(v); i++ {
		if v[i] < 0x20 && v[i] != '\t' || v[i] >= 0x7f {
			return v
		}
	}
	return v + padding
}

const padding = "\u200b"

// DecodeHeader undoes EncodeHeader. Text that is no encoded word is returned as it is.
func DecodeHeader(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(v)
	if err != nil {
		return v
	}
	return strings.TrimSuffix(decoded, padding)
}
