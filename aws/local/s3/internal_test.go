package s3

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEscapedKeysKeepByteOrderAndComeBack(t *testing.T) {
	gen := rapid.StringMatching(`[\x00\x01a\xff/]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if got := strings.Compare(escapeKey(a), escapeKey(b)); got != strings.Compare(a, b) {
			t.Fatalf("%q and %q change their order", a, b)
		}
		key, rest, ok := unescapeKey([]byte(escapeKey(a) + "rest"))
		if !ok || key != a || string(rest) != "rest" {
			t.Fatalf("%q came back as %q, %q", a, key, rest)
		}
	})
}

func TestPrefixEndIsJustPastThePrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xFE, 0xFF}), 1, 4).Draw(t, "prefix")
		k := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xFE, 0xFF}), 0, 6).Draw(t, "key")
		end := prefixEnd(p)
		in := bytes.Compare(k, p) >= 0 && (end == nil || bytes.Compare(k, end) < 0)
		if in != bytes.HasPrefix(k, p) {
			t.Fatalf("%x in [%x, %x) is %v", k, p, end, in)
		}
	})
}

func TestCombinedChecksumsAreThoseOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "b")
		whole, n := slices.Concat(a, b), int64(len(b))
		nvme := func(p []byte) uint64 { return crc64.Checksum(p, tableNVME) }
		if got := combineCRC(64, polyNVME, nvme(a), nvme(b), n); got != nvme(whole) {
			t.Fatalf("crc64: %x, want %x", got, nvme(whole))
		}
		ieee := func(p []byte) uint64 { return uint64(crc32.ChecksumIEEE(p)) }
		if got := combineCRC(32, crc32.IEEE, ieee(a), ieee(b), n); got != ieee(whole) {
			t.Fatalf("crc32: %x, want %x", got, ieee(whole))
		}
		cast := func(p []byte) uint64 { return uint64(crc32.Checksum(p, tableC)) }
		if got := combineCRC(32, crc32.Castagnoli, cast(a), cast(b), n); got != cast(whole) {
			t.Fatalf("crc32c: %x, want %x", got, cast(whole))
		}
	})
}

// The check value of CRC-64/NVME from its catalogue entry: "123456789" gives ae8b14860a799888.
func TestCRC64NVMECheckValue(t *testing.T) {
	d := newDigest("")
	_, _ = d.Write([]byte("123456789"))
	if got := d.crc.Sum64(); got != 0xAE8B14860A799888 {
		t.Errorf("%x", got)
	}
	if got := d.crc.Sum(nil); binary.BigEndian.Uint64(got) != 0xAE8B14860A799888 {
		t.Errorf("%x", got)
	}
}

func TestVersionIDsAreNotGuessed(t *testing.T) {
	for _, id := range []string{"", "null", "zz", strings.Repeat("0", 32), versionID(7)[:31] + "0"} {
		if seq, ok := seqOfVersion(id); ok {
			t.Errorf("%q is taken for version %d", id, seq)
		}
	}
	if seq, ok := seqOfVersion(versionID(7)); !ok || seq != 7 {
		t.Error("an id does not come back")
	}
}
