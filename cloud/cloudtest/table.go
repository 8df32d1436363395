package cloudtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// RunTable checks a cloud.Table. open is called once; the table may hold other rows.
func RunTable(t *testing.T, open func(t *testing.T) cloud.Table) {
	table := open(t)
	for name, check := range map[string]func(*testing.T, cloud.Table){
		"NothingStoredIsNoError":           nothingStored,
		"SwapCreatesOnlyWhereNothingIs":    swapCreates,
		"SwapComparesWhatWasSeen":          swapCompares,
		"SwapNeverRevivesAPurgedRow":       swapPurged,
		"SwapAddsAndRemovesAttributes":     swapAttributes,
		"SwapOfTheEnvelopeAlone":           swapEnvelope,
		"SwapAdoptsAForeignRow":            swapForeign,
		"SwapOfManyAttributes":             swapMany,
		"TombstonesAreStoredAndScanned":    tombstones,
		"PurgeComparesWhatWasSeen":         purge,
		"ScanReturnsEveryRowOnce":          scan,
		"OneOfManyConcurrentSwapsWins":     oneWinner,
		"RowsOfEveryTypeComeBackTheSame":   everyType,
		"OddKeysAreKept":                   oddKeys,
		"WhatIsNoImageIsRefused":           refused,
		"TwoDriversOfOneTableSeeTheSame":   func(t *testing.T, table cloud.Table) { secondDriver(t, table, open(t)) },
		"LongKeysAreKeptOrRefused":         longKeys,
		"ItemsAreKeptOrRefusedByTheirSize": sizes,
	} {
		t.Run(name, func(t *testing.T) { check(t, table) })
	}
}

func nothingStored(t *testing.T, table cloud.Table) {
	key := newKeys(table.Schema()).at(1)
	row := must[cloud.Row](t)(table.Get(testContext(t), key))
	if row.Image.Exists() || row.ETag != "" || row.Key.ID() != key.ID() {
		t.Fatalf("got %+v", row)
	}
}

func swapCreates(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	first := image(s, key, 1, proa.Item{"text": proa.String("first")})
	now := put(t, table, key, first)
	sameImage(t, "as now stored", now.Image, first)
	second := image(s, key, 2, proa.Item{"text": proa.String("second")})
	row, _, err := table.Swap(ctx, cloud.Row{Key: key}, second)
	wantError(t, "create over a row", err, proa.ErrConflict)
	sameImage(t, "the row in the way", row.Image, first)
	sameImage(t, "stored", must[cloud.Row](t)(table.Get(ctx, key)).Image, first)
	swap(t, table, row, second) // the returned row is good to try again with
}

func swapCompares(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, table, key, image(s, key, 1, proa.Item{"text": proa.String("1"), "keep": proa.Null()}))
	next := image(s, key, 2, proa.Item{"text": proa.String("2"), "keep": proa.Null()})
	v2, replaced, err := table.Swap(ctx, v1, next)
	if err != nil {
		t.Fatal(err)
	}
	if replaced == nil {
		t.Fatal("neither store may leave open what was replaced")
	}
	sameImage(t, "replaced", *replaced, v1.Image)
	row, _, err := table.Swap(ctx, v1, image(s, key, 3, proa.Item{"text": proa.String("3")}))
	wantError(t, "swap of a stale row", err, proa.ErrConflict)
	sameImage(t, "the row in the way", row.Image, v2.Image)
	if row.ETag != v2.ETag {
		t.Fatalf("the row in the way has ETag %q, want %q", row.ETag, v2.ETag)
	}
	bare := v2
	bare.ETag = "" // as a shadow that was rebuilt from content knows it
	swap(t, table, bare, image(s, key, 4, proa.Item{"text": proa.String("4")}))
}

func swapPurged(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, table, key, image(s, key, 1, proa.Item{"text": proa.String("1")}))
	must[cloud.Row](t)(table.Purge(ctx, v1))
	row, _, err := table.Swap(ctx, v1, image(s, key, 2, proa.Item{"text": proa.String("1")}))
	wantError(t, "swap of a row that is gone", err, proa.ErrConflict)
	if row.Image.Exists() {
		t.Fatalf("the row in the way: %+v", row)
	}
	if must[cloud.Row](t)(table.Get(ctx, key)).Image.Exists() {
		t.Fatal("the row came back")
	}
}

