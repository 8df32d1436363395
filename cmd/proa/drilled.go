package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/internal/telemetry"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic"
)

// drillLimit bounds each wait of a drill.
const drillLimit = 90 * time.Second

// drillConfig describes a local system to a drill.
func drillConfig(ctx context.Context, c *supervisor.Client) (drill.Config, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return drill.Config{}, err
	}
	if status.Plan == nil {
		return drill.Config{}, &proa.Error{Op: "drill", Err: errors.New("the node does not say where traffic is: " + status.NodeError)}
	}
	e, err := explain(ctx, c)
	if err != nil {
		return drill.Config{}, err
	}
	addr := c.State.Addresses
	if supervisor.SharedGatewayAddress(addr) {
		return drill.Config{}, &proa.Error{
			Op: "drill", Err: errors.New("both gateways share one address, so a DNS answer cannot move a client"),
			Hint: "add the addresses: " + supervisor.AliasCommand,
		}
	}
	awsHost, port, err := net.SplitHostPort(addr.AWSGateway)
	if err != nil {
		return drill.Config{}, fmt.Errorf("gateway address: %w", err)
	}
	azureHost, _, err := net.SplitHostPort(addr.AzureGateway)
	if err != nil {
		return drill.Config{}, fmt.Errorf("gateway address: %w", err)
	}
	return drill.Config{
		System:    &drilled{Client: c, local: true},
		DNS:       nameServers(addr),
		Nodes:     len(addr.Nodes),
		Zone:      status.Zone,
		Port:      port,
		Gateways:  map[proa.Region]string{proa.AWS: awsHost, proa.Azure: azureHost},
		Preferred: e.Preferred,
		Limit:     drillLimit,
	}, nil
}

// reportFailures gives what counts the requests that no gateway answered, on the arrow that they were to cross, and tells the nodes:
// only clients know of them. The returned function ends it.
func reportFailures(ctx context.Context, s supervisor.State, gateways map[proa.Region]string) (observe func(drill.Write), stop func()) {
	urls := s.Addresses.NodeURLs()
	if len(urls) == 0 {
		urls = []string{"http://" + s.Addresses.Node}
	}
	r := telemetry.New("drill", time.Now)
	e := &telemetry.Exporter{Recorder: r, URLs: urls, Token: proa.NewSecret(s.Credentials.AnnounceToken)}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx) // always nil
	}()
	ways := map[string]telemetry.Arrow{gateways[proa.AWS]: telemetry.PrimaryGateway, gateways[proa.Azure]: telemetry.FailoverGateway}
	observe = func(w drill.Write) {
		if w.Unanswered && ways[w.Target] != "" {
			r.Observe(ways[w.Target], w.Done.Sub(w.Sent), errors.New("a client had no answer: "+w.Err))
		}
	}
	return observe, func() { cancel(); <-done }
}

func nameServers(a supervisor.Addresses) []string {
	var list []string
	for _, n := range a.Nodes {
		list = append(list, n.DNS)
	}
	return list
}

// remoteDrill describes the regions of a proa.yaml to a drill.
func remoteDrill(file string) (drill.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return drill.Config{}, err
	}
	if cfg.Node.Control == "" || len(cfg.Node.DNS) == 0 {
		return drill.Config{}, &proa.Error{
			Op: "drill the regions of " + file, Err: fmt.Errorf("node.control or node.dns is missing: %w", proa.ErrInvalidConfig),
			Hint: "they say where the node is that moves traffic",
		}
	}
	gateways := map[proa.Region]string{}
	var port, scheme string
	for r, g := range map[proa.Region]config.Gateway{proa.AWS: cfg.Regions.AWS.Gateway, proa.Azure: cfg.Regions.Azure.Gateway} {
		u, err := url.Parse(g.URL)
		if err != nil || len(g.Addresses) == 0 || u.Host == "" {
			return drill.Config{}, &proa.Error{Op: "drill the regions of " + file, Region: r, Err: fmt.Errorf("gateway url or addresses are missing: %w", proa.ErrInvalidConfig)}
		}
		gateways[r], scheme = g.Addresses[0], u.Scheme
		if port = u.Port(); port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
	}
	c := supervisor.Remote(cfg.Node.Control, cfg.Node.ControlToken.Reveal())
	c.State.Credentials.AnnounceToken = cfg.Node.AnnounceToken.Reveal()
	return drill.Config{
		System: &drilled{Client: c},
		DNS:    cfg.Node.DNS, Zone: cfg.Zone, Port: port, Scheme: scheme, Gateways: gateways, Preferred: cfg.Primary, Limit: drillLimit,
	}, nil
}

// drilled is a running system, as a drill sees it.
type drilled struct {
	*supervisor.Client
	local    bool // faults can be made
	switched bool // an order of ours has to be undone
}

// Make makes a fault. Where the clouds are not ours, only traffic can be moved.
func (d *drilled) Make(ctx context.Context, f drill.Fault, r proa.Region) error {
	if f.Switchover != "" {
		d.switched = true
		return d.Client.Node(ctx, http.MethodPost, "/v1/traffic", traffic.Command{Action: traffic.Switchover, To: r, By: operator(), Reason: "a drill"}, nil)
	}
	if !d.local {
		return &proa.Error{
			Op: f.Text(proa.AWS), Err: errors.New("the region is not on this machine, and nothing here may break it"),
			Hint: "scenarios of `switchover` run anywhere; faults need `proa up`",
		}
	}
	switch {
	case f.Kill != "":
		return d.Kill(ctx, r)
	case f.Freeze != "":
		return d.Freeze(ctx, r)
	case f.Partition != nil:
		return d.Partition(ctx, r, supervisor.Partition{Direction: f.Partition.Direction}, f.Partition.Scope)
	case f.Skew != nil:
		return d.Skew(ctx, string(r), supervisor.Skew{OffsetMS: f.Skew.Offset.D().Milliseconds()})
	case f.Throttle != nil:
		return d.Throttle(ctx, r, supervisor.Throttle{Rate: f.Throttle.Rate})
	}
	b := f.Brownout
	return d.Brownout(ctx, r, supervisor.Brownout{
		LatencyMS: b.Latency.D().Milliseconds(), JitterMS: b.Jitter.D().Milliseconds(),
		ErrorRate: b.ErrorRate, ResetRate: b.ResetRate, BytesPerSecond: b.Bandwidth,
	}, b.Scope)
}

