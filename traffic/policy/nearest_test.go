package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// near is a round trip in milliseconds to each region.
func near(aws, azure int) map[string]time.Duration {
	return map[string]time.Duration{
		"aws": time.Duration(aws) * time.Millisecond, "azure": time.Duration(azure) * time.Millisecond,
	}
}

func TestNearestFollowsWhatWasMeasured(t *testing.T) {
	p := compile(t, Node{Match: &Match{
		Kind:    "latency",
		Entries: []Entry{{netip.MustParsePrefix("10.0.0.0/8"), 1}},
		Branches: []Branch{{"10.0.0.0/8", Node{Nearest: &Nearest{
			From: "node-1", Among: []string{"aws", "azure"},
		}}}},
		Default: &Node{Endpoint: "sorry"},
	}})
	var r Ranking
	r.Measure(time.Unix(0, 0), "node-1", near(80, 12))
	client := netip.MustParseAddr("10.1.1.1")
	for _, c := range []struct {
		near map[string]Near
		down string
		want string
		step string
	}{
		{nil, "", "192.0.2.1", "node-1 has measured nothing yet"},
		{r.Near(), "", "198.51.100.1", "the nearest to node-1 that is up: azure 12 ms, aws 80 ms"},
		{r.Near(), "azure", "192.0.2.1", "azure is down"},
		{r.Near(), "aws,azure", "203.0.113.1", "latency: default"},
	} {
		now := Situation{Plan: proa.Plan{Version: 1, Active: proa.AWS, Down: c.down}, Near: c.near}
		tr, err := p.Trace(now, "x", client)
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Addresses) != 1 || tr.Addresses[0].String() != c.want || tr.Scope != 8 {
			t.Errorf("%q down: %v, scope %d, want %s", c.down, tr.Addresses, tr.Scope, c.want)
		}
		if !strings.Contains(strings.Join(tr.Steps, "\n"), c.step) {
			t.Errorf("%q down: no %q in %q", c.down, c.step, tr.Steps)
		}
	}
}

func TestNearestIsChecked(t *testing.T) {
	for _, n := range []Nearest{
		{From: "", Among: []string{"aws"}},
		{From: "node-1"},
		{From: "node-1", Among: []string{"mars"}},
		{From: "node-1", Among: []string{Active}},
	} {
		if _, err := Compile(Config{Root: Node{Nearest: &n}, Endpoints: endpoints}); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%+v: %v", n, err)
		}
	}
}

func TestAnOrderChangesOnlyWhenAnotherIsClearlyNearerForLong(t *testing.T) {
	var r Ranking
	now := time.Unix(0, 0)
	told := 0
	measure := func(seconds, aws, azure int) {
		for range seconds {
			now = now.Add(time.Second)
			if r.Measure(now, "node-1", near(aws, azure)) {
				told++
			}
		}
	}
	order := func() string { return strings.Join(r.Near()["node-1"].Order, " ") }
	measure(1, 10, 20)
	if order() != "aws azure" || told != 1 {
		t.Fatalf("at first %q, told %d times", order(), told)
	}
	measure(600, 23, 20) // by less than five milliseconds
	measure(600, 100, 85)
	measure(25, 50, 20) // clearly, and not for long
	measure(5, 20, 20)
	measure(25, 50, 20)
	if order() != "aws azure" || told != 1 {
		t.Fatalf("%q, told %d times", order(), told)
	}
	measure(10, 50, 20)
	if order() != "azure aws" || told != 2 {
		t.Fatalf("clearly nearer for half a minute: %q, told %d times", order(), told)
	}
	for range 300 { // a path that flaps every ten seconds moves nobody
		measure(10, 20, 50)
		measure(10, 50, 20)
	}
	if order() != "azure aws" || told != 2 {
		t.Errorf("a flapping path: %q, told %d times", order(), told)
	}
}

func TestRankingIsBoundedAndKeepsWhatIsSilent(t *testing.T) {
	var r Ranking
	now := time.Unix(0, 0)
	r.Measure(now, "node-1", near(10, 20))
	kept := r.Near()
	for range 100 { // aws is silent, azure is far
		now = now.Add(time.Second)
		r.Measure(now, "node-1", map[string]time.Duration{"azure": 15 * time.Millisecond, "aws": -1})
	}
	if n := r.Near()["node-1"]; !slices.Equal(n.Order, []string{"aws", "azure"}) || n.RTT["aws"] != 10*time.Millisecond {
		t.Errorf("%+v", n)
	}
	if kept["node-1"].RTT["azure"] != 20*time.Millisecond {
		t.Error("what was given changed later")
	}
	many := map[string]time.Duration{}
	for i := range maxMeasured + 1 {
		many[strings.Repeat("x", i+1)] = time.Second
	}
	if r.Measure(now, "node-2", many) || r.Measure(now, "node-2", nil) {
		t.Error("too many figures, or none, were taken")
	}
	for i := range 2 * maxVantages {
		r.Measure(now, strings.Repeat("n", i+1), near(1, 2))
	}
	if len(r.Near()) != maxVantages {
		t.Errorf("%d vantage points", len(r.Near()))
	}
}
