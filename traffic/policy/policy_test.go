package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var endpoints = []Endpoint{
	{Name: "aws", Addresses: addrs("192.0.2.1"), Region: proa.AWS},
	{Name: "azure", Addresses: addrs("198.51.100.1"), Region: proa.Azure},
	{Name: "sorry", Addresses: addrs("203.0.113.1")},
}

func compile(t *testing.T, root Node, change ...func(*Config)) *Policy {
	t.Helper()
	c := Config{Root: root, Endpoints: endpoints}
	for _, f := range change {
		f(&c)
	}
	p, err := Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(name string) Node { return Node{Endpoint: name} }

// get is a client's answer.
func get(t *testing.T, p *Policy, plan proa.Plan, client string) (string, int) {
	t.Helper()
	a, err := p.Under(Situation{Plan: plan}, "api.example.")
	if err != nil {
		t.Fatal(err)
	}
	set, scope := a.Pick(netip.MustParseAddr(client), 0)
	var texts []string
	for _, x := range a.Sets[set] {
		texts = append(texts, x.String())
	}
	return strings.Join(texts, " "), scope
}

func want(t *testing.T, p *Policy, plan proa.Plan, client, address string, scope int) {
	t.Helper()
	if got, s := get(t, p, plan, client); got != address || s != scope {
		t.Errorf("%s under %q gets %q, scope %d; want %q, %d", client, plan.Down, got, s, address, scope)
	}
}

var plan = proa.Plan{Version: 7, Active: proa.AWS}

func down(p proa.Plan, regions string) proa.Plan {
	p.Down = regions
	return p
}

func TestFailoverTakesTheFirstTierThatIsUp(t *testing.T) {
	p := compile(t, Node{Failover: []Node{at("azure"), at("aws"), at("sorry")}})
	want(t, p, plan, "10.0.0.1", "198.51.100.1", 0)
	want(t, p, down(plan, "azure"), "10.0.0.1", "192.0.2.1", 0)
	want(t, p, down(plan, "aws,azure"), "10.0.0.1", "203.0.113.1", 0)
}

func TestActiveFollowsThePlan(t *testing.T) {
	p := compile(t, at(Active))
	want(t, p, plan, "10.0.0.1", "192.0.2.1", 0)
	want(t, p, proa.Plan{Active: proa.Azure}, "10.0.0.1", "198.51.100.1", 0)
	want(t, p, proa.Plan{Active: "mars"}, "10.0.0.1", "192.0.2.1", 0)
	want(t, p, down(plan, "aws"), "10.0.0.1", "192.0.2.1", 0) // open: as if it were up
	if p.Spreads() {
		t.Error("it needs more than the plan's region")
	}
}

func TestShareGrowsWithoutMovingOthersBack(t *testing.T) {
	p := compile(t, at(Active))
	moved := map[int]map[string]bool{}
	for _, share := range []int{1, 10, 50} {
		back := proa.Plan{Active: proa.Azure, Share: share}
		moved[share] = map[string]bool{}
		for i := range 16384 {
			client := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}).String()
			a, scope := get0(t, p, back, client)
			if a == "192.0.2.1" {
				moved[share][client] = true
			}
			if scope != 24 {
				t.Fatalf("scope %d", scope)
			}
		}
		if got := float64(len(moved[share])) / 163.84; got < float64(share)*0.9-0.3 || got > float64(share)*1.1+0.3 {
			t.Errorf("%.2f %% moved, want %d %%", got, share)
		}
	}
	for client := range moved[1] {
		if !moved[10][client] || !moved[50][client] {
			t.Fatalf("%s moved back while the share grew", client)
		}
	}
}

var cached = map[proa.Plan]*Answers{}

// get0 is get without making the answers anew.
func get0(t *testing.T, p *Policy, plan proa.Plan, client string) (string, int) {
	a := cached[plan]
	if a == nil {
		var err error
		if a, err = p.Under(Situation{Plan: plan}, "x"); err != nil {
			t.Fatal(err)
		}
		cached[plan] = a
	}
	set, scope := a.Pick(netip.MustParseAddr(client), 0)
	return a.Sets[set][0].String(), scope
}

func TestWeightedKeepsItsClientsAndDropsWhatIsDown(t *testing.T) {
	w := Node{Weighted: &Weighted{Branches: []Share{{3, at("aws")}, {1, at("azure")}}}}
	p := compile(t, w)
	count := 0
	for i := range 1024 {
		a, _ := get(t, p, plan, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}).String())
		b, _ := get(t, p, plan, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 200}).String())
		if a != b {
			t.Fatal("two clients of one /24 are sent apart")
		}
		if a == "192.0.2.1" {
			count++
		}
	}
	if count < 700 || count > 836 {
		t.Errorf("%d of 1024 at 3:1", count)
	}
	want(t, p, down(plan, "aws"), "10.0.0.1", "198.51.100.1", 0)
	six, _ := get(t, p, plan, "2001:db8:0:42::1")
	if other, scope := get(t, p, plan, "2001:db8:0:42:ffff::"); other != six || scope != 56 {
		t.Errorf("two clients of one /56: %s and %s, scope %d", six, other, scope)
	}
}

func TestPerQueryChoosesAnew(t *testing.T) {
	p := compile(t, Node{Weighted: &Weighted{
		PerQuery: true, Branches: []Share{{1, at("aws")}, {1, at("azure")}},
	}})
	a, err := p.Under(Situation{Plan: plan}, "x")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for i := range 1000 {
		set, scope := a.Pick(netip.MustParseAddr("10.0.0.1"), uint64(i))
		seen[set]++
		if scope != 0 {
			t.Fatalf("scope %d: the address did not decide", scope)
		}
	}
	if seen[0] < 400 || seen[1] < 400 {
		t.Errorf("chosen %v", seen)
	}
}

