package aws

import (
	"errors"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
)

func TestCheckSaysWhatCannotBeStored(t *testing.T) {
	table := &Table{schema: proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS, RangeName: "r", RangeKind: proa.KindN}}
	s := proa.String
	n, err := proa.Number("7")
	if err != nil {
		t.Fatal(err)
	}
	deep := s("x")
	for range maxNesting + 1 {
		deep = proa.List(deep)
	}
	for name, c := range map[string]struct {
		item proa.Item
		want error
	}{
		"plain":     {proa.Item{"id": s("a"), "r": n, "x": s("")}, nil},
		"just fits": {proa.Item{"id": s("a"), "r": n, "x": s(strings.Repeat("x", maxItem-300))}, nil},
		"too large": {proa.Item{"id": s("a"), "r": n, "x": s(strings.Repeat("x", maxItem-200))}, proa.ErrTooLarge},
		"long key":  {proa.Item{"id": s(strings.Repeat("k", maxHashKey+1)), "r": n}, proa.ErrTooLarge},
		"empty key": {proa.Item{"id": s(""), "r": n}, proa.ErrInvalid},
		"no range":  {proa.Item{"id": s("a")}, proa.ErrInvalid},
		"too deep":  {proa.Item{"id": s("a"), "r": n, "x": deep}, proa.ErrInvalid},
	} {
		if err := table.Check(c.item); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
