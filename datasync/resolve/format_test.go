package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// later is an image as an older node reads what a later proa has stored, and as that one reads it.
func (b *bench) later(s string) (read, meant proa.Image) {
	e := proa.Envelope{Version: proa.Version{
		Time: hlc.At(b.now), Region: proa.Azure, Hash: proa.ContentHash(text(s)),
	}}
	fields := e.Value().Map
	fields["f"] = proa.Value{Kind: proa.KindN, Str: "2"}
	stored := text(s)
	stored[proa.EnvelopeAttr] = proa.Map(fields)
	return proa.SplitEnvelope(stored), proa.Image{Item: text(s), Envelope: &e}
}

// An older node leaves alone what a later proa has written, whatever comes on the other side and whatever an
// operator orders, until it has been upgraded. Then it goes on, and nothing is lost.
func TestWhatALaterProaHasWrittenIsLeftAlone(t *testing.T) {
	for _, met := range []string{"in the feed", "in a scan"} {
		b := newBench(t, "lww", nil)
		b.put(proa.AWS, text("one"))
		b.settle()
		read, meant := b.later("two")
		b.store(proa.Azure, read, false)
		if met == "in a scan" {
			b.lose(proa.Azure)
			b.step(Observed{Side: proa.Azure, Row: b.row(proa.Azure), Began: b.now})
		}
		b.settle()
		b.put(proa.AWS, text("three"))
		b.settle()
		b.reread()
		b.settle()
		if diff := cmp.Diff(read, b.stored[Index(proa.Azure)]); diff != "" {
			t.Errorf("%s: an older node wrote over it:\n%s", met, diff)
		}
		if got := b.stored[Index(proa.AWS)].Item; !got.Equal(text("three")) {
			t.Errorf("%s: aws has %v", met, got)
		}
		b.stored[Index(proa.Azure)] = meant // as the node reads it now
		b.reread()
		b.ends(text("three"))
		if diff := cmp.Diff([]proa.Item{text("two")}, b.losers()); diff != "" {
			t.Errorf("%s: losers:\n%s", met, diff)
		}
	}
}

// reread is what the shell does when an operator has a quarantined key tried again.
func (b *bench) reread() {
	b.now = b.now.Add(time.Second)
	for _, o := range b.step(Retry{}) {
		if o, ok := o.(Observe); ok {
			b.step(Observed{Side: o.Side, Row: b.row(o.Side), Began: b.now})
		}
	}
}
