package health

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func of(atLeast int, parts ...Formula) Formula { return Formula{Of: parts, AtLeast: atLeast} }

func named(name string) Formula { return Formula{Check: name} }

func not(f Formula) Formula { return Formula{Not: &f} }

// TestFormulasHaveThreeValues works out each formula for every assignment of u(p), d(own) and ?.
func TestFormulasHaveThreeValues(t *testing.T) {
	a, b, c := named("a"), named("b"), named("c")
	values := map[byte]proa.Health{'u': proa.Healthy, 'd': proa.Unhealthy, '?': proa.Unknown}
	for _, test := range []struct {
		name string
		f    Formula
		want map[string]proa.Health // of a, b and c
	}{
		{"all", of(3, a, b, c), map[string]proa.Health{
			"uuu": proa.Healthy, "uud": proa.Unhealthy, "uu?": proa.Unknown, "u?d": proa.Unhealthy,
		}},
		{"any", of(1, a, b, c), map[string]proa.Health{
			"ddd": proa.Unhealthy, "ddu": proa.Healthy, "dd?": proa.Unknown, "?ud": proa.Healthy,
		}},
		{"2 of 3", of(2, a, b, c), map[string]proa.Health{
			"uud": proa.Healthy, "udd": proa.Unhealthy, "u?d": proa.Unknown, "uu?": proa.Healthy, "??d": proa.Unknown,
		}},
		{"not", not(a), map[string]proa.Health{
			"u..": proa.Unhealthy, "d..": proa.Healthy, "?..": proa.Unknown,
		}},
		{"nested", of(2, a, not(of(1, b, c))), map[string]proa.Health{
			"udd": proa.Healthy, "udu": proa.Unhealthy, "ud?": proa.Unknown, "d??": proa.Unhealthy,
		}},
	} {
		for values3, want := range test.want {
			got := test.f.eval(func(name string) opinion {
				return opinion{health: values[values3[name[0]-'a']], said: name}
			})
			if got.health != want {
				t.Errorf("%s of %s: %s, want %s (%s)", test.name, values3, got.health, want, got.said)
			}
		}
	}
}

func TestFormulasThatCannotBeWorkedOutAreRefused(t *testing.T) {
	deep := named("a")
	for range maxDepth + 1 {
		deep = not(deep)
	}
	var chain []Calculated // each takes the last one in four times: 4^10 in the end
	last := named("a")
	for i := range 10 {
		name := fmt.Sprintf("n%d", i)
		chain = append(chain, Calculated{Name: name, Of: of(1, last, last, last, last)})
		last = named(name)
	}
	for _, c := range []struct {
		calculated []Calculated
		want       string
	}{
		{[]Calculated{{Name: "x", Of: named("nowhere")}}, `there is no check "nowhere"`},
		{[]Calculated{{Name: "a", Of: named("a")}}, "taken"},
		{[]Calculated{{Name: "", Of: named("a")}}, "empty"},
		{[]Calculated{{Name: "x", Of: Formula{}}}, "wants a check's name"},
		{[]Calculated{{Name: "x", Of: of(3, named("a"), named("b"))}}, "from 1 to 2, not 3"},
		{[]Calculated{{Name: "x", Of: deep}}, "nested more than"},
		{[]Calculated{{Name: "x", Of: not(named("x"))}}, "x → x"},
		{[]Calculated{
			{Name: "x", Of: of(1, named("a"), named("y"))},
			{Name: "y", Of: of(1, not(named("z")))},
			{Name: "z", Of: named("x")},
		}, "x → y → z → x"},
		{chain, "takes in more than 256 checks"},
	} {
		err := CheckFormulas([]string{"a", "b"}, c.calculated)
		if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// A calculated check decides; its parts do so through it alone.
func TestCalculatedCheckDecidesForItsParts(t *testing.T) {
	now := time.Unix(0, 0)
	site := endpoint(proa.AWS, &fake{})
	site.Checks = nil
	for _, name := range []string{"a", "b", "c"} {
		site.Checks = append(site.Checks, CheckConfig{Name: name, Probe: &fake{}, Timing: DefaultTiming()})
	}
	site.Calculated = []Calculated{
		{Name: "two", Of: of(2, named("a"), named("b"), named("c"))},
		{Name: "shown", Of: not(named("a")), Advisory: true},
	}
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Minute,
		Endpoints: []Endpoint{site, endpoint(proa.Azure, &fake{})},
	}, now)
	failing := map[int]bool{}
	run := func() proa.Verdict {
		for range 200 {
			started, _, next := c.step(now)
			for _, r := range started {
				o := Outcome{Result: Pass}
				if r.endpoint == 0 && failing[r.check] {
					o = Outcome{Result: Fail, Reason: "refused"}
				}
				c.done(now, r, o, 0)
			}
			now = next
		}
		return c.sites[0].verdict
	}
	if v := run(); v.Health != proa.Healthy || v.Reason != "two: 3 of 3 healthy, 2 needed" {
		t.Errorf("all up: %+v", v)
	}
	failing[1] = true
	if v := run(); v.Health != proa.Healthy {
		t.Errorf("one down: %+v", v)
	}
	failing[2] = true
	v := run()
	if v.Health != proa.Unhealthy || !strings.HasPrefix(v.Reason, "two: 1 of 3 healthy, 2 needed: b (fake): refused; c") {
		t.Errorf("two down: %+v", v)
	}
	for _, s := range c.status(now) {
		if want := s.Region == proa.Azure || s.Name == "two"; s.Counts != want {
			t.Errorf("%s of %s counts: %t", s.Name, s.Region, s.Counts)
		}
	}
}