func TestMatchByNetworkWithDefaultAndNesting(t *testing.T) {
	inner := Node{Match: &Match{
		Kind: "subnet", Branches: []Branch{{"lab", at("sorry")}}, Default: &Node{Endpoint: "azure"},
		Entries: []Entry{{netip.MustParsePrefix("10.1.2.0/24"), 1}},
	}}
	p := compile(t, Node{Match: &Match{
		Kind: "geo", Branches: []Branch{{"europe", inner}, {"asia", at("aws")}},
		Default: &Node{Endpoint: "aws"},
		Entries: []Entry{
			{netip.MustParsePrefix("10.0.0.0/8"), 1}, {netip.MustParsePrefix("2001:db8::/32"), 2},
		},
	}})
	want(t, p, plan, "10.1.2.3", "203.0.113.1", 24)
	want(t, p, plan, "10.1.3.3", "198.51.100.1", 24)
	want(t, p, plan, "10.200.0.1", "198.51.100.1", 9)
	want(t, p, plan, "11.0.0.1", "192.0.2.1", 8)
	want(t, p, plan, "2001:db8::1", "192.0.2.1", 32)
	want(t, p, down(plan, "azure"), "10.200.0.1", "192.0.2.1", 9) // europe has nothing: the default
}

func TestWhenAllAreDown(t *testing.T) {
	root := Node{Failover: []Node{at("aws"), at("azure")}}
	all := down(plan, "aws,azure")
	want(t, compile(t, root), all, "10.0.0.1", "192.0.2.1", 0)
	want(t, compile(t, root, func(c *Config) { c.WhenDown = Closed }), all, "10.0.0.1", "", 0)
	want(t, compile(t, root, func(c *Config) {
		c.WhenDown, c.Fixed = Fixed, addrs("192.0.2.99")
	}), all, "10.0.0.1", "192.0.2.99", 0)
}

func TestMultivalueIsBounded(t *testing.T) {
	many := Endpoint{Name: "many"}
	for i := range 20 {
		many.Addresses = append(many.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	p, err := Compile(Config{
		Root:      Node{Multivalue: []Node{at("many"), at("aws")}},
		Endpoints: append(slices.Clone(endpoints), many),
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Under(Situation{Plan: plan}, "x")
	if err != nil || len(a.Sets[0]) != MaxValues {
		t.Errorf("%v %v", a.Sets, err)
	}
	want(t, compile(t, Node{Multivalue: []Node{at("aws"), at("azure")}}), down(plan, "aws"), "10.0.0.1",
		"198.51.100.1", 0)
}

func TestMultivalueStarvesNeitherBranchNorFamily(t *testing.T) {
	region := func(name string, n, v4, v6 int) Endpoint {
		e := Endpoint{Name: name}
		for i := range v4 {
			e.Addresses = append(e.Addresses, netip.AddrFrom4([4]byte{192, 0, byte(n), byte(i)}))
		}
		for i := range v6 {
			e.Addresses = append(e.Addresses, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(n), 15: byte(i)}))
		}
		return e
	}
	p, err := Compile(Config{
		Root:      Node{Multivalue: []Node{at("many"), at("six"), at("few")}},
		Endpoints: []Endpoint{region("many", 1, 20, 20), region("six", 2, 0, 20), region("few", 3, 1, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Under(Situation{Plan: plan}, "x")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, addr := range a.Sets[0] {
		if b := addr.As16(); addr.Is4() {
			count[fmt.Sprintf("4 of %d", addr.As4()[2])]++
		} else {
			count[fmt.Sprintf("6 of %d", b[4])]++
		}
	}
	want := map[string]int{"4 of 1": 7, "4 of 3": 1, "6 of 1": 4, "6 of 2": 3, "6 of 3": 1}
	if !maps.Equal(count, want) {
		t.Errorf("got %v, want %v", count, want)
	}
}

func TestTraceSaysWhatItDid(t *testing.T) {
	p := compile(t, Node{Failover: []Node{at("aws"), at("azure")}})
	tr, err := p.Trace(Situation{Plan: down(plan, "aws")}, "x", netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(tr.Steps, "\n")
	for _, part := range []string{"failover: the first", "  aws is down", "  azure is up", "→ tier 2"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if len(tr.Addresses) != 1 || tr.Addresses[0] != addrs("198.51.100.1")[0] {
		t.Errorf("%v", tr.Addresses)
	}
}

func TestBadPoliciesAreRefused(t *testing.T) {
	deep := at("aws")
	for range 10 {
		deep = Node{Failover: []Node{deep}}
	}
	for name, root := range map[string]Node{
		"nothing": {}, "unknown endpoint": at("mars"), "two at once": {
			Endpoint: "aws", Failover: []Node{at("aws")},
		}, "no branch": {Failover: []Node{}}, "no weight": {Weighted: &Weighted{Branches: []Share{
			{0, at("aws")},
		}}}, "too deep": deep, "no such branch": {Match: &Match{
			Branches: []Branch{{"x", at("aws")}},
			Entries:  []Entry{{netip.MustParsePrefix("10.0.0.0/8"), 2}},
		}},
	} {
		if _, err := Compile(Config{Root: root, Endpoints: endpoints}); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	p := compile(t, Node{Weighted: &Weighted{Branches: []Share{{3, at("aws")}, {1, at("azure")}}}})
	a, err := p.Under(Situation{Plan: plan}, "x")
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr("10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { a.Pick(client, 1) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}
