package cloudwatch

import (
	"bytes"
	"net/http/httptest"
	"testing"
)

func FuzzExpressionNeverPanics(f *testing.F) {
	for _, seed := range []string{"a+b*2", "(a/b)*100", "-a^2", "((((", "1..2", "a b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parse(text)
		if err == nil {
			e.over(map[string]points{"a": {1: 2}, "b": {1: 0}})
		}
	})
}

func FuzzRequestBodyNeverPanics(f *testing.F) {
	f.Add([]byte{0xa1, 0x61, 'a', 0x01})
	f.Add([]byte{0xbf, 0x61, 'a', 0xc1, 0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", pathPrefix+"PutMetricData", bytes.NewReader(body))
		if out, refusal := (codec{cbor: true}).read(r); refusal == nil && len(out) == 0 {
			t.Error("neither a request nor a refusal")
		}
	})
}
