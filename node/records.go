package node

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/dns"
)

// records are the names whose addresses follow the plan: the zone's own and those with policies.
func records(c config.Config, zone dns.Record, places config.Places) ([]dns.Record, error) {
	list := []dns.Record{zone}
	for _, r := range c.Traffic.Records {
		compiled, err := c.Compile(r, places)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Name, err)
		}
		ttl := r.TTL.D()
		if ttl == 0 {
			ttl = c.Traffic.TTL.D()
		}
		record := dns.Record{
			Name: r.Name, TTL: ttl, Policy: compiled, Silent: r.OnIsolation == "silent",
		}
		if sameName(r.Name, zone.Name) {
			list[0] = record
			continue
		}
		list = append(list, record)
	}
	return list, nil
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// decisions adds to the controller's policy what the traffic section says of moves and records. The
// configuration was validated: what does not compile is not there.
func decisions(p *traffic.Config, c config.Config) {
	t := c.Traffic
	switch t.Failback {
	case "manual":
		p.Failback = traffic.FailbackManual
	case "gradual":
		p.Failback = traffic.FailbackGradual
	}
	if len(t.Stages) > 0 {
		p.Stages = t.Stages
	}
	if t.StageTime > 0 {
		p.StageTime = t.StageTime.D()
	}
	if t.Drain {
		p.Drain = max(t.TTL.D(), time.Second)
	}
	for _, table := range c.Tables {
		p.OneWriter = p.OneWriter || table.Fenced()
		p.FenceHook = p.FenceHook || table.Fencing == config.FencingHook
	}
	if t.WriteLease > 0 {
		p.WriteLease = t.WriteLease.D()
	}
	if t.MinBetween > 0 {
		p.Rules = append(p.Rules, traffic.MinBetween(t.MinBetween.D()))
	}
	if list, err := t.SafetyRules(); err == nil {
		for _, r := range list {
			p.Rules = append(p.Rules, r)
		}
	}
	for _, r := range t.Records {
		if t.Drain {
			p.Drain = max(p.Drain, r.TTL.D())
		}
		if c.Spreads(r) {
			p.Spread = true
		}
	}
	for _, a := range c.DNS.Aliases {
		if t.Drain && follows(a.Target, c) { // an alias has its own TTL
			p.Drain = max(p.Drain, a.TTL.D())
		}
	}
}

// noteIsolation tells the name server whether this node is cut off from the others: records that are
// silent then fall silent, and the others' answers say that the plan may be an old one.
func (n *node) noteIsolation() {
	reached, of := n.reached()
	isolated := reached+1 < (of+1)/2+1
	if err := n.dns.Isolate(isolated); err != nil {
		n.logger.Error("the name server was not told that this node is isolated", "err", err)
	}
	why := dns.Reason{}
	if isolated {
		why = dns.Reason{Code: dns.ReasonStale, Text: fmt.Sprintf(
			"isolated: %d of %d other nodes heard, the last plan stands", reached, of)}
	}
	n.dns.Degrade(why)
}

// Answer is GET /v1/explain/answer?name=&client=: how this node answers a client, and why.
type Answer struct {
	dns.Explanation
	Node string `json:"node"`
	// Place is where the client is, by the database of places; "" without one.
	Place string `json:"place,omitempty"`
	// Regions and Vantages are what the plan's health was judged by.
	Regions  map[proa.Region]traffic.Judgement `json:"regions"`
	Vantages []traffic.VantageView             `json:"vantages"`
}

func (a *api) explainAnswer(r *http.Request) (any, error) {
	client := netip.IPv4Unspecified()
	if text := r.FormValue("client"); text != "" {
		var err error
		if client, err = netip.ParseAddr(text); err != nil {
			return nil, fmt.Errorf("client: %w: %w", proa.ErrInvalid, err)
		}
	}
	e, ok, err := a.node.dns.Explain(r.FormValue("name"), client)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%q: no name here whose addresses follow the plan; there are %s: %w",
			r.FormValue("name"), strings.Join(a.node.dns.Names(), ", "), proa.ErrNotFound)
	}
	x := a.node.traffic.Explain()
	return Answer{
		Explanation: e, Node: a.node.cfg.Node.Name, Place: a.node.served.where(client), Regions: x.Regions,
		Vantages: x.Vantages,
	}, nil
}

// DryRun is POST /v1/plan/dry-run: what would be decided under other verdicts and another policy.
type DryRun struct {
	// Config is a proa.yaml; empty: the present one.
	Config string `json:"config,omitempty"`
	// Verdicts take the place of the present ones of the same vantage and region. One without a
	// vantage is all vantages'.
	Verdicts []proa.Verdict `json:"verdicts,omitempty"`
	// For is how long they last.
	For time.Duration `json:"for,omitempty"`
}

// DryRunReply is what would come.
type DryRunReply struct {
	Now    proa.Plan             `json:"now"`
	Plans  []traffic.PlanChanged `json:"plans"` // that would be made, in order
	Then   traffic.Explanation   `json:"then"`
	Config []config.Change       `json:"config,omitempty"` // what differs from the present configuration
}

// maxDryRun bounds the time that is played through.
const maxDryRun = 2 * time.Hour

func (a *api) dryRun(r *http.Request) (any, error) {
	var d DryRun
	if err := decode(r, &d); err != nil {
		return nil, err
	}
	if d.For < 0 || d.For > maxDryRun || len(d.Verdicts) > 64 {
		return nil, fmt.Errorf("for %s, %d verdicts: at most %s and 64: %w", d.For, len(d.Verdicts),
			maxDryRun, proa.ErrInvalid)
	}
	n := a.node
	present := n.inForce()
	policy, reply := n.policy(present), DryRunReply{Now: n.traffic.Plan()}
	if d.Config != "" {
		fresh, err := config.Parse("the given configuration", []byte(d.Config))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", proa.ErrInvalid, err)
		}
		policy, reply.Config = n.policy(fresh), config.Diff(present, fresh)
	}
	now := n.clock()
	what := traffic.Rehearsal{
		Policy: policy, Known: n.traffic.Explain(), Verdicts: d.Verdicts, For: d.For,
	}
	var err error
	reply.Plans, reply.Then, err = what.Play(now)
	slices.SortFunc(reply.Config, func(x, y config.Change) int { return strings.Compare(x.Path, y.Path) })
	return reply, err
}

// follows reports whether the answers for a name may change with a planned move: it is below the zone, or one of the records.
func follows(name string, c config.Config) bool {
	name = "." + strings.ToLower(strings.TrimSuffix(name, "."))
	return strings.HasSuffix(name, "."+strings.ToLower(c.Zone)) ||
		slices.ContainsFunc(c.Traffic.Records, func(r config.Record) bool { return sameName(r.Name, name[1:]) })
}
