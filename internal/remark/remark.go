// Package remark bounds what others say, a sick endpoint for one, before it is kept, agreed on or shown.
package remark

import (
	"strings"
	"unicode"
)

// Most is how long a remark may be, in bytes.
const Most = 256

// Clean returns the text without control characters, which would steer the terminal of whoever reads it, and no longer than Most.
func Clean(text string) string {
	if len(text) > 4*Most {
		text = text[:4*Most]
	}
	clean := func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}
	text = strings.Map(clean, text)
	if len(text) > Most {
		const more = "…"
		text = strings.ToValidUTF8(text[:Most-len(more)], "") + more
	}
	return text
}
