package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/verify"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/cluster"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/health"
)

// Status is GET /v1/status: what the node knows. What is not known is null, never zero.
type Status struct {
	Zone     string                       `json:"zone"`
	DNS      []string                     `json:"dns"`
	Plan     *proa.Plan                   `json:"plan"`
	Regions  map[proa.Region]RegionStatus `json:"regions"`
	Verified *Verified                    `json:"verified"`
	// Warnings say what a feed cannot show and which budget is spent.
	Warnings []string `json:"warnings,omitempty"`
	// Cluster is of the nodes together; null on a node that is alone and has no quorum.
	Cluster *ClusterStatus `json:"cluster"`
}

// RegionStatus is one region's part of a Status.
type RegionStatus struct {
	Health proa.Health `json:"health"`
	Reason string      `json:"reason"`
	// LagMS and Backlog are of changes captured from this region and not yet applied to the other.
	LagMS   *int64 `json:"lag_ms"`
	Backlog *int64 `json:"backlog"`
	// LagP50MS and LagP99MS are of the changes that were applied lately: from their acknowledgement here until
	// the other region's readers see them. nil: there were none.
	LagP50MS *float64 `json:"lag_p50_ms"`
	LagP99MS *float64 `json:"lag_p99_ms"`
	// Unreplicated counts acknowledged writes of this region that the other does not have; nil when
	// some may be unknown, since the node was away and the region cannot be asked.
	Unreplicated *int64 `json:"unreplicated"`
}

// Verified is the last comparison of both sides. Keys counts items and objects.
type Verified struct {
	Through     time.Time `json:"through"`
	Keys        int64     `json:"keys"`
	Differences int64     `json:"differences"`
	InFlight    int64     `json:"in_flight"`
}

// DiffReply is GET /v1/diff?region=aws|azure&limit=N.
type DiffReply struct {
	Region       proa.Region             `json:"region"`
	Total        int                     `json:"total"`
	Unreplicated []datasync.Unreplicated `json:"unreplicated"`
	// Incomplete lists the spans in which the node could not be told of writes: those that were
	// acknowledged then and have not been captured are missing from the list.
	Incomplete []datasync.Unheard `json:"incomplete"`
}

// VerifyReply is POST /v1/verify: keys counts items and objects.
type VerifyReply struct {
	Verified
	Took  float64             `json:"took_seconds"`
	First []verify.Difference `json:"first"`
	// LastScan is the moment through which both sides were last read completely; nil: never.
	LastScan *time.Time `json:"last_scan"`
}

func (a *api) status(r *http.Request) (any, error) {
	n := a.node
	plan := n.traffic.Plan()
	s := Status{Zone: n.cfg.Zone, DNS: n.cfg.Node.DNS, Plan: &plan, Regions: map[proa.Region]RegionStatus{}}
	explained := n.traffic.Explain()
	for _, r := range proa.Regions() {
		region := RegionStatus{Health: explained.Regions[r].Health, Reason: explained.Regions[r].Reason}
		d, err := n.sync.Replication(r)
		if err == nil {
			region.LagMS, region.Backlog = known(d)
			if d.P99 > 0 {
				region.LagP50MS, region.LagP99MS = &d.P50, &d.P99
			}
		}
		unheard, deaf := n.sync.Unheard(r)
		if _, total, err := n.sync.Unreplicated(r, 1); err == nil && deaf == nil && len(unheard) == 0 {
			count := int64(total)
			region.Unreplicated = &count
		}
		s.Regions[r] = region
	}
	if v, err := n.sync.Line(); err == nil {
		s.Verified = verified(v)
	} else if v := n.sync.Verified(); v != nil {
		s.Verified = verified(*v)
	}
	s.Warnings = slices.Concat(n.sync.Warnings(), n.checkWarnings())
	if r.Header.Get(cluster.FromHeader) == "" {
		n.askOwner(r.Context(), &s)
	}
	s.Cluster = n.clusterStatus()
	return s, nil
}

// known gives lag and backlog of a direction whose feed is being read. While it cannot be, the lag is unknown, and so
// is a backlog of nothing: only what had been captured is certain.
func known(d datasync.Direction) (lagMS, backlog *int64) {
	count := int64(d.Backlog)
	if !d.Known {
		if count == 0 {
			return nil, nil
		}
		return nil, &count
	}
	lag := d.Lag.Milliseconds()
	return &lag, &count
}

