package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/proa-cloud/proa"
)

// Answers are all that a policy can say under one plan. They do not change once made.
type Answers struct {
	// Sets are the address lists. Where the policy is closed one may be empty.
	Sets [][]netip.Addr
	// Down says that nothing was up, so that WhenDown was asked; by class.
	Down []bool

	policy *Policy
	picks  [][]pick // by class
	seed   uint64
}

// pick is one of a class's choices: it has those whose lot is under upto.
type pick struct {
	upto uint32
	set  uint16
}

// lots is how many lots there are.
const lots = 1 << 24

// branch is a choice while the tree is evaluated.
type branch struct {
	share     float64
	addresses []netip.Addr
}

// Under evaluates the policy in a situation. seed makes records choose independently of each other.
func (p *Policy) Under(s Situation, seed string) (*Answers, error) {
	a := &Answers{policy: p, seed: hash(14695981039346656037, seed)}
	for class := range p.classes {
		e := evaluation{policy: p, plan: s.Plan, near: s.Near, class: p.classes[class]}
		list, down := e.run()
		a.Down = append(a.Down, down)
		var picks []pick
		upto := 0.0
		for _, b := range list {
			set := slices.IndexFunc(a.Sets, func(s []netip.Addr) bool { return slices.Equal(s, b.addresses) })
			if set < 0 {
				if set = len(a.Sets); set == maxAnswers {
					return nil, bad("over %d different answers", maxAnswers)
				}
				a.Sets = append(a.Sets, b.addresses)
			}
			upto += b.share
			picks = append(picks, pick{uint32(upto*lots + 0.5), uint16(set)})
		}
		picks[len(picks)-1].upto = lots
		a.picks = append(a.picks, picks)
	}
	return a, nil
}

// Varies reports whether not all clients get the same.
func (a *Answers) Varies() bool { return len(a.Sets) > 1 }

// Pick returns the place among Sets of a client's answer, and how many leading bits of its address
// decided. chance is a number that differs from query to query.
func (a *Answers) Pick(client netip.Addr, chance uint64) (set, scope int) {
	class, scope := a.policy.table.Find(client)
	picks := a.picks[class]
	if len(picks) == 1 {
		return int(picks[0].set), scope
	}
	if a.policy.perQuery {
		return a.lot(picks, mix(chance^a.seed)), scope
	}
	hi, lo := number(client.Unmap())
	network, bits := hi&^0xff, 24
	if !client.Unmap().Is4() {
		network, bits = hi&^0xff, 56
		_ = lo // beyond a /56
	}
	return a.lot(picks, mix(network^a.seed)), max(scope, bits)
}

func (a *Answers) lot(picks []pick, h uint64) int {
	lot := uint32(h >> 40)
	for _, p := range picks {
		if lot < p.upto {
			return int(p.set)
		}
	}
	return int(picks[len(picks)-1].set)
}

// mix spreads bits (splitmix64's end).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hash is FNV-1a: the same on every node.
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// evaluation is one class under one plan. Where tell is set, it says what it does.
type evaluation struct {
	policy  *Policy
	plan    proa.Plan
	near    map[string]Near
	class   []uint16
	ignore  bool // health is not looked at
	matches int  // that were passed
	tell    func(depth int, format string, args ...any)
}

// run returns what the class gets, and whether nothing was up.
func (e *evaluation) run() ([]branch, bool) {
	if list := e.node(&e.policy.root, 0); len(list) > 0 {
		return list, false
	}
	switch e.policy.down {
	case Closed:
		e.say(0, "nothing is up: no address (when-all-down is closed)")
		return []branch{{share: 1}}, true
	case Fixed:
		e.say(0, "nothing is up: fixed addresses (when-all-down is fixed)")
		return []branch{{1, e.policy.fixed}}, true
	}
	e.say(0, "nothing is up: as if all were (when-all-down is open)")
	e.ignore, e.matches = true, 0
	if list := e.node(&e.policy.root, 0); len(list) > 0 {
		return list, true
	}
	// A match that has nothing for this client: whatever there is serves it better than nothing.
	return []branch{{1, e.policy.Addresses()}}, true
}

func (e *evaluation) say(depth int, format string, args ...any) {
	if e.tell != nil {
		e.tell(depth, format, args...)
	}
}

func (e *evaluation) node(n *Node, depth int) []branch {
	switch {
	case n.Endpoint != "":
		return e.endpoint(n.Endpoint, depth)
	case n.Failover != nil:
		e.say(depth, "failover: the first tier that is up")
		return e.first(n, depth)
	case n.Multivalue != nil:
		e.say(depth, "multivalue: all that are up")
		return e.all(n, depth)
	case n.Weighted != nil:
		e.say(depth, "weighted")
		return e.weighted(n.Weighted, depth)
	case n.Nearest != nil:
		return e.nearest(n.Nearest, depth)
	}
	return e.match(n.Match, depth)
}

func (e *evaluation) first(n *Node, depth int) []branch {
	var found []branch
	for i := range n.Failover {
		if list := e.node(&n.Failover[i], depth+1); found == nil && len(list) > 0 {
			e.say(depth+1, "→ tier %d", i+1)
			found = list
		}
	}
	return found
}

