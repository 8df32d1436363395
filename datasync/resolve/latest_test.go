package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// latest makes of a side's unread changes the one that Cosmos DB's latest-version feed shows: the last,
// without what was there before.
func (b *bench) latest(r proa.Region) {
	i := Index(r)
	if n := len(b.unread[i]); n > 0 {
		b.unread[i] = b.unread[i][n-1:]
		b.unread[i][0].Old, b.unread[i][0].ETag = nil, "e"
	}
}

// send dispatches a side and stores what is to be written.
func (b *bench) send(r proa.Region) {
	for _, o := range b.step(Dispatch{Side: r, Fresh: b.now}) {
		if w, ok := o.(Write); ok {
			b.write(w)
		}
	}
}

// A latest-version feed shows a write of ours only together with the update that came after it, as one
// image with our envelope: that update is a local write, which wins or is in the journal.
func TestUpdateThatHidesOurWriteIsALocalWrite(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	b.send(proa.Azure) // the feed never shows this one
	b.put(proa.AWS, text("two"))
	b.read(proa.AWS)
	b.send(proa.Azure)
	img := b.stored[Index(proa.Azure)]
	b.store(proa.Azure, proa.Image{Item: text("three"), Envelope: img.Envelope}, false)
	b.latest(proa.Azure)
	b.ends(text("three"))
	if diff := cmp.Diff([]proa.Item(nil), b.losers()); diff != "" {
		t.Errorf("losers:\n%s", diff)
	}
}

// A write of ours is under way when an application's own write comes without what was there before, as a
// latest-version feed tells it. Its envelope names the state that its writer has seen: a counter needs no
// more to count both writers.
func TestEnvelopeNamesTheBaseThatALatestVersionFeedHides(t *testing.T) {
	cases := map[string]struct {
		envelope func(seen, at proa.Version, hash proa.Hash) *proa.Envelope
		want     int
	}{
		"a proa writer": {
			func(seen, at proa.Version, hash proa.Hash) *proa.Envelope {
				return &proa.Envelope{Version: proa.Version{Time: at.Time, Region: proa.Azure, Hash: hash}, Parent: seen}
			}, 11,
		},
		"a foreign writer that keeps what it read": {
			func(seen, _ proa.Version, _ proa.Hash) *proa.Envelope { return &proa.Envelope{Version: seen} }, 11,
		},
		// It may have read the one or the other: nothing is made up, and the older one is in the journal.
		"a foreign writer that drops the envelope": {
			func(proa.Version, proa.Version, proa.Hash) *proa.Envelope { return nil }, 8,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "merge", map[string]string{"n": "counter"})
			b.put(proa.AWS, proa.Item{"n": n(10)})
			b.settle()
			seen := b.stored[Index(proa.Azure)].Envelope.Version
			b.put(proa.AWS, proa.Item{"n": n(13)})
			b.read(proa.AWS)
			for _, o := range b.step(Dispatch{Side: proa.Azure, Fresh: b.now}) {
				if w, ok := o.(Write); ok { // cut off before it arrives, as far as anybody can tell
					b.step(Applied{Side: proa.Azure, Intent: w.Intent, Outcome: Ambiguous})
				}
			}
			item := proa.Item{"id": proa.String("k"), "n": n(8)}
			at := proa.Version{Time: hlc.At(b.now.Add(time.Second))}
			b.store(proa.Azure, proa.Image{Item: item, Envelope: c.envelope(seen, at, proa.ContentHash(item))}, false)
			b.latest(proa.Azure)
			b.ends(proa.Item{"id": proa.String("k"), "n": n(c.want)})
			if lost := len(b.losers()); lost != 1 {
				t.Errorf("%d conflicts in the journal, want 1", lost)
			}
		})
	}
}

// A frozen owner's write lands where a delete was, after its tombstone image was taken away, which a
// latest-version feed hides. It cannot be told from an item put back, and wins; the delete is in the journal.
func TestALateWriteOverADeleteThatTheFeedHidesIsInDoubt(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.rules.Born = b.now
	old := b.version("old", 0)
	gone := proa.Version{Time: hlc.At(b.now.Add(2 * time.Second)), Region: proa.Azure}
	key := proa.Item{"id": proa.String("k")}
	b.store(proa.Azure, proa.Image{Item: key, Envelope: &proa.Envelope{Version: gone, Tombstone: true}}, false)
	b.latest(proa.Azure)
	b.read(proa.Azure)
	b.send(proa.AWS)
	b.stored[Index(proa.Azure)] = proa.Image{}
	late := &proa.Envelope{Version: old, Write: b.s.LastID - 1}
	b.store(proa.Azure, proa.Image{Item: text("old"), Envelope: late}, false)
	b.latest(proa.Azure)
	b.ends(text("old"))
	if diff := cmp.Diff([]proa.Item{nil}, b.losers()); diff != "" {
		t.Errorf("losers:\n%s", diff)
	}
}
