package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

func text(s string) proa.Item { return proa.Item{"id": proa.String("k"), "x": proa.String(s)} }

// row is what a side's store holds.
func (b *bench) row(r proa.Region) cloud.Row {
	return cloud.Row{Key: b.s.Key, Image: b.stored[Index(r)]}
}

// losers are the contents in the journal, nil for a delete.
func (b *bench) losers() []proa.Item {
	var list []proa.Item
	for _, o := range b.out {
		if c, ok := o.(Clash); ok {
			list = append(list, c.Loser.Item)
		}
	}
	return list
}

// lose drops what a side's feed has not shown yet, as a gap does.
func (b *bench) lose(r proa.Region) { b.unread[Index(r)] = nil }

// ends checks what both stores hold once everything has settled.
func (b *bench) ends(want proa.Item) {
	b.t.Helper()
	b.settle()
	for i, r := range proa.Regions() {
		if diff := cmp.Diff(want, b.stored[i].Item); diff != "" {
			b.t.Errorf("%s:\n%s", r, diff)
		}
	}
}

// A write's answer may be taken long after the write: a row that was read in between, where the feed
// has lost what came after the write, must not be dropped for it.
func TestRowReadBeforeAnAnswerWasTakenIsReadAgain(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	var sent Write
	for _, o := range b.step(Dispatch{Side: proa.AWS, Fresh: b.now}) {
		sent, _ = o.(Write)
	}
	b.store(proa.AWS, sent.Next, false)
	answer := Applied{Side: proa.AWS, Intent: sent.Intent, Outcome: Done, Row: b.row(proa.AWS)}
	b.store(proa.AWS, proa.Image{
		Item:     proa.Item{"id": proa.String("k"), "x": proa.String("one"), "y": proa.String("hidden")},
		Envelope: b.stored[0].Envelope,
	}, false)
	b.lose(proa.AWS)
	b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now})
	b.step(answer)
	for range 3 {
		b.now = b.now.Add(10 * time.Second)
		for _, o := range b.step(Dispatch{Side: proa.AWS, Fresh: b.now}) {
			switch o := o.(type) {
			case Observe:
				b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now})
			case Write:
				b.write(o)
			}
		}
	}
	want := text("one")
	want["y"] = proa.String("hidden")
	b.ends(want)
}

// A table that was restored to yesterday holds states that this key has had: they do not beat what is
// newer, and they bring no deleted item back.
func TestRestoredRowDoesNotBeatWhatIsNewer(t *testing.T) {
	for _, newer := range []proa.Item{text("today"), nil} {
		b := newBench(t, "lww", nil)
		b.put(proa.AWS, text("yesterday"))
		b.settle()
		saved := b.stored[Index(proa.Azure)]
		b.put(proa.AWS, newer)
		b.settle()
		b.stored[Index(proa.Azure)] = saved
		b.now = b.now.Add(time.Hour)
		b.step(Observed{Side: proa.Azure, Row: b.row(proa.Azure), Began: b.now})
		b.ends(newer)
	}
}

// A row that differs after a gap, and that no envelope speaks for, is taken; what it takes the place of
// is in the journal, since nobody can say that its writer saw that.
func TestStateThatAnUnexplainedRowReplacesIsInTheJournal(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	b.put(proa.Azure, text("two"))
	b.lose(proa.Azure)
	b.now = b.now.Add(time.Hour)
	b.step(Observed{Side: proa.Azure, Row: b.row(proa.Azure), Began: b.now})
	b.ends(text("two"))
	if diff := cmp.Diff([]proa.Item{text("one")}, b.losers()); diff != "" {
		t.Errorf("losers:\n%s", diff)
	}
}

// The same content at the same version may be there by an earlier attempt of ours, whose envelope has another
// number: what is written next is compared with what is there, not with what the last attempt would have left.
func TestAnEarlierAttemptOfTheSameWriteIsWhatTheNextOneIsComparedWith(t *testing.T) {
	for _, told := range []string{"by a scan", "by a refusal"} {
		b := newBench(t, "lww", nil)
		b.put(proa.AWS, text("one"))
		b.settle()
		first := *b.stored[1].Envelope
		first.Write-- // as an attempt before it left it, which landed after a delete that a gap has hidden
		b.stored[1].Envelope = &first
		if told == "by a scan" {
			b.step(Observed{Side: proa.Azure, Row: b.row(proa.Azure), Began: b.now})
		}
		b.put(proa.AWS, text("two"))
		b.read(proa.AWS)
		compared := false
		for range 2 {
			b.now = b.now.Add(time.Minute)
			for _, o := range b.step(Dispatch{Side: proa.Azure, Fresh: b.now}) {
				w, ok := o.(Write)
				if !ok {
					continue
				}
				if *w.Seen.Image.Envelope == first {
					compared = true
					continue
				}
				b.step(Applied{Side: proa.Azure, Intent: w.Intent, Outcome: Conflict, Row: b.row(proa.Azure)})
			}
		}
		if !compared {
			t.Errorf("%s: the next write is not compared with what is stored", told)
		}
	}
}
