package resolve

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// A side is away for longer than its list of intents would last at full speed. The very first write, long since
// replaced, lands when the side is back: it is known, and what has replaced it wins.
func TestAWriteThatLandsAfterHundredsOfAttemptsIsKnown(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("zero"))
	b.settle()
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	attempt := func() (w Write, ok bool) {
		for _, o := range b.step(Dispatch{Side: proa.Azure}) {
			if w, ok = o.(Write); ok {
				b.step(Applied{Side: proa.Azure, Intent: w.Intent, Outcome: Ambiguous})
			}
		}
		return w, ok
	}
	first, ok := attempt()
	if !ok {
		t.Fatal("nothing is sent")
	}
	b.put(proa.AWS, text("two"))
	b.read(proa.AWS)
	began, sent, last := b.now, 0, b.now
	for b.now.Sub(began) < b.rules.InFlightMax-time.Minute {
		b.now = b.now.Add(2 * time.Second)
		if _, ok := attempt(); ok {
			sent, last = sent+1, b.now
		}
		if b.now.Sub(last) > 12*time.Second {
			t.Fatalf("after %d attempts none for %s", sent, b.now.Sub(last))
		}
	}
	if sent < maxIntents/2 || len(b.s.Sides[1].Intents) > maxIntents {
		t.Fatalf("%d attempts, %d intents", sent, len(b.s.Sides[1].Intents))
	}
	b.store(proa.Azure, first.Next, false)
	b.ends(text("two"))
	b.wantLosers()
}

// A key that is refused for ever forgets its refused writes, and goes on being tried.
func TestRefusedWritesMakeRoom(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	for range 3 * maxIntents {
		b.now = b.now.Add(b.rules.BackoffMax)
		sent := false
		for _, o := range b.step(Dispatch{Side: proa.Azure}) {
			w, ok := o.(Write)
			if sent = sent || ok; ok {
				b.step(Applied{Side: proa.Azure, Intent: w.Intent, Outcome: Throttled})
			}
		}
		if !sent || len(b.s.Sides[1].Intents) > maxIntents {
			t.Fatalf("sent %t, %d intents", sent, len(b.s.Sides[1].Intents))
		}
	}
	b.ends(text("one"))
}
