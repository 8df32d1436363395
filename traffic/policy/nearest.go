package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// Situation is what a policy's answers depend on.
type Situation struct {
	Plan proa.Plan
	// Near is what was measured, by vantage point.
	Near map[string]Near
}

// Nearest takes the first endpoint that is up, in the order of their distance from a vantage point.
type Nearest struct {
	// From is the vantage point that measures for these clients.
	From string
	// Among are the endpoints, in the order that holds until something was measured.
	Among []string
}

// Near is how far endpoints are from one vantage point.
type Near struct {
	Order []string                 `json:"order"` // the nearest first
	RTT   map[string]time.Duration `json:"rtt"`
}

// rank orders endpoints; those that were not measured follow as they came.
func (n Near) rank(among []string) []string {
	list := slices.Clone(among)
	slices.SortStableFunc(list, func(x, y string) int { return cmp.Compare(n.place(x), n.place(y)) })
	return list
}

func (n Near) place(name string) int {
	if i := slices.Index(n.Order, name); i >= 0 {
		return i
	}
	return len(n.Order)
}

// texts shows the figures of some endpoints.
func (n Near) texts(names []string) string {
	var list []string
	for _, name := range names {
		if rtt, ok := n.RTT[name]; ok {
			name += " " + shown(rtt)
		} else {
			name += " not measured"
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

// shown is a round trip for people.
func shown(rtt time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(rtt)/float64(time.Millisecond))
}

// When an order changes: another endpoint has been nearer by a fifth, and by five milliseconds, for
// half a minute. Answers must not follow every cloud over the path.
const (
	nearerBy     = 5 * time.Millisecond
	nearerFifth  = 5
	nearerFor    = 30 * time.Second
	maxVantages  = 256
	maxMeasured  = 64
	implausible  = time.Minute
	measuredUnit = time.Microsecond
)

// Ranking keeps the order of endpoints from each vantage point. It is pure.
type Ranking struct {
	near    map[string]Near
	pressed map[string]time.Time // since when another order has been due
}

// Measure takes a vantage point's present round trips, and reports whether its order changed. What it
// does not measure now keeps its last figure. Figures of more than a minute, or of none, are left out.
func (r *Ranking) Measure(now time.Time, from string, rtt map[string]time.Duration) bool {
	if r.near == nil {
		r.near, r.pressed = map[string]Near{}, map[string]time.Time{}
	}
	was, known := r.near[from]
	if len(rtt) == 0 || len(rtt) > maxMeasured || !known && len(r.near) == maxVantages {
		return false
	}
	n := Near{RTT: maps.Clone(was.RTT)}
	if n.RTT == nil {
		n.RTT = map[string]time.Duration{}
	}
	for name, d := range rtt {
		if d > 0 && d <= implausible {
			n.RTT[name] = d.Round(measuredUnit)
		}
	}
	n.Order = slices.SortedFunc(maps.Keys(n.RTT), func(x, y string) int {
		return cmp.Or(cmp.Compare(n.RTT[x], n.RTT[y]), cmp.Compare(x, y))
	})
	changed := r.settle(now, from, was, &n)
	r.near[from] = n
	return changed
}

// settle keeps the order as it was unless it has been clearly wrong for long enough.
func (r *Ranking) settle(now time.Time, from string, was Near, n *Near) bool {
	if len(was.Order) < len(n.Order) { // the first figure of an endpoint
		delete(r.pressed, from)
		return true
	}
	since, pressed := r.pressed[from]
	switch {
	case !n.clearly(was.Order):
		delete(r.pressed, from)
	case !pressed:
		r.pressed[from] = now
	case now.Sub(since) >= nearerFor:
		delete(r.pressed, from)
		return true
	}
	n.Order = was.Order
	return false
}

// clearly reports whether a later one of the order is nearer than an earlier one by enough.
func (n Near) clearly(order []string) bool {
	for i, first := range order {
		for _, later := range order[i+1:] {
			d := n.RTT[first]
			if n.RTT[later]+max(nearerBy, d/nearerFifth) <= d {
				return true
			}
		}
	}
	return false
}

// Near returns what is known, for a Situation. It does not change later.
func (r *Ranking) Near() map[string]Near { return maps.Clone(r.near) }

// nearest is the first endpoint that is up.
func (e *evaluation) nearest(n *Nearest, depth int) []branch {
	near, measured := e.near[n.From]
	order := near.rank(n.Among)
	if measured {
		e.say(depth, "the nearest to %s that is up: %s", n.From, near.texts(order))
	} else {
		e.say(depth, "%s has measured nothing yet: the first that is up", n.From)
	}
	var found []branch
	for _, name := range order {
		if list := e.endpoint(name, depth+1); found == nil && len(list) > 0 {
			found = list
		}
	}
	return found
}
