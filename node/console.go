package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/internal/telemetry"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/health"
)

// picture is what the node tells of itself: its own counters, everyone's counters, and the console that shows them.
type picture struct {
	recorder  *telemetry.Recorder
	collector *telemetry.Collector
	exporter  telemetry.Exporter // to the other nodes
	metrics   http.Handler
	clock     func() time.Time
	witnesses []*witness
	console   *console.Server // nil where none is configured
	published atomic.Pointer[console.Published]
	data      atomic.Pointer[dataView]

	queries   uint64 // of the name server, as last counted
	conflicts uint64
}

// dataView is data sync's part of the console, which costs too much to be made ten times a second.
type dataView struct {
	Directions   []console.Direction  `json:"directions"`
	Parts        []console.Part       `json:"parts"`
	Unreplicated map[proa.Region]*int `json:"unreplicated"`
	Verified     *console.Verified    `json:"verified"`
	Conflicts    uint64               `json:"conflicts"`
	Kept         uint64               `json:"kept"`
	Quarantined  int                  `json:"quarantined"`
	Warnings     []string             `json:"warnings"`
}

// pictureEvery is how often counters are read that nobody counts as they happen.
const pictureEvery = 500 * time.Millisecond

func newPicture(c Config) *picture {
	p := &picture{
		clock: c.Clock, recorder: telemetry.New(c.Proa.Node.Name, c.Clock), collector: telemetry.NewCollector(c.Clock),
	}
	p.exporter = telemetry.Exporter{Recorder: p.recorder, URLs: c.Proa.Node.Telemetry, Token: c.Proa.Node.AnnounceToken}
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.collector, partGauges{func() []console.Part { return p.data.Load().Parts }}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: 10 * time.Second})
	p.data.Store(&dataView{})
	p.published.Store(&console.Published{})
	return p
}

// countTable counts what data sync reads from and writes to a table's sides.
func (p *picture) countTable(t *datasync.Table, clock func() time.Time) {
	arrows := map[proa.Region]telemetry.Arrow{
		proa.AWS: telemetry.ReplicationAWS, proa.Azure: telemetry.ReplicationAzure,
	}
	for r, side := range t.Sides {
		side.Table = telemetry.Writes{Table: side.Table, Recorder: p.recorder, Arrow: arrows[r]}
		side.Feed = telemetry.Feed{Feed: side.Feed, Recorder: p.recorder, Clock: clock}
		t.Sides[r] = side
	}
}

// countBucket counts what data sync is told of a bucket and copies to its sides.
func (p *picture) countBucket(b *objects.Bucket, s3, blob cloud.PartBucket) {
	b.Sides = map[proa.Region]cloud.Bucket{
		proa.AWS:   telemetry.Copies{PartBucket: s3, Recorder: p.recorder, Arrow: telemetry.ReplicationS3},
		proa.Azure: telemetry.Copies{PartBucket: blob, Recorder: p.recorder, Arrow: telemetry.ReplicationBlob},
	}
	for r, events := range b.Events {
		b.Events[r] = telemetry.Notices{ObjectEvents: events, Recorder: p.recorder}
	}
}

// countMonitor counts the questions to a region's monitor.
func (p *picture) countMonitor(m cloud.Monitor, r proa.Region) cloud.Monitor {
	arrow := telemetry.CloudWatchHealth
	if r == proa.Azure {
		arrow = telemetry.MonitorHealth
	}
	return telemetry.Alarms{Monitor: m, Recorder: p.recorder, Arrow: arrow}
}

// witness watches a check's probes: they are the health box's own requests, and the first of several failures in a row is when
// a fault was first seen.
func (p *picture) witness(r proa.Region, probe health.Probe) health.Probe {
	w := &witness{inner: probe, region: r, picture: p}
	p.witnesses = append(p.witnesses, w)
	return w
}

type witness struct {
	inner   health.Probe
	region  proa.Region
	picture *picture
	failing atomic.Pointer[time.Time] // since when; nil: it passes
}

// Name implements health.Probe.
func (w *witness) Name() string { return w.inner.Name() }

// Probe asks once.
func (w *witness) Probe(ctx context.Context) health.Outcome {
	began := time.Now()
	o := w.inner.Probe(ctx)
	var err error
	switch o.Result {
	case health.Fail:
		err = errors.New(w.Name() + ": " + o.Reason)
		if w.failing.Load() == nil {
			at := w.picture.clock().UTC()
			w.failing.Store(&at)
		}
	case health.Pass:
		w.failing.Store(nil)
	}
	if w.region != "" {
		w.picture.recorder.Observe(telemetry.Health, time.Since(began), err)
	}
	return o
}

