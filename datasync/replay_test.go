package datasync

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/hlc"
)

// A replay is over the whole journal, however long it is, and its contents are bounded.
func TestAReplayIsOverTheWholeJournal(t *testing.T) {
	w := newWorld(t)
	w.ready()
	began := time.Now().UTC().Add(-48 * time.Hour)
	const entries = 2300
	side := func(region proa.Region, n int, text string) journal.Side {
		item := order(fmt.Sprint("k", n), text)
		at := began.Add(time.Duration(n) * time.Minute)
		if region == proa.Azure {
			at = at.Add(time.Second)
		}
		return journal.Side{
			Version: proa.Version{Time: hlc.At(at), Region: region, Hash: proa.ContentHash(item)}, Region: region, Item: item,
		}
	}
	large := strings.Repeat("x", 1<<20)
	err := w.s.store.Commit(func(tx *shadow.Tx) error {
		for n := range entries {
			text := "old"
			if n < 20 {
				text = large
			}
			c := journal.Conflict{
				Time: began.Add(time.Duration(n) * time.Minute), Table: "orders", Reason: "concurrent writes", Policy: "lww",
				Winner: side(proa.Azure, n, "new"), Loser: side(proa.AWS, n, text),
			}
			if n%2 == 1 {
				c.Policy = "merge"
			}
			if err := tx.Conflict(key(fmt.Sprint("k", n)).ID(), c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	prefer := policy.Rule{Kind: policy.Prefer, Region: proa.AWS}
	for _, tc := range []struct {
		name string
		q    journal.Query
		want int
		more bool
	}{
		{"all", journal.Query{}, entries, false},
		{"a limit", journal.Query{Limit: 1500}, 1500, true},
		{"as many as there are", journal.Query{Limit: entries}, entries, false},
		{"by time and policy", journal.Query{Until: began.Add(99 * time.Minute), Policy: "merge"}, 50, false},
		{"another table", journal.Query{Table: "other"}, 0, false},
	} {
		list, more, err := w.s.Replay(tc.q, prefer, nil)
		if err != nil || len(list) != tc.want || more != tc.more {
			t.Errorf("%s: %d, more %t, %v; want %d, %t", tc.name, len(list), more, err, tc.want, tc.more)
		}
		told := 0
		for _, r := range list {
			if r.Same || r.Left == (r.Item != nil) {
				t.Fatalf("%s: %d: same %t, left out %t, content %t", tc.name, r.ID, r.Same, r.Left, r.Item != nil)
			}
			told += len(r.Item["text"].Str)
		}
		if told > replayedBytes {
			t.Errorf("%s: %d bytes of contents", tc.name, told)
		}
	}
	list, _, err := w.s.Replay(journal.Query{}, policy.Rule{Kind: policy.LWW}, nil)
	if err != nil || len(list) != entries || !list[0].Same || list[0].Item != nil {
		t.Errorf("%d by the same policy, %v", len(list), err)
	}
}
