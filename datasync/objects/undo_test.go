package objects

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// clashed is a pair that has met two writes of one object, and the entry of the one that lost.
func clashed(t *testing.T, versions bool) (p *pair, loser string, entry journal.Conflict) {
	t.Helper()
	p = newPair(t)
	p.s3.versions, p.blob.versions = versions, versions
	p.s3.put("a", "first", nil)
	p.start()
	p.settled()
	p.stop()
	p.blob.put("a", "from blob", map[string]string{"by": "blob"})
	p.s3.put("a", "from s3", map[string]string{"by": "s3"})
	p.start()
	p.settled()
	wait(t, "the conflict", func() bool { return len(p.conflicts()) == 1 })
	entry = p.conflicts()[0]
	loser = "from s3"
	if won, _ := p.s3.content("a"); won == loser {
		loser = "from blob"
	}
	return p, loser, entry
}

func TestALoserOfTheJournalIsWrittenBack(t *testing.T) {
	for _, versions := range []bool{false, true} {
		t.Run(fmt.Sprint(versions), func(t *testing.T) {
			p, loser, entry := clashed(t, versions)
			version, err := p.r.Undo(t.Context(), "a", &entry.Loser)
			if err != nil {
				t.Fatal(err)
			}
			if version.Compare(entry.Winner.Version) <= 0 {
				t.Errorf("version %s is not after %s", version, entry.Winner.Version)
			}
			wait(t, "both sides to follow", func() bool {
				a, _ := p.s3.content("a")
				z, _ := p.blob.content("a")
				return a == loser && z == loser
			})
			info := p.s3.described("a")
			if "from "+info.Metadata["by"] != loser || info.ContentType != "text/plain" {
				t.Errorf("its description is lost: %+v", info)
			}
			if n := len(p.conflicts()); n != 1 {
				t.Errorf("%d conflicts", n)
			}
		})
	}
}

func TestADeletedLoserAndOneThatIsGone(t *testing.T) {
	p, _, entry := clashed(t, false)
	gone := entry.Loser
	gone.Object = &journal.Object{KeptAt: gone.Object.KeptAt, Kept: OwnPrefix + "losers/none"}
	if _, err := p.r.Undo(t.Context(), "a", &gone); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("a copy that is gone: %v", err)
	}
	gone.Object = &journal.Object{Size: 1}
	if _, err := p.r.Undo(t.Context(), "a", &gone); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("content that was never kept: %v", err)
	}
	deleted := journal.Side{Region: proa.Azure, Time: time.Now(), Tombstone: true}
	if _, err := p.r.Undo(t.Context(), "a", &deleted); err != nil {
		t.Fatal(err)
	}
	wait(t, "the delete to cross", func() bool {
		_, a := p.s3.content("a")
		_, z := p.blob.content("a")
		return !a && !z
	})
	if err := p.r.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.Undo(t.Context(), "a", &entry.Loser); !errors.Is(err, proa.ErrConflict) {
		t.Errorf("a paused bucket: %v", err)
	}
	if err := p.r.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.Undo(t.Context(), "a", &entry.Loser); err != nil {
		t.Errorf("after a delete: %v", err)
	}
}