func verified(v verify.Result) *Verified {
	return &Verified{Through: v.Through, Keys: v.Keys + v.Objects, Differences: v.Differences, InFlight: v.InFlight}
}

func (a *api) explain(*http.Request) (any, error) { return a.node.traffic.Explain(), nil }

func (a *api) diff(r *http.Request) (any, error) {
	region, err := proa.ParseRegion(r.FormValue("region"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proa.ErrInvalid, err)
	}
	limit, err := number(r, "limit", 10000, 100000)
	if err != nil {
		return nil, err
	}
	list, total, err := a.node.sync.Unreplicated(region, limit)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []datasync.Unreplicated{}
	}
	unheard, err := a.node.sync.Unheard(region)
	if err != nil {
		return nil, err
	}
	return DiffReply{Region: region, Total: total, Unreplicated: list, Incomplete: append([]datasync.Unheard{}, unheard...)}, nil
}

func number(r *http.Request, name string, otherwise, most int) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s %q: want a number from 1 to %d: %w", name, s, most, proa.ErrInvalid)
	}
	return n, nil
}

// verify compares by digests, or with ?deep=1 by reading both sides, and then with ?repair=1 has
// what differs repaired.
func (a *api) verify(r *http.Request) (any, error) {
	var result verify.Result
	var err error
	if r.FormValue("deep") == "" {
		result, err = a.compare(r.Context())
	} else {
		o := datasync.VerifyOptions{Deep: true, Repair: r.FormValue("repair") != ""}
		result, err = a.node.sync.Verify(r.Context(), o)
	}
	if err != nil {
		return nil, err
	}
	reply := VerifyReply{Verified: *verified(result), Took: result.Took, First: result.First}
	if reply.First == nil {
		reply.First = []verify.Difference{}
	}
	if v := a.node.sync.Verified(); v != nil {
		reply.LastScan = &v.Through
	}
	return reply, nil
}

// compareWithin bounds how long a comparison waits for what was written before it.
const compareWithin = 5 * time.Second

// compare answers from digests: of a moment after the request came, where both feeds can be read that far within compareWithin, with
// nothing in flight; else of the last moment that is known, which the answer's through tells.
func (a *api) compare(ctx context.Context) (verify.Result, error) {
	began := a.node.clock()
	for {
		result, err := a.node.sync.Compare()
		settled := err == nil && result.InFlight == 0 && result.Through.After(began)
		late := a.node.clock().Sub(began) > compareWithin && !errors.Is(err, proa.ErrUnavailable)
		if settled || late || err != nil && !errors.Is(err, proa.ErrUnavailable) {
			return result, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
}

// command takes an operator's order to the traffic controller; its refusal is the answer.
func (a *api) command(r *http.Request) (any, error) {
	var cmd traffic.Command
	if err := decode(r, &cmd); err != nil {
		return nil, err
	}
	if err := a.node.allow(r.Context(), cmd); err != nil {
		return nil, err
	}
	return struct{}{}, a.node.traffic.Command(r.Context(), cmd)
}

// announce keeps a function's word that its region acknowledged a write. Fields of a newer proa are ignored.
func (a *api) announce(r *http.Request) (any, error) {
	var announcement proa.Announcement
	if err := json.NewDecoder(r.Body).Decode(&announcement); err != nil {
		return nil, fmt.Errorf("announcement: %w: %w", proa.ErrInvalid, err)
	}
	return struct{}{}, a.node.sync.Announce(r.Context(), announcement)
}

// Metrics is GET /v1/metrics.
type Metrics struct {
	DNS      dns.Stats            `json:"dns"`
	DataSync datasync.Status      `json:"datasync"`
	Checks   []health.CheckStatus `json:"checks"`
	Self     health.Self          `json:"self"`
	Events   []traffic.Event      `json:"events"`
}

func (a *api) metrics(*http.Request) (any, error) {
	status, err := a.node.sync.Status()
	if err != nil {
		return nil, err
	}
	return Metrics{DNS: a.node.dns.Stats(), DataSync: status, Checks: a.node.prober.Status(), Self: a.node.prober.Self(), Events: a.node.traffic.Events()}, nil
}
