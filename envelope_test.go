package proa

import (
	"errors"
	"testing"
)

func envelopeOf(fields Item) Value {
	m := Envelope{Version: Version{Time: 1 << 16, Region: AWS, Hash: ContentHash(Item{"id": String("k")})}}.Value().Map
	for name, v := range fields {
		m[name] = v
	}
	return Map(m)
}

// A newer node reads what an older one wrote, which says no format, and a field that it does not know is no reason
// to refuse a format that it does.
func TestAnEnvelopeOfAKnownFormatIsRead(t *testing.T) {
	for name, fields := range map[string]Item{
		"without a format":          nil,
		"of this format":            {"f": {Kind: KindN, Str: "1"}},
		"with a field that is new":  {"zz": String("1")},
		"with a nested field of it": {"zz": Map(Item{"a": Bool(true)})},
	} {
		if e, err := ParseEnvelope(envelopeOf(fields)); err != nil || e.Version.Region != AWS {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

// Whatever else an envelope of a later format says, an older node has not understood it.
func TestAnEnvelopeOfALaterFormatIsNotRead(t *testing.T) {
	for name, fields := range map[string]Item{
		"later":                          {"f": {Kind: KindN, Str: "2"}},
		"later, versions unreadable":     {"f": {Kind: KindN, Str: "3"}, "v": Bool(true), "o": String("gcp")},
		"a format that is no number":     {"f": String("x")},
		"later, with a field that's new": {"f": {Kind: KindN, Str: "2"}, "zz": String("1")},
	} {
		img := SplitEnvelope(Item{"id": String("k"), EnvelopeAttr: envelopeOf(fields)})
		if img.Envelope != nil || !LaterFormat(img.Malformed) || img.Tombstone() {
			t.Errorf("%s: %+v", name, img)
		}
		if _, err := ParseEnvelope(envelopeOf(fields)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if img := SplitEnvelope(Item{"id": String("k"), EnvelopeAttr: String("?")}); LaterFormat(img.Malformed) {
		t.Errorf("what is broken passes for newer: %s", img.Malformed)
	}
}