// all joins the branches, at most MaxValues addresses of each family.
func (e *evaluation) all(n *Node, depth int) []branch {
	var four, six [][]netip.Addr
	for i := range n.Multivalue {
		for _, b := range e.node(&n.Multivalue[i], depth+1) {
			var a, aaaa []netip.Addr
			for _, addr := range b.addresses {
				if addr.Unmap().Is4() {
					a = append(a, addr)
				} else {
					aaaa = append(aaaa, addr)
				}
			}
			four, six = append(four, a), append(six, aaaa)
		}
	}
	list := append(inTurn(four), inTurn(six)...)
	if len(list) == 0 {
		return nil
	}
	return []branch{{1, list}}
}

// inTurn takes an address of each list in turn, so that one with many leaves room for the others.
func inTurn(lists [][]netip.Addr) []netip.Addr {
	var out []netip.Addr
	for turn, more := 0, true; more && len(out) < MaxValues; turn++ {
		more = false
		for _, list := range lists {
			if turn >= len(list) {
				continue
			}
			more = true
			if len(out) < MaxValues && !slices.Contains(out, list[turn]) {
				out = append(out, list[turn])
			}
		}
	}
	return out
}

func (e *evaluation) weighted(w *Weighted, depth int) []branch {
	var list []branch
	sum := 0.0
	for i := range w.Branches {
		share := float64(w.Branches[i].Weight)
		inner := e.node(&w.Branches[i].Node, depth+1)
		if len(inner) == 0 || share == 0 {
			continue
		}
		e.say(depth+1, "→ weight %d", w.Branches[i].Weight)
		sum += share
		for _, b := range inner {
			list = append(list, branch{share * b.share, b.addresses})
		}
	}
	for i := range list {
		list[i].share /= sum
	}
	return list
}

func (e *evaluation) match(m *Match, depth int) []branch {
	choice := int(e.class[e.matches])
	e.matches++
	var found, otherwise []branch
	for i := range m.Branches { // all are walked: matches within them have their places
		mine := *e
		if choice != i+1 {
			mine.tell = nil
		} else {
			e.say(depth, "%s: %s", m.Kind, m.Branches[i].Name)
		}
		list := mine.node(&m.Branches[i].Node, depth+1)
		e.matches = mine.matches
		if choice == i+1 {
			found = list
		}
	}
	if m.Default != nil {
		mine := *e
		if len(found) > 0 {
			mine.tell = nil
		} else {
			e.say(depth, "%s: default", m.Kind)
		}
		otherwise = mine.node(m.Default, depth+1)
		e.matches = mine.matches
	}
	if len(found) > 0 {
		return found
	}
	return otherwise
}

// endpoint is where clients are sent, nothing while it is down.
func (e *evaluation) endpoint(name string, depth int) []branch {
	if name != Active {
		at := e.policy.endpoints[name]
		up := e.ignore || at.Region == "" || !e.plan.IsDown(at.Region)
		e.say(depth, "%s is %s: %s", name, upDown(up), texts(at.Addresses))
		if !up {
			return nil
		}
		return []branch{{1, at.Addresses}}
	}
	active := e.plan.Active
	if _, err := proa.ParseRegion(string(active)); err != nil {
		active = proa.AWS // whatever is wrong, users are sent somewhere
	}
	main := e.policy.endpoints[string(active)]
	other := e.policy.endpoints[string(active.Other())]
	up := e.ignore || !e.plan.IsDown(active)
	e.say(depth, "active: %s by plan %d, %s: %s", active, e.plan.Version, upDown(up),
		texts(main.Addresses))
	if !up {
		return nil
	}
	share := float64(e.plan.Share) / 100
	if share <= 0 || share >= 1 {
		return []branch{{1, main.Addresses}}
	}
	e.say(depth, "and %d %% of clients to %s: %s", e.plan.Share, active.Other(), texts(other.Addresses))
	return []branch{{share, other.Addresses}, {1 - share, main.Addresses}}
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func texts(list []netip.Addr) string {
	return fmt.Sprint(list)
}

// Trace is how a client's answer comes about.
type Trace struct {
	Steps     []string     `json:"steps"` // indented by their depth in the tree
	Addresses []netip.Addr `json:"addresses"`
	Scope     int          `json:"scope"` // bits of the client's address that decided
	Down      bool         `json:"down,omitempty"`
	Shares    []string     `json:"shares,omitempty"` // where there is a choice by chance
}

// Trace explains a client's answer in a situation.
func (p *Policy) Trace(s Situation, seed string, client netip.Addr) (Trace, error) {
	a, err := p.Under(s, seed)
	if err != nil {
		return Trace{}, err
	}
	var t Trace
	class, _ := p.table.Find(client)
	e := evaluation{policy: p, plan: s.Plan, near: s.Near, class: p.classes[class]}
	e.tell = func(depth int, format string, args ...any) {
		t.Steps = append(t.Steps, fmt.Sprintf("%*s"+format, append([]any{depth * 2, ""}, args...)...))
	}
	list, down := e.run()
	set, scope := a.Pick(client, 0)
	t.Addresses, t.Scope, t.Down = a.Sets[set], scope, down
	if len(list) > 1 {
		for _, b := range list {
			t.Shares = append(t.Shares, fmt.Sprintf("%.4g %% %s", b.share*100, texts(b.addresses)))
		}
	}
	return t, nil
}
