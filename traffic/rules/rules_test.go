package rules

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// friday is a quarter past three in the afternoon.
var friday = time.Date(2026, 1, 2, 15, 15, 0, 0, time.UTC)

func aMove() traffic.Move {
	return traffic.Move{
		Cause: traffic.CauseSwitchover, From: proa.AWS, To: proa.Azure, By: "ann", At: friday,
		Since:       friday.Add(-5 * time.Minute),
		Regions:     map[proa.Region]traffic.Judgement{proa.Azure: {Health: proa.Healthy, Since: friday}},
		Replication: []traffic.Replication{{From: proa.AWS, Known: true, Lag: time.Second, Backlog: 7}},
	}
}

func TestExpressionsRefuseWithTheirReason(t *testing.T) {
	for source, want := range map[string]string{
		`move.weekday != 5 || move.hour < 15`:      "not move.weekday",
		`move.by == "ann" && move.to == "azure"`:   "",
		`move.since_seconds >= 600.0`:              "not move.since",
		`regions.azure.health == "healthy"`:        "",
		`lag.aws.backlog == 0 && lag.aws.known`:    "not lag.aws",
		`regions.mars.health == "healthy"`:         "it fails: no such key",
		`move.to`:                                  "neither true nor false but string",
		`[1,2,3].all(x, [1,2,3].all(y, x+y > 0))`:  "",
		`move.cause == "switchover" && 1 / 0 == 1`: "it fails: division by zero",
	} {
		e, err := Compile("r", source, false)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if got := e.Refuse(aMove()); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

func TestFailoversPassARuleThatIsNotForThem(t *testing.T) {
	m := aMove()
	m.Cause = traffic.CauseFailover
	for _, failovers := range []bool{false, true} {
		e, err := Compile("never", "false", failovers)
		if err != nil {
			t.Fatal(err)
		}
		if refused := e.Refuse(m) != ""; refused != failovers {
			t.Errorf("for failovers %v: refused %v", failovers, refused)
		}
	}
}

func TestBadExpressionsAreRefusedAtOnce(t *testing.T) {
	for _, source := range []string{
		"", "move.", "unknown == 1", strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100),
		strings.Repeat("true && ", 1000) + "true",
	} {
		if _, err := Compile("r", source, false); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%.20q: %v", source, err)
		}
	}
	if _, err := Compile("", "true", false); !errors.Is(err, proa.ErrInvalid) {
		t.Error("a rule without a name")
	}
}

func TestCostIsBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 99) + "1]"
	source := list + ".all(x, " + list + ".all(y, " + list + ".all(z, x+y+z > 0)))"
	e, err := Compile("r", source, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Refuse(aMove()); !strings.Contains(got, "it fails") {
		t.Errorf("a million steps: %q", got)
	}
}