// firstFailed is when the present failures of a region's check began; nil while it passes.
func (p *picture) firstFailed(r proa.Region, check string) *time.Time {
	for _, w := range p.witnesses {
		if w.region == r && strings.Contains(check, w.Name()) {
			return w.failing.Load()
		}
	}
	return nil
}

// routes adds the collector's intake and /metrics to the control API.
func (p *picture) routes(mux *http.ServeMux, control, announce proa.Secret) {
	mux.Handle("POST "+telemetry.CountersPath, requireToken(announce, p.collector))
	mux.Handle("POST "+telemetry.TracesPath, requireToken(announce, p.collector))
	mux.Handle("GET /v1/picture", requireToken(control, serve(func(*http.Request) (any, error) { return p.data.Load(), nil })))
	mux.Handle("GET /metrics", requireToken(control, p.metrics))
	mux.Handle("POST /v1/console", requireToken(control, serve(p.link)))
}

// ConsoleLink is POST /v1/console: where the console is, and a link that opens one session.
type ConsoleLink struct {
	URL  string `json:"url"`
	Link string `json:"link"`
}

func (p *picture) link(*http.Request) (any, error) {
	if p.console == nil {
		return nil, &proa.Error{
			Op: "open the console", Err: proa.ErrNotFound, Hint: "set node.console to an address, such as 127.0.0.1:7800",
		}
	}
	link, err := p.console.Link()
	return ConsoleLink{URL: p.console.URL(), Link: link}, err
}

// openConsole opens the console where one is configured.
func (n *node) openConsole(api http.Handler) error {
	if n.cfg.Node.Console == "" {
		return nil
	}
	var err error
	n.picture.console, err = console.New(console.Config{
		Listen: n.cfg.Node.Console, Hosts: n.cfg.Node.ConsoleHosts, Token: n.cfg.Node.ControlToken, API: api,
		Supervisor: console.Supervisor{Address: n.cfg.Node.Supervisor, Token: n.cfg.Node.SupervisorToken},
		Scenarios:  scenarios(n.cfg.Node.Supervisor != ""), Driller: n.driller, Peers: n.peerAudits,
		Live: n.live, Collector: n.picture.collector, Dir: filepath.Join(n.cfg.Node.Dir, "console"),
		Clock: n.clock, Logger: n.logger,
	})
	return err
}

// runPicture counts, exports and serves the console until ctx ends.
func (n *node) runPicture(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	if n.picture.console != nil {
		g.Go(func() error { return n.picture.console.Run(gctx) })
	}
	g.Go(func() error { return n.picture.exporter.Run(gctx) })
	g.Go(func() error {
		ticker := time.NewTicker(pictureEvery)
		defer ticker.Stop()
		for {
			select {
			case <-gctx.Done():
				return nil
			case <-ticker.C:
				n.countQueries()
				n.viewData(gctx)
				// The node is one of the processes that report to it.
				_ = n.picture.collector.Add(n.picture.recorder.Report())
				n.picture.collector.AddSpans(n.picture.recorder.Spans())
			}
		}
	})
	return g.Wait()
}

// countQueries counts what the name server answered since the last look: each query went to routing, which asked what is healthy,
// and was led to the region of the plan in force.
func (n *node) countQueries() {
	p, queries := n.picture, n.dns.Stats().Queries
	asked := queries - min(p.queries, queries)
	p.queries = queries
	arrow := telemetry.HealthPrimary
	if n.traffic.Plan().Active == proa.Azure {
		arrow = telemetry.HealthFailover
	}
	for _, a := range []telemetry.Arrow{telemetry.RequestRouting, telemetry.RoutingHealth, arrow} {
		p.recorder.Count(a, asked, 0)
	}
}

// viewData looks at data sync, or asks the node that owns it.
func (n *node) viewData(ctx context.Context) {
	owner := n.traffic.Plan().Owner
	if n.cluster == nil || owner == "" || owner == n.cfg.Node.Name {
		n.picture.data.Store(n.ownData())
		return
	}
	v, err := n.askData(ctx, owner)
	if err != nil {
		v = &dataView{Warnings: []string{fmt.Sprintf("%s, which owns data sync, cannot be asked: %v", owner, err)}}
	}
	n.picture.data.Store(v)
}

func (n *node) askData(ctx context.Context, owner string) (*dataView, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	resp, err := n.call(ctx, owner, http.MethodGet, "/v1/picture", http.NoBody)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	v := &dataView{}
	return v, json.NewDecoder(io.LimitReader(resp.Body, maxPassedOn)).Decode(v)
}

