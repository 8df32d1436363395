package datasync

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/proa-cloud/proa"
)

// Cosmos DB keeps at most 20 GB under one partition key, for ever; DynamoDB has no such bound.
const (
	partitionMost = 20 << 30
	partitionNear = partitionMost / 5 * 4
)

// Partition is one partition key under which much is stored.
type Partition struct {
	Table string      `json:"table"`
	Key   proa.Item   `json:"key"`
	From  proa.Region `json:"from"` // where it was read
	// Bytes is between what is stored there, as DynamoDB counts it, and Over more than that.
	Bytes int64 `json:"bytes"`
	Over  int64 `json:"over"`
}

// heavy finds the heaviest partition keys of a scan in bounded memory ("space saving", Metwally and others,
// 2005): each key that holds more than the room's share of all bytes is in it, and is counted too high by what was
// dropped to make place for it, at most that share.
type heavy struct {
	room  int
	byKey map[string]*weight
	least weights
}

type weight struct {
	hash        proa.Value
	name        string
	bytes, over int64
	index       int
}

// heavyRoom makes the error of ten terabytes 2.5 GB at most.
const heavyRoom = 4096

func newHeavy(room int) *heavy { return &heavy{room: room, byKey: make(map[string]*weight, room)} }

func (h *heavy) add(key proa.Key, bytes int64) {
	name := string(key.Hash.Kind) + key.Hash.Str
	w := h.byKey[name]
	switch {
	case w != nil:
	case len(h.byKey) < h.room:
		w = &weight{hash: key.Hash, name: name}
		h.byKey[name] = w
		heap.Push(&h.least, w)
	default:
		w = h.least[0]
		delete(h.byKey, w.name)
		w.hash, w.name, w.over = key.Hash, name, w.bytes
		h.byKey[name] = w
	}
	w.bytes += bytes
	heap.Fix(&h.least, w.index)
}

// near lists the keys that hold, or may hold, at least some bytes: the heaviest first.
func (h *heavy) near(bytes int64) []*weight {
	var list []*weight
	for _, w := range h.least {
		if w.bytes >= bytes {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b *weight) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name))
	})
	return list
}

// weights is a heap, the least on top.
type weights []*weight

func (w weights) Len() int           { return len(w) }
func (w weights) Less(i, j int) bool { return w[i].bytes < w[j].bytes }
func (w weights) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push is of heap.Interface.
func (w *weights) Push(x any) {
	one, _ := x.(*weight)
	one.index = len(*w)
	*w = append(*w, one)
}

// Pop is of heap.Interface.
func (w *weights) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}
