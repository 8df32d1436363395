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

func TestChecksumsOfPartsMakeTheWholesChecksum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunks := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 300)).Draw(t, "parts")
		whole := cloud.NewCRC64()
		var parts []cloud.Part
		for i, chunk := range chunks {
			sum := cloud.NewCRC64()
			sum.Write(chunk)
			whole.Write(chunk)
			parts = append(parts, cloud.Part{Number: i + 1, Size: int64(len(chunk)), CRC64: sum.Sum64()})
		}
		if got := cloud.PartsCRC64(parts); got != whole.Sum64() {
			t.Fatalf("combined %016x, whole %016x", got, whole.Sum64())
		}
	})
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
