package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// FeedShows is what a feed shows beyond the latest version of each item. Whatever it shows must be right.
type FeedShows struct {
	AllVersions bool // deletes, and every version in between
	OldImages   bool // what was there before, with every change
	// Stamps is how far the stamps may be behind; 0 is two seconds, since they are whole seconds on both clouds.
	Stamps time.Duration
}

// RunFeed checks a cloud.Feed of a table. openFeed is called again to stand for a restart of the reader.
func RunFeed(t *testing.T, table cloud.Table, openFeed func(t *testing.T) cloud.Feed, shows FeedShows) {
	f := feedSuite{table: table, open: openFeed, shows: shows}
	t.Run("NowSkipsThePast", f.now)
	t.Run("ChangesOfAKeyComeInOrder", f.order)
	t.Run("ACursorSurvivesARestart", f.restart)
	t.Run("ACursorMayBeReadAgain", f.again)
	t.Run("DeletesArrive", f.removals)
	t.Run("ManyKeysArriveOnceEach", f.many)
	t.Run("AWrongCursorIsRefused", f.wrongCursor)
}

type feedSuite struct {
	table cloud.Table
	open  func(t *testing.T) cloud.Feed
	shows FeedShows
}

// collect reads on from the cursor until n changes of the run's keys have come, and a little further to see that no more do.
func (f feedSuite) collect(
	t *testing.T, feed cloud.Feed, cursor string, wanted map[string]bool, n int,
) ([]proa.Change, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []proa.Change
	for quiet := 0; len(got) < n || quiet < 3; {
		batch, err := feed.Read(ctx, cursor)
		if err != nil {
			t.Fatalf("after %d of %d changes: %v", len(got), n, err)
		}
		cursor = batch.Next
		quiet++
		for _, c := range batch.Changes {
			if wanted[c.Key.ID()] {
				got = append(got, c)
				quiet = 0
			}
		}
		if !batch.More {
			time.Sleep(20 * time.Millisecond) // polling, as every reader of a feed does
		}
	}
	if len(got) > n {
		t.Fatalf("%d changes came, want %d: %+v", len(got), n, got)
	}
	return got, cursor
}

func (f feedSuite) start(t *testing.T, n int) (cloud.Feed, string, []proa.Key, map[string]bool) {
	t.Helper()
	feed := f.open(t)
	k := newKeys(f.table.Schema())
	ids := map[string]bool{}
	list := make([]proa.Key, n)
	for i := range list {
		list[i] = k.at(i)
		ids[list[i].ID()] = true
	}
	return feed, must[string](t)(feed.Now(testContext(t))), list, ids
}

func (f feedSuite) now(t *testing.T) {
	s := f.table.Schema()
	feed, _, list, ids := f.start(t, 2)
	put(t, f.table, list[0], image(s, list[0], 1, nil))
	cursor := must[string](t)(feed.Now(testContext(t)))
	batch := must[cloud.Batch](t)(feed.Read(testContext(t), cursor))
	for _, c := range batch.Changes {
		if ids[c.Key.ID()] {
			t.Fatalf("a change of the past: %+v", c)
		}
	}
	put(t, f.table, list[1], image(s, list[1], 1, nil))
	got, _ := f.collect(t, feed, cursor, ids, 1)
	if got[0].Key.ID() != list[1].ID() {
		t.Fatalf("got %+v", got)
	}
}