func swapAttributes(t *testing.T, table cloud.Table) {
	s := table.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, table, key, image(s, key, 1, proa.Item{
		"stays": proa.String("x"), "goes": proa.String("y"), "turns": proa.String("z"), "$odd name": proa.Bool(true),
	}))
	next := image(s, key, 2, proa.Item{
		"stays": proa.String("x"), "turns": proa.List(proa.Null()), "comes": proa.Map(proa.Item{"a.b": proa.Bool(false)}),
	})
	now := swap(t, table, v1, next)
	sameImage(t, "as now stored", now.Image, next)
	sameImage(t, "stored", must[cloud.Row](t)(table.Get(testContext(t), key)).Image, next)
}

func swapEnvelope(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	attrs := proa.Item{"text": proa.String("same")}
	v1 := put(t, table, key, image(s, key, 1, attrs))
	v2 := swap(t, table, v1, image(s, key, 2, attrs))
	_, _, err := table.Swap(ctx, v1, image(s, key, 3, attrs))
	wantError(t, "swap by a stale version", err, proa.ErrConflict)
	plain := proa.Image{Item: v2.Image.Item}
	sameImage(t, "without envelope", swap(t, table, v2, plain).Image, plain)
}

func swapForeign(t *testing.T, table cloud.Table) {
	s := table.Schema()
	key := newKeys(s).at(1)
	foreign := image(s, key, 0, proa.Item{"text": proa.String("plain")})
	foreign.Envelope = nil
	v1 := put(t, table, key, foreign)
	if v1.Image.Envelope != nil {
		t.Fatalf("got %+v", v1)
	}
	next := image(s, key, 1, proa.Item{"text": proa.String("plain")})
	sameImage(t, "as now stored", swap(t, table, v1, next).Image, next)
	_, _, err := table.Swap(testContext(t), v1, next)
	wantError(t, "swap as if still foreign", err, proa.ErrConflict)
}

// swapMany goes past the limits of DynamoDB's expressions.
func swapMany(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	for _, n := range []int{99, 150, 400} {
		key := newKeys(s).at(n)
		many := func(text string) proa.Item {
			attrs := proa.Item{}
			for i := range n {
				attrs[fmt.Sprintf("attribute number %d", i)] = proa.String(text)
			}
			return attrs
		}
		v1 := put(t, table, key, image(s, key, 1, many("one")))
		next := image(s, key, 2, many("two"))
		sameImage(t, "as now stored", swap(t, table, v1, next).Image, next)
		sameImage(t, "stored", must[cloud.Row](t)(table.Get(ctx, key)).Image, next)
		_, _, err := table.Swap(ctx, v1, image(s, key, 3, many("three")))
		wantError(t, fmt.Sprintf("stale swap of %d attributes", n), err, proa.ErrConflict)
	}
}

func tombstones(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, table, key, image(s, key, 1, proa.Item{"text": proa.String("x"), "more": proa.String("y")}))
	dead := swap(t, table, v1, tombstone(s, key, 2, v1.Image.Envelope.Version))
	if !dead.Image.Tombstone() || len(dead.Image.Item) != len(s.Attributes(key)) {
		t.Fatalf("got %+v", dead.Image)
	}
	got := must[cloud.Row](t)(table.Get(ctx, key))
	if !got.Image.Tombstone() || got.Image.Envelope.Parent != v1.Image.Envelope.Version {
		t.Fatalf("got %+v", got.Image)
	}
	if row, ok := scanAll(t, table, 100)[key.ID()]; !ok || !row.Image.Tombstone() {
		t.Fatalf("the scan gave %+v", row)
	}
	if _, err := table.Purge(ctx, got); err != nil {
		t.Fatal(err)
	}
	if must[cloud.Row](t)(table.Get(ctx, key)).Image.Exists() {
		t.Fatal("the tombstone image is still there")
	}
}