// Node is the node that leads or owns; one that is alone does both.
func (d *drilled) Node(ctx context.Context, role string) (string, error) {
	if role != "leader" && role != "owner" {
		return role, nil
	}
	if nodes := d.State.Addresses.Nodes; len(nodes) == 1 {
		return nodes[0].Name, nil
	}
	var s node.Status
	if err := d.Client.Node(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return "", err
	}
	name := ""
	if s.Cluster != nil {
		name = s.Cluster.Leader
		if role == "owner" {
			name = s.Cluster.Owner
		}
	}
	if name == "" {
		return "", fmt.Errorf("no node is %s now: %w", role, proa.ErrUnavailable)
	}
	return name, nil
}

// Heal ends every fault, and gives traffic back where a switchover of ours took it.
func (d *drilled) Heal(ctx context.Context) error {
	if d.local {
		if err := d.HealAll(ctx); err != nil {
			return err
		}
	}
	if !d.switched {
		return nil
	}
	var err error
	for end := time.Now().Add(drillLimit); time.Now().Before(end); {
		err = d.Client.Node(ctx, http.MethodPost, "/v1/traffic", traffic.Command{Action: traffic.Failback, By: operator(), Reason: "the drill is over"}, nil)
		if err == nil {
			d.switched = false
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	return fmt.Errorf("give traffic back after the switchover: %w", err)
}

// View asks the traffic manager.
func (d *drilled) View(ctx context.Context) (drill.View, error) {
	e, err := explain(ctx, d.Client)
	return viewOf(&e), err
}

// viewOf takes for the time of a judgement that of who made the plan: the one who decides now may have come to it later.
func viewOf(e *traffic.Explanation) drill.View {
	v := drill.View{Plan: e.Plan, Unhealthy: map[proa.Region]time.Time{}}
	for r, j := range e.Regions {
		if j.Health == proa.Unhealthy {
			v.Unhealthy[r] = j.Since
		}
	}
	for _, was := range e.History {
		if was.Evidence.Cause == traffic.CauseFailover && was.Plan.Since.Equal(e.Plan.Since) {
			v.Unhealthy[e.Plan.Active.Other()] = was.Evidence.Judged
		}
	}
	return v
}

// Backlog asks the node.
func (d *drilled) Backlog(ctx context.Context) *int64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var s node.Status
	if d.Client.Node(ctx, http.MethodGet, "/v1/status", nil, &s) != nil {
		return nil
	}
	var sum int64
	for _, r := range s.Regions {
		if r.Backlog == nil {
			return nil
		}
		sum += *r.Backlog
	}
	return &sum
}

// Unreplicated asks the node for the region's acknowledged writes that the other lacks.
func (d *drilled) Unreplicated(ctx context.Context, r proa.Region) ([]string, error) {
	var list node.DiffReply
	if err := d.Client.Node(ctx, http.MethodGet, "/v1/diff?limit=100000&region="+string(r), nil, &list); err != nil {
		return nil, err
	}
	var ids []string
	for _, u := range list.Unreplicated {
		ids = append(ids, u.Key["id"].Str)
	}
	return ids, nil
}

// silenceLimit bounds how long the list of conflicts waits for a node that does not answer: one that was killed is being restarted.
const silenceLimit = 30 * time.Second

// Conflicts asks all nodes for their journals since a moment. Without one of them the list is not the whole, so it asks again.
func (d *drilled) Conflicts(ctx context.Context, since time.Time) ([]drill.Conflict, error) {
	ctx, cancel := context.WithTimeout(ctx, silenceLimit)
	defer cancel()
	q := url.Values{"since": {since.Format(time.RFC3339Nano)}, "limit": {"100000"}}
	for {
		var list node.ConflictsReply
		if err := d.Client.Node(ctx, http.MethodGet, "/v1/conflicts?"+q.Encode(), nil, &list); err != nil {
			return nil, err
		}
		if len(list.Silent) == 0 {
			return conflictsOf(list), nil
		}
		select {
		case <-ctx.Done():
			s := list.Silent[0]
			return nil, &proa.Error{
				Op: "list the conflicts", Err: fmt.Errorf("%s does not answer: %s: %w", s.Node, s.Why, proa.ErrUnavailable),
				Hint: "those that it decided are in its journal alone; see `proa status`",
			}
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func conflictsOf(list node.ConflictsReply) []drill.Conflict {
	var found []drill.Conflict
	for i := range list.Conflicts {
		c := &list.Conflicts[i]
		found = append(found, drill.Conflict{ID: c.ID, Key: c.Key["id"].Str, Winner: c.Winner.Region, Loser: c.Loser.Region, Reason: c.Reason})
	}
	return found
}

// Verify asks the node to compare both sides, whole: digests tell of a moment ago.
func (d *drilled) Verify(ctx context.Context) (keys, differences, inFlight int64, err error) {
	var v node.VerifyReply
	err = d.Client.Node(ctx, http.MethodPost, "/v1/verify?deep=1", nil, &v)
	return v.Keys, v.Differences, v.InFlight, err
}