func (f feedSuite) order(t *testing.T) {
	s := f.table.Schema()
	feed, cursor, list, ids := f.start(t, 1)
	key := list[0]
	began := time.Now().Add(-max(f.shows.Stamps, 2*time.Second))
	row := put(t, f.table, key, image(s, key, 1, proa.Item{"text": proa.String("1"), "same": proa.Binary([]byte("x"))}))
	images := []proa.Image{row.Image}
	const n = 5
	for i := 2; i <= n; i++ {
		row = swap(t, f.table, row,
			image(s, key, hlc.Timestamp(i), proa.Item{"text": proa.String(fmt.Sprint(i)), "same": proa.Binary([]byte("x"))}))
		images = append(images, row.Image)
	}
	if !f.shows.AllVersions {
		images = images[n-1:] // the latest version only
	}
	got, _ := f.collect(t, feed, cursor, ids, len(images))
	var last proa.Position
	for i, c := range got {
		sameImage(t, fmt.Sprintf("change %d", i), c.New, images[i])
		if c.Position.Compare(last) <= 0 || c.Expired || c.Region == "" {
			t.Fatalf("change %d: %+v after position %s", i, c, last)
		}
		if c.Time.Before(began) || c.Time.After(time.Now().Add(2*time.Second)) {
			t.Fatalf("change %d is of %s", i, c.Time)
		}
		last = c.Position
		if f.shows.OldImages && c.Old == nil {
			t.Fatalf("change %d does not say what was there", i)
		}
		if c.Old != nil && i > 0 {
			sameImage(t, fmt.Sprintf("change %d, old", i), *c.Old, images[i-1])
		}
	}
	if old := got[0].Old; f.shows.AllVersions && (old == nil || old.Exists()) {
		t.Fatalf("the creation's old image: %+v", old)
	}
}

func (f feedSuite) restart(t *testing.T) {
	s := f.table.Schema()
	feed, cursor, list, ids := f.start(t, 3)
	put(t, f.table, list[0], image(s, list[0], 1, nil))
	_, cursor = f.collect(t, feed, cursor, ids, 1)
	put(t, f.table, list[1], image(s, list[1], 1, nil))
	put(t, f.table, list[2], image(s, list[2], 1, nil))
	got, _ := f.collect(t, f.open(t), cursor, ids, 2)
	if got[0].Key.ID() == list[0].ID() || got[1].Key.ID() == list[0].ID() {
		t.Fatalf("a change came again: %+v", got)
	}
}

func (f feedSuite) again(t *testing.T) {
	s := f.table.Schema()
	feed, cursor, list, ids := f.start(t, 2)
	put(t, f.table, list[0], image(s, list[0], 1, nil))
	put(t, f.table, list[1], image(s, list[1], 1, nil))
	first, _ := f.collect(t, feed, cursor, ids, 2)
	second, _ := f.collect(t, feed, cursor, ids, 2)
	for i := range first {
		if first[i].Position != second[i].Position || first[i].Key.ID() != second[i].Key.ID() {
			t.Fatalf("first %+v\nthen %+v", first[i], second[i])
		}
	}
}

func (f feedSuite) removals(t *testing.T) {
	if !f.shows.AllVersions {
		t.Log("a latest-version feed shows no deletes")
		return
	}
	s := f.table.Schema()
	feed, cursor, list, ids := f.start(t, 1)
	row := put(t, f.table, list[0], image(s, list[0], 1, proa.Item{"text": proa.String("x")}))
	must[cloud.Row](t)(f.table.Purge(testContext(t), row))
	got, _ := f.collect(t, feed, cursor, ids, 2)
	if got[1].New.Exists() || got[1].Key.ID() != list[0].ID() {
		t.Fatalf("the delete: %+v", got[1])
	}
	switch old := got[1].Old; {
	case old != nil:
		sameImage(t, "deleted", *old, row.Image)
	case f.shows.OldImages:
		t.Fatal("the delete does not say what was there")
	}
}

func (f feedSuite) many(t *testing.T) {
	s := f.table.Schema()
	const n = 60
	feed, cursor, list, ids := f.start(t, n)
	for _, key := range list {
		put(t, f.table, key, image(s, key, 1, nil))
	}
	got, _ := f.collect(t, feed, cursor, ids, n)
	seen := map[string]bool{}
	for _, c := range got {
		seen[c.Key.ID()] = true
	}
	if len(seen) != n {
		t.Fatalf("%d keys came, want %d", len(seen), n)
	}
}

func (f feedSuite) wrongCursor(t *testing.T) {
	_, err := f.open(t).Read(testContext(t), "no cursor of ours")
	if err == nil || errors.Is(err, proa.ErrUnavailable) || errors.Is(err, proa.ErrFeedGap) {
		t.Fatalf("got %v", err)
	}
}
