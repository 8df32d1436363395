package cloud_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa/cloud"
)

func TestCRC64HasTheVendorsCheckValue(t *testing.T) {
	crc := cloud.NewCRC64()
	crc.Write([]byte("123456789"))
	if got := crc.Sum64(); got != 0xae8b14860a799888 {
		t.Errorf("got %x", got)
	}
}

func TestAnyTextSurvivesAMetadataHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"plain", " padded ", "=?utf-8?b?eA==?=", "a =?x", "", "\u200b", "x\u200b", strings.Repeat("ö", 300), "tab\t",
		})).Draw(t, "value")
		header := cloud.EncodeHeader(want)
		for i := 0; i < len(header); i++ {
			if header[i] < 0x20 || header[i] >= 0x7f {
				t.Fatalf("%q is sent as %q", want, header)
			}
		}
		if strings.TrimSpace(header) != header {
			t.Fatalf("%q is sent as %q, which loses its ends", want, header)
		}
		if got := cloud.DecodeHeader(header); got != want {
			t.Fatalf("%q is sent as %q and comes back as %q", want, header, got)
		}
	})
}
