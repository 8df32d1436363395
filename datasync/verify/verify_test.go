package verify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/internal/store"
)

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

func stored(id, text string, ms int64) proa.Item {
	item := proa.Item{"id": proa.String(id), "x": proa.String(text)}
	e := proa.Envelope{Version: proa.Version{Time: hlc.At(time.UnixMilli(ms)), Region: proa.AWS, Hash: proa.ContentHash(item)}}
	return proa.Image{Item: item, Envelope: &e}.Stored()
}

func TestEachKindOfDifferenceIsFoundAndNothingElse(t *testing.T) {
	a, z := fake.New(proa.AWS, false, schema, time.Now), fake.New(proa.Azure, true, schema, time.Now)
	for i := range 1000 {
		item := stored(fmt.Sprint("same", i), "x", 5)
		a.Put(item, 0)
		z.Put(item, 0)
	}
	tombstone := proa.Image{Item: proa.Item{"id": proa.String("dead")}, Envelope: &proa.Envelope{Version: proa.Version{Time: 9, Region: proa.AWS}, Tombstone: true}}
	a.Put(tombstone.Stored(), 0) // absent at azure: no difference
	a.Put(stored("missing", "x", 5), 0)
	z.Put(stored("absent", "x", 5), 0)
	a.Put(stored("content", "x", 5), 0)
	z.Put(stored("content", "y", 5), 0)
	a.Put(stored("version", "x", 5), 0)
	z.Put(stored("version", "x", 6), 0)
	a.Put(stored("waits", "x", 5), 0)
	a.Put(stored("excused", "x", 5), 0)
	db, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v := Tables{
		DB: db, Prefix: []byte("v"), Sides: map[proa.Region]cloud.Table{proa.AWS: a, proa.Azure: z}, Clock: time.Now,
		Pending: func(k proa.Key) (bool, error) { return k.Hash.Str == "waits", nil },
		Excused: func(k proa.Key) (bool, error) { return k.Hash.Str == "excused", nil },
		Page:    100, Recheck: time.Millisecond,
	}
	res, err := v.Compare(context.Background())
	if err != nil || res.Keys != 1006 || res.Differences != 4 || res.InFlight != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	kinds := map[string]Kind{}
	for _, d := range res.First {
		kinds[d.Key["id"].Str] = d.Kind
	}
	for id, want := range map[string]Kind{"missing": Missing, "absent": Missing, "content": Content, "version": Versions} {
		if kinds[id] != want {
			t.Errorf("%s is %q, want %q", id, kinds[id], want)
		}
	}
}

func held(n int) Held {
	item := proa.Item{"n": proa.String(fmt.Sprint(n))}
	h := proa.ContentHash(item)
	return Held{Exists: true, Version: proa.Version{Time: hlc.Timestamp(n + 1), Region: proa.AWS, Hash: h}, Hash: h}
}

// Digests after any changes are those of the end state; buckets that differ are explained by exactly the keys that differ.
func TestDigestsAreOrderFreeAndExplainThemselves(t *testing.T) {
	h := NewHasher()
	rapid.Check(t, func(t *rapid.T) {
		state := map[string][2]Held{}
		var d Digest
		for range rapid.IntRange(0, 60).Draw(t, "changes") {
			id := fmt.Sprint("k", rapid.IntRange(0, 9).Draw(t, "key"))
			var next [2]Held
			for i := range next {
				if rapid.Bool().Draw(t, "exists") {
					next[i] = held(rapid.IntRange(0, 2).Draw(t, "value"))
				}
			}
			d.Remove(h.Part(id, state[id]))
			d.Add(h.Part(id, next))
			state[id] = next
		}
		var fresh Digest
		keys := int64(0)
		for id, sides := range state {
			fresh.Add(h.Part(id, sides))
			if sides[0].Exists || sides[1].Exists {
				keys++
			}
		}
		if d != fresh || d.Keys() != keys {
			t.Fatalf("digest after changes is not that of their end")
		}
		left := d.Differing()
		for id, sides := range state {
			if p := h.Part(id, sides); !p.Equal() {
				Explain(left, p)
			}
		}
		if len(left) != 0 {
			t.Fatalf("%d buckets are not explained", len(left))
		}
	})
}

func TestADifferenceOfAnyFieldShows(t *testing.T) {
	h := NewHasher()
	one := held(1)
	for name, other := range map[string]Held{
		"absent": {}, "content": {Exists: true, Version: one.Version, Hash: held(2).Hash},
		"version": {Exists: true, Version: held(2).Version, Hash: one.Hash},
	} {
		if p := h.Part("k", [2]Held{one, other}); p.Equal() {
			t.Errorf("%s does not show", name)
		}
	}
	if p := h.Part("k", [2]Held{one, one}); !p.Equal() {
		t.Error("equal sides differ")
	}
}
