package proa

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa/hlc"
)

func versions() *rapid.Generator[Version] {
	return rapid.Custom(func(t *rapid.T) Version {
		var h Hash
		copy(h[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
		return Version{
			Time:   hlc.Timestamp(rapid.Uint64Range(0, 3).Draw(t, "time")),
			Region: rapid.SampledFrom([]Region{AWS, Azure}).Draw(t, "region"),
			Hash:   h,
		}
	})
}

func TestVersionsAreTotallyOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := versions().Draw(t, "a"), versions().Draw(t, "b"), versions().Draw(t, "c")
		if (a.Compare(b) < 0) != (b.Compare(a) > 0) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("not antisymmetric: %v %v", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("not transitive: %v %v %v", a, b, c)
		}
	})
}

func TestEnvelopesSurviveTheirAttribute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Envelope{Version: versions().Draw(t, "v"), Tombstone: rapid.Bool().Draw(t, "d")}
		if rapid.Bool().Draw(t, "has parent") {
			e.Parent = versions().Draw(t, "p")
		}
		got, err := ParseEnvelope(e.Value())
		if err != nil || got != e {
			t.Fatalf("got %+v, %v; want %+v", got, err, e)
		}
		img := SplitEnvelope(Image{Item: Item{"id": String("x")}, Envelope: &e}.Stored())
		if img.Envelope == nil || *img.Envelope != e || len(img.Item) != 1 {
			t.Fatalf("stored and split: %+v", img)
		}
	})
}

func TestMalformedEnvelopesAreReportedNotTrusted(t *testing.T) {
	for name, v := range map[string]Value{
		"not a map":    String("x"),
		"empty":        Map(Item{}),
		"bad time":     Map(Item{"v": String("zz"), "o": String("aws"), "h": String("00000000000000000000000000000000")}),
		"bad region":   Map(Item{"v": String("0000000000000001"), "o": String("gcp"), "h": String("00000000000000000000000000000000")}),
		"short hash":   Map(Item{"v": String("0000000000000001"), "o": String("aws"), "h": String("00")}),
		"bad parent":   Map(Item{"v": String("0000000000000001"), "o": String("aws"), "h": String("00000000000000000000000000000000"), "p": String("a.b.c")}),
		"dots in time": Map(Item{"v": String("1.2"), "o": String("aws"), "h": String("x")}),
	} {
		if _, err := ParseEnvelope(v); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
		img := SplitEnvelope(Item{"id": String("x"), EnvelopeAttr: v})
		if img.Envelope != nil || img.Malformed == "" {
			t.Errorf("%s: got %+v", name, img)
		}
	}
}

func TestPositionsCompareByValue(t *testing.T) {
	for _, tc := range []struct {
		a, b Position
		want int
	}{{"", "1", -1}, {"9", "10", -1}, {"0010", "10", 0}, {"100000000000000000000000000001", "99", 1}} {
		if got := tc.a.Compare(tc.b); got != tc.want {
			t.Errorf("%q against %q: got %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
