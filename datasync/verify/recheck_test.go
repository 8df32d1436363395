package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/internal/store"
)

// Keys that stay different, such as quarantined ones, are waited for together.
func TestKeysThatDifferShareOneDeadline(t *testing.T) {
	a, z := fake.New(proa.AWS, false, schema, time.Now), fake.New(proa.Azure, true, schema, time.Now)
	const keys = 200
	for i := range keys {
		a.Put(stored(fmt.Sprint("k", i), "x", 5), 0)
	}
	db, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const recheck = 300 * time.Millisecond
	v := Tables{
		DB: db, Prefix: []byte("v"), Sides: map[proa.Region]cloud.Table{proa.AWS: a, proa.Azure: z}, Clock: time.Now,
		Pending: func(proa.Key) (bool, error) { return false, nil },
		Logged:  func(proa.Key) proa.Item { return proa.Item{"id": proa.String("[masked]")} },
		Page:    100, Recheck: recheck,
	}
	began := time.Now()
	res, err := v.Compare(context.Background())
	if err != nil || res.Differences != keys || len(res.First) != MaxListed {
		t.Fatalf("%d differences, %v", res.Differences, err)
	}
	if took := time.Since(began); took < recheck || took > keys*recheck/4 {
		t.Errorf("%d keys took %v, with %v to be read again", keys, took, recheck)
	}
	if d := res.First[0]; d.Key["id"].Str != "[masked]" || d.Of.Hash.Str[0] != 'k' {
		t.Errorf("%+v", d)
	}
}

// What comes to agree while it is read again does not count.
func TestAKeyThatComesToAgreeIsNoDifference(t *testing.T) {
	var looks atomic.Int64
	l := looker[int]{clock: time.Now, recheck: 20 * time.Second, look: func(_ context.Context, key int) (sight, error) {
		if looks.Add(1) > int64(key) {
			return sight{}, nil
		}
		return sight{d: &Difference{}}, nil
	}}
	var res Result
	if err := l.settle(t.Context(), []int{0, 3, 9}, &res); err != nil || res.Differences != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// shelf is a bucket that only lists and describes, slowly.
type shelf struct {
	cloud.Bucket
	sizes map[string]int64
	heads *atomic.Int64
}

func (s shelf) List(_ context.Context, after string, limit int) (list []cloud.ObjectInfo, more bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.sizes)) {
		if name > after {
			list = append(list, cloud.ObjectInfo{Name: name, Size: s.sizes[name]})
		}
	}
	n := min(limit, len(list))
	return list[:n], n < len(list), nil
}

func (s shelf) Head(_ context.Context, name string) (cloud.ObjectInfo, error) {
	s.heads.Add(1)
	time.Sleep(time.Millisecond)
	size, ok := s.sizes[name]
	if !ok {
		return cloud.ObjectInfo{}, fmt.Errorf("head: %w", proa.ErrNotFound)
	}
	return cloud.ObjectInfo{Name: name, Size: size}, nil
}

func TestObjectsThatDifferShareOneDeadline(t *testing.T) {
	var heads atomic.Int64
	a, z := shelf{sizes: map[string]int64{}, heads: &heads}, shelf{sizes: map[string]int64{}, heads: &heads}
	const objects = 600
	for i := range objects {
		name := fmt.Sprint("o", i)
		a.sizes[name], z.sizes[name] = 1, 1
		if i%60 == 0 {
			z.sizes[name] = 2
		}
	}
	delete(z.sizes, "o7")
	a.sizes["proa"] = 1
	const recheck = 300 * time.Millisecond
	v := Buckets{
		Sides: map[proa.Region]cloud.Bucket{proa.AWS: a, proa.Azure: z}, Clock: time.Now, Page: 100, Recheck: recheck,
		Skip: func(name string) bool { return name == "proa" }, Pending: func(string) (bool, error) { return false, nil },
	}
	began := time.Now()
	res, err := v.Compare(t.Context())
	if err != nil || res.Objects != objects || res.Differences != 11 {
		t.Fatalf("%+v, %v", res, err)
	}
	if took := time.Since(began); took > 11*recheck {
		t.Errorf("%d objects, of which 11 differ, took %v", objects, took)
	}
	if heads.Load() < 2*objects {
		t.Errorf("%d heads: each object is asked for on both sides", heads.Load())
	}
}
