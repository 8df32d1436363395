package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa/internal/strictjson"
)

func TestTextThatIsNoUnicodeIsFound(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"\xff\xfe": false, "\xc0\xaf": false, `\ud83d`: false, `\ude00`: false, `\ude00\ud83d`: false, `\ud83dx`: false, `\ud83d\u0041`: false,
		`\ud83d\ude00`: true, `\uD83D\uDE00`: true, `\\ud83d`: true, `\\\ud83d`: false, `\u0000`: true, `\ufffd`: true, "": true, "é": true,
	} {
		if got := strictjson.IsUnicode([]byte(`{"v":"` + text + `"}`)); got != ok {
			t.Errorf("%q: %t, want %t", text, got, ok)
		}
	}
}

// What is found to be Unicode is decoded without a U+FFFD that was not there, and the other way round.
func TestWhatIsFoundIsWhatTheDecoderAlters(t *testing.T) {
	t.Parallel()
	pieces := []string{"a", "é", `\\`, `\"`, `\n`, `\u0041`, `\ud83d`, `\ude00`, `\uDBFF`, "\xff", "😀"}
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(`"` + strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "pieces"), "") + `"`)
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if altered := strings.ContainsRune(s, '\ufffd'); altered == strictjson.IsUnicode(text) {
			t.Errorf("%s is decoded as %q", text, s)
		}
	})
}