// ownData looks at data sync here.
func (n *node) ownData() *dataView {
	v := &dataView{Unreplicated: map[proa.Region]*int{}, Warnings: n.sync.Warnings()}
	for _, r := range proa.Regions() {
		v.Directions = append(v.Directions, n.direction(r))
		unheard, deaf := n.sync.Unheard(r)
		if _, total, err := n.sync.Unreplicated(r, 1); err == nil && deaf == nil && len(unheard) == 0 {
			v.Unreplicated[r] = &total
		}
	}
	v.Parts = n.parts()
	result, err := n.sync.Line()
	last := n.sync.Verified()
	if err != nil && last != nil {
		result, err = *last, nil
	}
	if err == nil {
		v.Verified = &console.Verified{
			Through: result.Through, Keys: result.Keys + result.Objects, Differences: result.Differences, InFlight: result.InFlight,
		}
		if last != nil {
			v.Verified.LastScan = &last.Through
		}
	}
	m := n.sync.Metrics()
	v.Conflicts, v.Kept = m.Conflicts, m.ConflictsKept
	n.picture.recorder.Count(telemetry.ReplicationJudged, v.Conflicts-min(n.picture.conflicts, v.Conflicts), 0)
	n.picture.conflicts = v.Conflicts
	if _, total, err := n.sync.Quarantine(1); err == nil {
		v.Quarantined = total
	}
	return v
}

func (n *node) direction(r proa.Region) console.Direction {
	d, err := n.sync.Replication(r)
	out := console.Direction{
		From: r, Known: d.Known && err == nil, Backlog: d.Backlog, PerSecond: d.PerSecond, Scanning: d.Scanning, Error: d.Error,
	}
	if err != nil {
		out.Error = err.Error()
	}
	if out.Known {
		ms := float64(d.Lag.Microseconds()) / 1000
		out.LagMS = &ms
	}
	if d.P99 > 0 {
		out.P50, out.P99 = &d.P50, &d.P99
	}
	return out
}

// parts is the same for each table and bucket, of as many as the console shows.
func (n *node) parts() []console.Part {
	list, err := n.sync.Parts()
	if err != nil {
		return nil // direction tells why
	}
	var parts []console.Part
	for i := range list[:min(len(list), console.MaxParts)] {
		p := &list[i]
		out := console.Part{Table: p.Table, Bucket: p.Bucket, Quarantined: p.Quarantined, Direction: console.Direction{
			From: p.From, Known: p.Known, Backlog: p.Backlog, PerSecond: p.PerSecond, Scanning: p.Scanning, Error: p.Error,
		}}
		if p.Known {
			ms := float64(p.Lag.Microseconds()) / 1000
			out.LagMS, out.Through = &ms, p.Through
		}
		if p.P99 > 0 {
			out.P50, out.P99 = &p.P50, &p.P99
		}
		parts = append(parts, out)
	}
	return parts
}

// live tells the console what is so. It blocks on nothing.
func (n *node) live() console.Live {
	e, data := n.traffic.Explain(), n.picture.data.Load()
	l := console.Live{
		Node: n.cfg.Node.Name, Zone: n.cfg.Zone, Primary: n.inForce().Primary, TTLSeconds: n.cfg.Traffic.TTL.D().Seconds(),
		Plan: e.Plan, Published: *n.picture.published.Load(), Quorum: e.Quorum, Standby: e.Standby, Summary: e.Summary,
		Regions: map[proa.Region]console.Region{}, Votes: []console.Vote{}, Checks: []console.Check{},
		Waiting: append([]string{}, e.Waiting...), Directions: data.Directions, Parts: data.Parts, Verified: data.Verified,
		Conflicts: data.Conflicts, Kept: data.Kept, Quarantine: data.Quarantined, Warnings: data.Warnings,
	}
	if e.Held != nil {
		l.Held = "held by " + e.Held.By + ": " + e.Held.Reason
	}
	for r, j := range e.Regions {
		l.Regions[r] = console.Region{
			Health: j.Health, Reason: j.Reason, Since: j.Since, Gateway: n.gateways()[r].URL, Unreplicated: data.Unreplicated[r],
		}
	}
	for _, v := range e.Vantages {
		l.Votes = append(l.Votes, console.Vote{
			Vantage: v.Vantage.Name, Beside: v.Vantage.Beside, Region: v.Region, Health: v.Health, Reason: v.Reason, Since: v.Since,
		})
	}
	for _, c := range n.prober.Status() {
		l.Checks = append(l.Checks, n.checkOf(c))
	}
	return l
}

func (n *node) checkOf(c health.CheckStatus) console.Check {
	return console.Check{
		Region: c.Region, Name: c.Name, Health: c.Health, Reason: c.Reason, Since: c.Since, Fails: c.Fails, Fall: n.cfg.Traffic.Fall,
		FirstFailed: n.picture.firstFailed(c.Region, c.Name),
	}
}

// notePublished remembers when the name server took a plan.
func (n *node) notePublished(p traffic.PlanChanged) {
	n.picture.published.Store(&console.Published{Version: p.Plan.Version, At: n.clock().UTC()})
}
