package telemetry

import (
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// picky is a table that refuses everything.
type picky struct{ cloud.Table }

func (picky) Check(proa.Item) error { return proa.ErrTooLarge }

// The pre-flight of data asks a table for its limits through whatever counts its writes.
func TestACountedTableStillKnowsItsLimits(t *testing.T) {
	if err := (Writes{Table: picky{}}).Check(nil); err == nil {
		t.Error("the table's refusal is lost")
	}
	if err := (Writes{Table: Table{}}).Check(nil); err != nil {
		t.Errorf("a table that knows no limits: %v", err)
	}
}