func purge(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, table, key, tombstone(s, key, 1, proa.Version{}))
	v2 := swap(t, table, v1, image(s, key, 2, proa.Item{"text": proa.String("alive again")}))
	row, err := table.Purge(ctx, v1)
	wantError(t, "purge of a stale row", err, proa.ErrConflict)
	sameImage(t, "the row in the way", row.Image, v2.Image)
	if _, err := table.Purge(ctx, row); err != nil {
		t.Fatal(err)
	}
	row, err = table.Purge(ctx, v2)
	wantError(t, "purge of a row that is gone", err, proa.ErrConflict)
	if row.Image.Exists() {
		t.Fatalf("got %+v", row)
	}
	_, err = table.Purge(ctx, cloud.Row{Key: key})
	wantError(t, "purge of nothing", err, proa.ErrInvalid)
}

// scanAll reads the whole table and fails on a row that comes twice.
func scanAll(t *testing.T, table cloud.Table, limit int) map[string]cloud.Row {
	t.Helper()
	found := map[string]cloud.Row{}
	for cursor, pages := "", 0; ; pages++ {
		rows, next, err := table.Scan(testContext(t), cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > limit || pages > 100_000 {
			t.Fatalf("page %d has %d rows", pages, len(rows))
		}
		for _, row := range rows {
			if _, twice := found[row.Key.ID()]; twice {
				t.Fatalf("%s came twice", row.Key)
			}
			found[row.Key.ID()] = row
		}
		if cursor = next; cursor == "" {
			return found
		}
	}
}

func scan(t *testing.T, table cloud.Table) {
	s := table.Schema()
	k := newKeys(s)
	const n = 23
	want := map[string]cloud.Row{}
	for i := range n {
		key := k.at(i)
		want[key.ID()] = put(t, table, key, image(s, key, 1, proa.Item{"text": proa.String(fmt.Sprint(i))}))
	}
	found := scanAll(t, table, 7)
	for id, row := range want {
		got, ok := found[id]
		if !ok {
			t.Fatalf("%s is missing", row.Key)
		}
		sameImage(t, "scanned", got.Image, row.Image)
		if got.ETag != row.ETag {
			t.Fatalf("%s: scanned ETag %q, want %q", row.Key, got.ETag, row.ETag)
		}
	}
	_, _, err := table.Scan(testContext(t), "no cursor of ours", 7)
	if err == nil || errors.Is(err, proa.ErrUnavailable) {
		t.Fatalf("a cursor that is none: %v", err)
	}
}

func oneWinner(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	key := newKeys(s).at(1)
	seen := cloud.Row{Key: key}
	for round := range 5 {
		var wins atomic.Int32
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				attrs := proa.Item{"by": proa.String(fmt.Sprint(round, worker))}
				_, _, err := table.Swap(ctx, seen, image(s, key, hlc.Timestamp(round+1), attrs))
				if err == nil {
					wins.Add(1)
				} else if !errors.Is(err, proa.ErrConflict) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, wins.Load())
		}
		seen = must[cloud.Row](t)(table.Get(ctx, key))
	}
}

func everyType(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	k, n := newKeys(s), 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		key := k.at(n)
		attrs := Item(3).Draw(r, "item").Without(proa.EnvelopeAttr).Without(s.HashName).Without(s.RangeName)
		img := image(s, key, 1, attrs)
		if _, _, err := table.Swap(ctx, cloud.Row{Key: key}, img); err != nil {
			r.Fatalf("put %s: %v", img.Item.AppendJSON(nil), err)
		}
		row, err := table.Get(ctx, key)
		if err != nil {
			r.Fatal(err)
		}
		if got, want := string(row.Image.Item.AppendJSON(nil)), string(img.Item.AppendJSON(nil)); got != want {
			r.Fatalf("got  %s\nwant %s", got, want)
		}
		if row.Image.Envelope.Version.Hash != proa.ContentHash(row.Image.Item) {
			r.Fatal("the envelope's hash no longer matches")
		}
	})
}

