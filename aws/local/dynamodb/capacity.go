package dynamodb

import (
	"maps"
	"slices"

	"github.com/proa-cloud/proa"
)

// The vendor's units: a write unit is 1 KB, a read unit is 4 KB read consistently, and half that
// otherwise.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
const (
	writeUnitBytes = 1 << 10
	readUnitBytes  = 4 << 10
)

func unitsOf(bytes, unit int) float64 { return float64(max(1, (bytes+unit-1)/unit)) }

// writeUnits is what a write costs: the larger of the item before and after it.
func writeUnits(old, new proa.Item) float64 {
	return unitsOf(max(itemSize(old), itemSize(new)), writeUnitBytes)
}

func readUnits(bytes int, consistent bool) float64 {
	u := unitsOf(bytes, readUnitBytes)
	if !consistent {
		u /= 2
	}
	return u
}

// consumed is the wire's ConsumedCapacity.
type consumed struct {
	TableName          string
	CapacityUnits      float64
	ReadCapacityUnits  float64     `json:",omitempty"`
	WriteCapacityUnits float64     `json:",omitempty"`
	Table              *tableUnits `json:",omitempty"`
}

type tableUnits struct {
	CapacityUnits      float64
	ReadCapacityUnits  float64 `json:",omitempty"`
	WriteCapacityUnits float64 `json:",omitempty"`
}

// usage adds up what a request consumes by table. Its zero value is ready.
type usage struct{ read, write map[string]float64 }

func (u *usage) addRead(table string, units float64) {
	if u.read == nil {
		u.read = map[string]float64{}
	}
	u.read[table] += units
}

func (u *usage) addWrite(table string, units float64) {
	if u.write == nil {
		u.write = map[string]float64{}
	}
	u.write[table] += units
}

// report renders the usage as ReturnConsumedCapacity asks; split also tells reads from writes, as
// transactions do.
func (u *usage) report(want string, split bool) []consumed {
	if want == "" || want == "NONE" {
		return nil
	}
	all := maps.Clone(u.read)
	if all == nil {
		all = map[string]float64{}
	}
	for name, n := range u.write {
		all[name] += n
	}
	out := []consumed{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := consumed{TableName: name, CapacityUnits: all[name]}
		if split {
			c.ReadCapacityUnits, c.WriteCapacityUnits = u.read[name], u.write[name]
		}
		if want == "INDEXES" {
			c.Table = &tableUnits{c.CapacityUnits, c.ReadCapacityUnits, c.WriteCapacityUnits}
		}
		out = append(out, c)
	}
	return out
}

// one is the report of a request on a single table; nil when none is wanted.
func (u *usage) one(want string) *consumed {
	list := u.report(want, false)
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
