package datasync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

// Each key that holds more than its share of all bytes is found, whatever the order, and is between the bounds.
func TestTheHeaviestPartitionsAreFoundInBoundedMemory(t *testing.T) {
	const room = 64
	real, total := map[string]int64{}, int64(0)
	h, d := newHeavy(room), rand.New(rand.NewPCG(3, 4))
	for range 50_000 {
		name := fmt.Sprint("k", d.IntN(5000))
		if d.IntN(4) == 0 {
			name = fmt.Sprint("hot", d.IntN(3))
		}
		bytes := int64(1 + d.IntN(400))
		real[name] += bytes
		total += bytes
		h.add(proa.Key{Hash: proa.String(name), Range: proa.String("r")}, bytes)
	}
	if len(h.byKey) > room {
		t.Fatalf("%d keys are remembered", len(h.byKey))
	}
	found := map[string]bool{}
	for _, w := range h.near(total / 20) {
		found[w.hash.Str] = true
		if is := real[w.hash.Str]; is > w.bytes || is < w.bytes-w.over || w.over > total/room {
			t.Errorf("%s: %d bytes, told %d, at most %d more than it is", w.hash.Str, is, w.bytes, w.over)
		}
	}
	for i := range 3 {
		if name := fmt.Sprint("hot", i); !found[name] {
			t.Errorf("%s is not found", name)
		}
	}
}

func TestPreflightTellsHeavyPartitions(t *testing.T) {
	schema := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS, RangeName: "at", RangeKind: proa.KindS}
	aws, az := fake.New(proa.AWS, false, schema, time.Now), fake.New(proa.Azure, true, schema, time.Now)
	for i := range 100 {
		id := "light" + fmt.Sprint(i%10)
		if i < 50 {
			id = "heavy"
		}
		aws.Put(proa.Item{"id": proa.String(id), "at": proa.String(fmt.Sprint(i)), "x": proa.String("some text")}, 0)
	}
	tables := []Table{{Schema: schema, Sides: map[proa.Region]TableSide{proa.AWS: {Table: aws}, proa.Azure: {Table: az}}}}
	out, err := CheckData(context.Background(), PreflightOptions{Tables: tables, Clock: time.Now, Near: 500})
	if err != nil || len(out.Heavy) != 1 {
		t.Fatalf("%+v, %v", out.Heavy, err)
	}
	if p := out.Heavy[0]; p.Key["id"].Str != "heavy" || p.From != proa.AWS || p.Bytes < 500 || p.Over != 0 {
		t.Errorf("%+v", p)
	}
	out, err = CheckData(context.Background(), PreflightOptions{Tables: tables, Clock: time.Now})
	if err != nil || out.Heavy != nil {
		t.Errorf("%+v, %v", out.Heavy, err)
	}
}
