package azure

import (
	"errors"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
)

func TestCheckSaysWhatCannotBeStored(t *testing.T) {
	schema := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	table := &Table{schema: schema}
	s := proa.String
	for name, c := range map[string]struct {
		item proa.Item
		want error
	}{
		"plain":         {proa.Item{"id": s("a"), "x": s("1")}, nil},
		"just fits":     {proa.Item{"id": s("a"), "x": s(strings.Repeat("x", maxDocument-500))}, nil},
		"too large":     {proa.Item{"id": s("a"), "x": s(strings.Repeat("x", maxDocument-20))}, proa.ErrTooLarge},
		"long key":      {proa.Item{"id": s(strings.Repeat("k", maxID+1))}, proa.ErrTooLarge},
		"empty key":     {proa.Item{"id": s("")}, proa.ErrInvalid},
		"no key":        {proa.Item{"x": s("1")}, proa.ErrInvalid},
		"key of bytes":  {proa.Item{"id": s("\xff")}, proa.ErrInvalid},
		"text of bytes": {proa.Item{"id": s("a"), "x": s("\xff")}, proa.ErrInvalid},
	} {
		if err := table.Check(c.item); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
