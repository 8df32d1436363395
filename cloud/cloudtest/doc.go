// Package cloudtest is the conformance suite of the cloud seam: every driver passes it against every cloud that it faces, so that
// what is built on package cloud needs no knowledge of the vendor.
//
// The suite uses keys and names of its own in each run, so a table, a container or a bucket may be shared and need not be empty.
package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// patience bounds how long the suite waits for what a cloud does in its own time, such as a change to reach its feed.
const patience = 20 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// keys makes distinct keys of a schema. A run's keys differ from every other run's.
type keys struct {
	schema proa.Schema
	run    uint64
}

func newKeys(s proa.Schema) keys { return keys{s, rand.Uint64N(1 << 40)} }

func (k keys) at(n int) proa.Key {
	key := proa.Key{Table: k.schema.Table, Hash: k.value(k.schema.HashKind, n)}
	if k.schema.RangeName != "" {
		key.Range = k.value(k.schema.RangeKind, n)
	}
	return key
}

func (k keys) value(kind proa.Kind, n int) proa.Value {
	switch kind {
	case proa.KindN:
		return proa.Value{Kind: proa.KindN, Str: fmt.Sprintf("%d.%04d1", k.run+1, n)}
	case proa.KindB:
		return proa.Binary(fmt.Appendf(nil, "\x00\xff%x/%d", k.run, n))
	}
	return proa.String(fmt.Sprintf("%x-%d", k.run, n))
}

// image makes an enveloped image of a key with further attributes; the key's own win over those of the same name.
func image(s proa.Schema, key proa.Key, version hlc.Timestamp, attrs proa.Item) proa.Image {
	item := maps.Clone(attrs)
	if item == nil {
		item = proa.Item{}
	}
	maps.Copy(item, s.Attributes(key))
	e := proa.Envelope{Version: proa.Version{Time: version, Region: proa.AWS, Hash: proa.ContentHash(item)}}
	return proa.Image{Item: item, Envelope: &e}
}

func tombstone(s proa.Schema, key proa.Key, version hlc.Timestamp, parent proa.Version) proa.Image {
	e := proa.Envelope{Version: proa.Version{Time: version, Region: proa.AWS}, Parent: parent, Tombstone: true}
	return proa.Image{Item: s.Attributes(key), Envelope: &e}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// put stores an image where nothing is.
func put(t *testing.T, table cloud.Table, key proa.Key, img proa.Image) cloud.Row {
	t.Helper()
	return swap(t, table, cloud.Row{Key: key}, img)
}

func swap(t *testing.T, table cloud.Table, seen cloud.Row, next proa.Image) cloud.Row {
	t.Helper()
	now, _, err := table.Swap(testContext(t), seen, next)
	if err != nil {
		t.Fatalf("swap %s: %v", seen.Key, err)
	}
	return now
}

func sameImage(t *testing.T, what string, got, want proa.Image) {
	t.Helper()
	g, w := string(got.Stored().AppendJSON(nil)), string(want.Stored().AppendJSON(nil))
	if g != w || got.Exists() != want.Exists() {
		t.Fatalf("%s: got %s\nwant %s", what, g, w)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
	var typed *proa.Error
	if !errors.As(err, &typed) || typed.Op == "" || typed.Region == "" {
		t.Fatalf("%s: %#v is no proa.Error with operation and region", what, err)
	}
}
