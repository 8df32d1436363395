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
	TableName              string
	CapacityUnits          float64
	ReadCapacityUnits      float64               `json:",omitempty"`
	WriteCapacityUnits     float64               `json:",omitempty"`
	Table                  *tableUnits           `json:",omitempty"`
	GlobalSecondaryIndexes map[string]tableUnits `json:",omitempty"`
	LocalSecondaryIndexes  map[string]tableUnits `json:",omitempty"`
}

type tableUnits struct {
	CapacityUnits      float64
	ReadCapacityUnits  float64 `json:",omitempty"`
	WriteCapacityUnits float64 `json:",omitempty"`
}

func (t *tableUnits) add(o tableUnits) {
	t.CapacityUnits += o.CapacityUnits
	t.ReadCapacityUnits += o.ReadCapacityUnits
	t.WriteCapacityUnits += o.WriteCapacityUnits
}

// usage adds up what a request consumes by table and index. Its zero value is ready.
type usage struct{ tables map[string]*tableUsage }

type tableUsage struct {
	table         tableUnits
	global, local map[string]tableUnits
}

func (u *usage) of(table string) *tableUsage {
	if u.tables == nil {
		u.tables = map[string]*tableUsage{}
	}
	if u.tables[table] == nil {
		u.tables[table] = &tableUsage{}
	}
	return u.tables[table]
}

func (u *usage) addRead(table string, units float64) {
	u.of(table).table.add(tableUnits{CapacityUnits: units, ReadCapacityUnits: units})
}

func (u *usage) addWrite(table string, units float64) {
	u.of(table).table.add(tableUnits{CapacityUnits: units, WriteCapacityUnits: units})
}

// addIndex adds units of an index: writes, or reads where writes is 0.
func (u *usage) addIndex(table string, ix *indexMeta, units, writes float64) {
	if units == 0 {
		return
	}
	t := u.of(table)
	m := &t.local
	if ix.Global {
		m = &t.global
	}
	if *m == nil {
		*m = map[string]tableUnits{}
	}
	sum := (*m)[ix.Name]
	sum.add(tableUnits{units, units * (1 - writes), units * writes})
	(*m)[ix.Name] = sum
}

// report renders the usage as ReturnConsumedCapacity asks; split also tells reads from writes, as
// transactions do.
func (u *usage) report(want string, split bool) []consumed {
	if want == "" || want == "NONE" {
		return nil
	}
	out := []consumed{}
	for _, name := range slices.Sorted(maps.Keys(u.tables)) {
		out = append(out, u.tables[name].render(name, want == "INDEXES", split))
	}
	return out
}

func (t *tableUsage) render(name string, indexes, split bool) consumed {
	shown := func(n tableUnits) tableUnits {
		if !split {
			n.ReadCapacityUnits, n.WriteCapacityUnits = 0, 0
		}
		return n
	}
	sum := t.table
	render := func(m map[string]tableUnits) map[string]tableUnits {
		out := map[string]tableUnits{}
		for name, n := range m {
			sum.add(n)
			out[name] = shown(n)
		}
		return out
	}
	global, local := render(t.global), render(t.local)
	total := shown(sum)
	c := consumed{
		TableName: name, CapacityUnits: total.CapacityUnits,
		ReadCapacityUnits: total.ReadCapacityUnits, WriteCapacityUnits: total.WriteCapacityUnits,
	}
	if indexes {
		own := shown(t.table)
		c.Table, c.GlobalSecondaryIndexes, c.LocalSecondaryIndexes = &own, global, local
	}
	return c
}

// one is the report of a request on a single table; nil when none is wanted.
func (u *usage) one(want string) *consumed {
	list := u.report(want, false)
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
