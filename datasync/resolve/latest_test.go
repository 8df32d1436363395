package resolve

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
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