func refused(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	k := newKeys(s)
	for name, next := range map[string]proa.Image{
		"no image":           {},
		"another key":        image(s, k.at(2), 1, nil),
		"no key":             {Item: proa.Item{"text": proa.Null()}},
		"value without type": image(s, k.at(1), 1, proa.Item{"text": proa.List(proa.Value{})}),
		"empty set":          image(s, k.at(1), 1, proa.Item{"text": {Kind: proa.KindSS}}),
	} {
		_, _, err := table.Swap(ctx, cloud.Row{Key: k.at(1)}, next)
		wantError(t, name, err, proa.ErrInvalid)
	}
}

func secondDriver(t *testing.T, one, other cloud.Table) {
	ctx, s := testContext(t), one.Schema()
	key := newKeys(s).at(1)
	v1 := put(t, one, key, image(s, key, 1, proa.Item{"text": proa.String("1")}))
	row := must[cloud.Row](t)(other.Get(ctx, key))
	sameImage(t, "through the other", row.Image, v1.Image)
	swap(t, other, row, image(s, key, 2, proa.Item{"text": proa.String("2")}))
	_, _, err := one.Swap(ctx, v1, image(s, key, 3, nil))
	wantError(t, "swap after the other's", err, proa.ErrConflict)
}

// longKeys: a key at DynamoDB's limits is kept, or refused as too large where the other side's limits are lower.
func longKeys(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	if s.HashKind != proa.KindS {
		t.Log("only string keys can be long")
		return
	}
	k := newKeys(s)
	for _, n := range []int{900, 1100, 2048} {
		key := k.at(n)
		key.Hash = proa.String(key.Hash.Str + strings.Repeat("x", n-len(key.Hash.Str)))
		_, _, err := table.Swap(ctx, cloud.Row{Key: key}, image(s, key, 1, nil))
		if err != nil && (n <= 1023 || !errors.Is(err, proa.ErrTooLarge) && !errors.Is(err, proa.ErrInvalid)) {
			t.Fatalf("hash key of %d bytes: %v", n, err)
		}
	}
}

// sizes: 300 KiB fit on both sides, 3 MiB on neither.
func sizes(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	k := newKeys(s)
	put(t, table, k.at(1), image(s, k.at(1), 1, proa.Item{"text": proa.String(strings.Repeat("x", 300<<10))}))
	_, _, err := table.Swap(ctx, cloud.Row{Key: k.at(2)},
		image(s, k.at(2), 1, proa.Item{"text": proa.String(strings.Repeat("x", 3<<20))}))
	wantError(t, "an item of 3 MiB", err, proa.ErrTooLarge)
}

// oddKeys: keys with characters that URLs, headers and JSON treat in their own ways are kept apart and come back the same.
func oddKeys(t *testing.T, table cloud.Table) {
	ctx, s := testContext(t), table.Schema()
	if s.HashKind != proa.KindS && s.RangeKind != proa.KindS {
		t.Log("only string keys can be odd")
		return
	}
	k := newKeys(s)
	for i, text := range []string{
		"a/b", "a~x2fb", `a\b`, "a?b#c", "a b", "a+b", "a%20b", "a%2Fb", "😀/日本", "..", "x.", "x ", " x", "tab\tand\x00and\x7f",
		`quote"s'`, "a&b=c;d,e", "[x]", "{y}", "line\nline", "\u2028", "größe",
	} {
		key := k.at(i)
		if s.HashKind == proa.KindS {
			key.Hash = proa.String(key.Hash.Str + "\u00b7" + text)
		}
		if s.RangeKind == proa.KindS {
			key.Range = proa.String(text)
		}
		row := put(t, table, key, image(s, key, 1, proa.Item{"text": proa.String(text)}))
		row = swap(t, table, row, image(s, key, 2, proa.Item{"text": proa.String(text + "!")}))
		got := must[cloud.Row](t)(table.Get(ctx, key))
		sameImage(t, fmt.Sprintf("key %q", text), got.Image, row.Image)
		if _, err := table.Purge(ctx, got); err != nil {
			t.Fatalf("key %q: %v", text, err)
		}
	}
}
