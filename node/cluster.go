package node

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// Times of data sync's ownership. The lease is shorter than the silence after which another node is
// named, so that there are never two owners whose leases run.
const (
	ownerLease   = time.Second
	ownerSilence = 1300 * time.Millisecond
	leaseEvery   = 100 * time.Millisecond
	// measuredBefore is how long before its beat came an owner of an older version may have measured what it says.
	measuredBefore = time.Second
)

// together reports whether several nodes are configured.
func (n *node) together() bool { return len(n.cfg.Cluster.Nodes) > 0 }

// vantages are the configured nodes as voters.
func (n *node) vantages() []traffic.Vantage {
	if !n.together() {
		return []traffic.Vantage{{Name: n.cfg.Node.Name}}
	}
	var list []traffic.Vantage
	for _, c := range n.cfg.Cluster.Nodes {
		list = append(list, traffic.Vantage{Name: c.Name, Beside: c.Beside})
	}
	return list
}

// nameServers are the addresses for the zone's NS records: every node's.
func (n *node) nameServers() ([]netip.Addr, error) {
	var list []netip.Addr
	for _, c := range n.cfg.Cluster.Nodes {
		if addr, err := netip.ParseAddr(c.DNS); err == nil && !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	if len(n.cfg.Node.DNS) == 0 {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	ap, err := netip.ParseAddrPort(n.cfg.Node.DNS[0])
	if err != nil {
		return nil, fmt.Errorf("node.dns: %w: %w", proa.ErrInvalidConfig, err)
	}
	return []netip.Addr{ap.Addr()}, nil
}

// newCluster joins the other nodes; a node that is alone has none.
func (n *node) newCluster(policy traffic.Config) error {
	if !n.together() {
		return nil
	}
	cc := n.cfg.Cluster
	cfg := cluster.Config{
		Self: n.cfg.Node.Name, Listen: cc.Listen, Dir: filepath.Join(n.cfg.Node.Dir, "cluster"),
		TLS:   cluster.Files{CA: cc.CA, Certificate: cc.Certificate, Key: cc.Key},
		Clock: n.clock, Logger: n.logger, Hear: n.hear,
		Commit:  func(r cluster.Record) { n.traffic.Commit(agreed(r)) },
		Stand:   func(standby string) { n.traffic.Stand(standby) },
		Recheck: func(r proa.Region) { n.prober.Recheck(r) },
		First: func() (traffic.State, error) {
			saved, err := n.planFile().Load()
			if err != nil {
				return saved, err
			}
			ctl, err := traffic.NewController(policy, saved, n.clock())
			if err != nil {
				return saved, err
			}
			return ctl.State(), nil
		},
		Handler: n.peerHandler(),
	}
	for _, c := range cc.Nodes {
		cfg.Nodes = append(cfg.Nodes, cluster.Node{Name: c.Name, Address: c.Address, Beside: c.Beside})
	}
	var err error
	if n.cluster, err = cluster.New(cfg); err != nil {
		return err
	}
	return n.cluster.Listen()
}

// log is where plans are agreed; nil on a node that is alone, which agrees with its own disk.
func (n *node) log() traffic.Log {
	if n.cluster == nil {
		return nil
	}
	return n.cluster
}

func (n *node) planFile() traffic.FileStore {
	return traffic.FileStore{Path: filepath.Join(n.cfg.Node.Dir, "plan.json")}
}

func agreed(r cluster.Record) traffic.Agreed {
	return traffic.Agreed{Generation: r.Generation, Seq: r.Seq, State: r.State}
}

// hear takes what another node tells.
func (n *node) hear(b cluster.Beat) {
	n.traffic.HearNode(b.Node, b.Unfit)
	for _, v := range b.Verdicts {
		n.traffic.Observe(v)
	}
	if b.Epoch > 0 && b.Epoch == n.traffic.Plan().Epoch && len(b.Progress) > 0 {
		if err := n.sync.Followed(b.Progress); err != nil {
			n.logger.Warn("announcements not settled", "owner", b.Node, "err", err)
		}
	}
}

// report gives this vantage's verdict to the controller here and to the others.
func (n *node) report(v proa.Verdict) {
	n.traffic.Observe(v)
	if n.cluster == nil {
		return
	}
	n.cluster.Tell(func(news *cluster.News) (atOnce bool) {
		i := slices.IndexFunc(news.Verdicts, func(o proa.Verdict) bool { return o.Region == v.Region })
		list := slices.Clone(news.Verdicts) // the old one may be being sent
		if i < 0 {
			news.Verdicts = append(list, v)
			return true
		}
		changed := list[i].Health != v.Health
		list[i] = v
		news.Verdicts = list
		return changed
	})
}

// askRecheck asks the other nodes to probe a region at once.
func (n *node) askRecheck(r proa.Region) {
	if n.cluster != nil {
		n.cluster.AskRecheck(r)
	}
}

// reached counts the other nodes that are heard.
func (n *node) reached() (reached, of int) {
	if n.cluster == nil {
		return 0, 0
	}
	for _, v := range n.cluster.View().Nodes {
		if v.Name == n.cfg.Node.Name {
			continue
		}
		of++
		if v.Alive {
			reached++
		}
	}
	return reached, of
}

// runCluster takes part in the cluster, and keeps data sync told of who owns it.
func (n *node) runCluster(ctx context.Context) error {
	if n.cluster == nil {
		n.sync.Assign(datasync.Tenure{Owner: n.cfg.Node.Name})
		return nil
	}
	n.traffic.Commit(agreed(n.cluster.View().Record))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.cluster.Run(ctx) })
	g.Go(func() error {
		ticker := time.NewTicker(leaseEvery)
		defer ticker.Stop()
		for {
			n.renew()
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	})
	return g.Wait()
}

// renew tells data sync who owns it and until when, and the others how it does.
func (n *node) renew() {
	n.noteIsolation()
	plan := n.traffic.Plan()
	t := datasync.Tenure{Owner: plan.Owner, Epoch: plan.Epoch}
	if sent := n.cluster.Acknowledged(); !sent.IsZero() {
		t.Until = sent.Add(ownerLease)
	} else {
		t.Until = time.Now() // nobody has heard this node: there is no lease
	}
	n.sync.Assign(t)
	own := n.sync.Ownership()
	unfit := ""
	if own.State == "fenced" {
		unfit = own.Reason
	}
	n.traffic.HearNode(n.cfg.Node.Name, unfit)
	said := cluster.News{Unfit: unfit, RoundTrips: n.prober.RoundTrips()}
	if own.State == "owner" {
		said.Measured = n.heardOf() // before it is measured
		said.Epoch, said.Replication, said.Progress = plan.Epoch, n.ownReplication(), n.sync.Progress()
	}
	n.cluster.Tell(func(news *cluster.News) (atOnce bool) {
		said.Verdicts = news.Verdicts
		*news = said
		return false
	})
}

// replication tells the traffic controller how far data sync has come in each direction: by this
// node's own knowledge where it owns data sync, else by the owner's word.
func (n *node) replication() []traffic.Replication {
	owner := n.traffic.Plan().Owner
	if n.cluster == nil || owner == n.cfg.Node.Name {
		return n.ownReplication()
	}
	if b, ago, ok := n.cluster.Heard(owner); ok && ago < ownerSilence && len(b.Replication) > 0 {
		at, heard := b.Measured[n.cfg.Node.Name]
		measured := time.Time{}
		switch {
		case b.Measured == nil: // of an older version
			measured = time.Now().Add(-ago - measuredBefore)
		case heard:
			measured = n.cluster.Sent(at)
		}
		return onThisClock(b.Replication, measured)
	}
	return nil // the controller sees its silence
}

// heardOf is the last beat heard of each other node.
func (n *node) heardOf() map[string]time.Duration {
	list := map[string]time.Duration{}
	for _, other := range n.cfg.Cluster.Nodes {
		if b, _, ok := n.cluster.Heard(other.Name); ok && other.Name != n.cfg.Node.Name {
			list[other.Name] = b.At
		}
	}
	return list
}

// onThisClock renders the owner's word with this node's time, which planned moves compare it with: Through was a time of the owner's
// clock, which may be ahead, and the lag is how far before the measurement it was. measured is no later than the measurement; the
// zero time is long ago.
func onThisClock(list []traffic.Replication, measured time.Time) []traffic.Replication {
	list = slices.Clone(list)
	if measured.IsZero() {
		measured = time.Unix(0, 0)
	}
	for i := range list {
		if r := &list[i]; !r.Through.IsZero() {
			r.Through = measured.Add(-max(r.Lag, 0))
		}
	}
	return list
}
