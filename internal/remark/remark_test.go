package remark

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRemarksAreShortAndPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"status 503, ça va":            "status 503, ça va",
		"\x1b[2Jgone\r\nnext\x00":      " [2Jgone  next ",
		"half a \xe2\x82":              "half a   ",
		"turned \u202e round":          "turned   round",
		strings.Repeat("x", Most):      strings.Repeat("x", Most),
		strings.Repeat("x", Most+1):    strings.Repeat("x", Most-3) + "…",
		strings.Repeat("é", 100_000):   strings.Repeat("é", (Most-3)/2) + "…",
		strings.Repeat("\x1b", 2*Most): strings.Repeat(" ", Most-3) + "…",
	} {
		if got := Clean(in); got != want || len(got) > Most || !utf8.ValidString(got) {
			t.Errorf("%.20q: %q, want %q", in, got, want)
		}
	}
}
