package console

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// Incident is what happened to one region, step by step.
type Incident struct {
	ID     int         `json:"id"`
	Region proa.Region `json:"region"`
	Began  time.Time   `json:"began"`
	Ended  *time.Time  `json:"ended"`
	// Cause is the first thing that was seen; Planned says that an operator switched.
	Cause   string `json:"cause"`
	Planned bool   `json:"planned,omitempty"`
	Steps   []Step `json:"steps"` // by time
	// Waiting says what the next step waits for.
	Waiting []string `json:"waiting"`
	Parts   Parts    `json:"parts"`
	// Unreplicated is how many acknowledged writes the other region lacked when traffic left; null: not all are known.
	Unreplicated *int `json:"unreplicated"`

	switched, returned, healed bool
	lastOld, errorsSeen        time.Time
	drained                    bool
	version                    uint64
	quiet                      time.Time // since when nothing has been wrong
}

// StepKind names a step.
type StepKind string

// The steps, in their usual order.
const (
	StepFault    StepKind = "fault"
	StepProbe    StepKind = "probe"   // a vantage's first failed probe
	StepVote     StepKind = "vote"    // a vantage's verdict
	StepVerdict  StepKind = "verdict" // the majority's
	StepPlan     StepKind = "plan"
	StepDNS      StepKind = "dns"
	StepServing  StepKind = "serving" // the first answer by the other region
	StepTTL      StepKind = "ttl"     // the last cached answer has expired
	StepDrained  StepKind = "drained" // the last request at the region that was left
	StepErrors   StepKind = "errors"  // clients' errors are back to zero
	StepHealed   StepKind = "healed"
	StepHealthy  StepKind = "healthy"
	StepFailback StepKind = "failback"
	StepEqual    StepKind = "equal" // both sides hold the same again
)

// Step is one thing that happened.
type Step struct {
	Kind StepKind  `json:"kind"`
	At   time.Time `json:"at"`
	Who  string    `json:"who,omitempty"` // the vantage
	Text string    `json:"text"`
}

// Parts is the time without service, split. Null: has not happened, or is not known. TTL is what clients may keep an answer for:
// an upper bound, where Drained is measured.
type Parts struct {
	DetectMS  *float64 `json:"detect_ms"`
	DecideMS  *float64 `json:"decide_ms"`
	PublishMS *float64 `json:"publish_ms"`
	TTLMS     *float64 `json:"ttl_ms"`
}

const (
	keptIncidents = 30
	maxSteps      = 64
	falseAlarm    = 8 * time.Second  // failed probes that led to nothing are forgotten after that
	quietFor      = 3 * time.Second  // an incident ends when nothing has been wrong for so long
	expectFor     = 10 * time.Second // a killed process shows within that
	drainAfter    = 4 * time.Second  // without a request: the old region is drained
)

// watcher makes incidents of what it is shown. Its core, step and traffic, does no I/O but for saving an incident that ended.
type watcher struct {
	path   string
	logger *slog.Logger

	mu       sync.Mutex
	open     *Incident
	past     []Incident
	next     int
	plan     proa.Plan // as last seen
	expected map[proa.Region]time.Time
	fails    map[string]bool // checks that were failing at the last look
}

func openWatcher(path string, logger *slog.Logger) *watcher {
	w := &watcher{path: path, logger: logger, next: 1, expected: map[proa.Region]time.Time{}, fails: map[string]bool{}}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &w.past)
	}
	if err != nil && !os.IsNotExist(err) {
		logger.Warn("past incidents cannot be read; the list begins anew", "file", path, "err", err)
		w.past = nil
	}
	for _, i := range w.past {
		w.next = max(w.next, i.ID+1)
	}
	return w
}

// expect notes that an operator killed a cloud just now.
func (w *watcher) expect(now time.Time, target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[proa.Region(target)] = now
}

func (w *watcher) current() *Incident {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		return nil
	}
	return w.open.copy()
}

func (i *Incident) copy() *Incident {
	c := *i
	c.Steps, c.Waiting = slices.Clone(i.Steps), slices.Clone(i.Waiting)
	return &c
}

// all lists the incidents, the newest first.
func (w *watcher) all() []Incident {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Incident{}
	if w.open != nil {
		out = append(out, *w.open.copy())
	}
	for i := range slices.Backward(w.past) {
		out = append(out, *w.past[i].copy())
	}
	return out
}

// step looks at the system.
func (w *watcher) step(now time.Time, live *Live, faults Faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != nil && w.open.anew(faults) {
		w.end(now)
	}
	if w.open == nil {
		w.open = w.begin(now, live, faults)
	}
	if w.open != nil {
		w.open.look(now, live, faults)
		w.open.Waiting = w.open.waits(live)
		if w.open.over(now, live, faults) {
			w.end(now)
		}
	}
	for _, c := range live.Checks {
		w.fails[c.Name] = c.Fails > 0
	}
	w.plan = live.Plan
}

// begin opens an incident where something has gone wrong.
func (w *watcher) begin(now time.Time, live *Live, faults Faults) *Incident {
	open := func(r proa.Region, at time.Time, kind StepKind, who, text string) *Incident {
		i := &Incident{ID: w.next, Region: r, Began: at.UTC(), Cause: text, Steps: []Step{}, version: w.plan.Version}
		w.next++
		i.add(kind, at, who, text)
		return i
	}
	for _, r := range proa.Regions() {
		if at, ok := w.expected[r]; ok && now.Sub(at) < expectFor {
			delete(w.expected, r)
			return open(r, at, StepFault, "", "the whole of "+string(r)+" is killed (SIGKILL)")
		}
		if at, ok := faults.Died[r]; ok {
			return open(r, at, StepFault, "", "the cloud's process ended")
		}
	}
	for _, f := range faults.List {
		if r, err := proa.ParseRegion(f.Target); err == nil && now.Sub(f.Since) < expectFor {
			return open(r, f.Since, StepFault, "", f.Kind+": "+f.Text)
		}
	}
	for _, c := range live.Checks {
		if c.Region != "" && c.Fails > 0 && !w.fails[c.Name] {
			return open(c.Region, c.failedAt(now), StepProbe, live.Node, "first failed probe of "+c.Name+": "+c.Reason)
		}
	}
	if w.plan.Version != 0 && live.Plan.Active != w.plan.Active {
		i := open(w.plan.Active, live.Plan.Since, StepPlan, "", live.Plan.Reason)
		i.Planned, i.switched = true, true
		return i
	}
	return nil
}

// look adds the steps that have happened since the last look.
func (i *Incident) look(now time.Time, live *Live, faults Faults) {
	region := live.Regions[i.Region]
	for _, c := range live.Checks {
		if c.Region == i.Region && c.Fails > 0 && !i.has(StepProbe, live.Node) && !i.healed {
			i.add(StepProbe, c.failedAt(now), live.Node, "first failed probe of "+c.Name+": "+c.Reason)
		}
	}
	for _, v := range live.Votes {
		if v.Region == i.Region && v.Health == proa.Unhealthy && !v.Since.Before(i.Began.Add(-time.Second)) && !i.has(StepVote, v.Vantage) {
			i.add(StepVote, v.Since, v.Vantage, v.Vantage+" votes unhealthy: "+v.Reason)
		}
	}
	if region.Health == proa.Unhealthy && !i.has(StepVerdict, "") {
		i.add(StepVerdict, region.Since, "", "judged unhealthy: "+region.Reason)
	}
	i.lookAtPlan(now, live)
	i.lookAtHealing(now, live, faults)
}

func (i *Incident) lookAtPlan(now time.Time, live *Live) {
	left := live.Plan.Active != i.Region
	if left && live.Plan.Version > i.version && !i.switched && len(i.Steps) > 0 {
		i.switched = true
	}
	if i.switched && left && !i.has(StepPlan, "") {
		i.add(StepPlan, live.Plan.Since, "", fmt.Sprintf("plan %d: traffic goes to %s", live.Plan.Version, live.Plan.Active))
	}
	if i.switched && left && i.Unreplicated == nil && i.at(StepDNS) == nil {
		i.Unreplicated = live.Regions[i.Region].Unreplicated
	}
	if i.switched && left && live.Published.Version >= live.Plan.Version && !i.has(StepDNS, "") {
		at := live.Published.At
		i.add(StepDNS, at, "", "the name server answers "+string(live.Plan.Active))
		i.Parts.TTLMS = millis(time.Duration(live.TTLSeconds * float64(time.Second)))
	}
	if dns := i.at(StepDNS); dns != nil && !i.has(StepTTL, "") {
		if until := dns.Add(time.Duration(live.TTLSeconds * float64(time.Second))); now.After(until) {
			i.add(StepTTL, until, "", fmt.Sprintf("the last cached answer has expired (TTL %g s)", live.TTLSeconds))
		}
	}
	i.measure()
}

// measure splits the time from the fault to the flip.
func (i *Incident) measure() {
	fault, verdict, plan, dns := i.at(StepFault), i.at(StepVerdict), i.at(StepPlan), i.at(StepDNS)
	if fault == nil {
		fault = i.at(StepProbe)
	}
	// On a node that does not decide, its own count of the votes can come after the plan.
	if verdict != nil && plan != nil && plan.Before(*verdict) {
		verdict = plan
	}
	between := func(a, b *time.Time) *float64 {
		if a == nil || b == nil {
			return nil
		}
		return millis(max(b.Sub(*a), 0))
	}
	i.Parts.DetectMS, i.Parts.DecideMS, i.Parts.PublishMS = between(fault, verdict), between(verdict, plan), between(plan, dns)
}

func millis(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

func (i *Incident) lookAtHealing(now time.Time, live *Live, faults Faults) {
	broken := i.broken(faults)
	if !broken && i.has(StepFault, "") && !i.healed {
		i.healed = true
		i.add(StepHealed, now, "", "nothing is broken on purpose any more")
	}
	if broken && i.healed { // broken again: the story goes on
		i.healed = false
		i.remove(StepHealed, StepHealthy, StepEqual)
	}
	healthy := live.Regions[i.Region].Health == proa.Healthy
	if healthy && i.has(StepVerdict, "") && !i.has(StepHealthy, "") {
		i.add(StepHealthy, live.Regions[i.Region].Since, "", string(i.Region)+" is healthy again")
	}
	if i.switched && live.Plan.Active == i.Region && !i.returned {
		i.returned = true
		i.add(StepFailback, live.Plan.Since, "", fmt.Sprintf("plan %d: traffic is back on %s", live.Plan.Version, i.Region))
	}
	v := live.Verified
	if !broken && healthy && v != nil && v.Differences == 0 && v.InFlight == 0 && v.Through.After(i.lastTrouble()) && !i.has(StepEqual, "") {
		i.add(StepEqual, now, "", fmt.Sprintf("both sides are equal: %d keys, 0 differences", v.Keys))
	}
}

func (i *Incident) broken(faults Faults) bool {
	if _, dead := faults.Died[i.Region]; dead {
		return true
	}
	return slices.ContainsFunc(faults.List, func(f Fault) bool { return f.Target == string(i.Region) })
}

// anew reports whether what is broken now is another story: this one was healed, and traffic is where it was.
func (i *Incident) anew(faults Faults) bool {
	return i.healed && i.switched == i.returned && len(faults.Died)+len(faults.List) > 0
}

// lastTrouble is since when the data could become equal again.
func (i *Incident) lastTrouble() time.Time {
	last := i.Began
	for _, k := range []StepKind{StepHealed, StepHealthy, StepDNS} {
		if at := i.at(k); at != nil && at.After(last) {
			last = *at
		}
	}
	return last
}

// over reports whether nothing more is to come.
func (i *Incident) over(now time.Time, live *Live, faults Faults) bool {
	calm := !i.broken(faults) && live.Regions[i.Region].Health == proa.Healthy &&
		!slices.ContainsFunc(live.Checks, func(c Check) bool { return c.Region == i.Region && c.Fails > 0 })
	if !calm {
		i.quiet = time.Time{}
		return false
	}
	if i.quiet.IsZero() {
		i.quiet = now
	}
	settled := i.has(StepEqual, "") || !i.has(StepFault, "") && !i.switched && now.Sub(i.Began) > falseAlarm
	back := !i.switched || i.returned || i.Planned || live.Plan.Active != live.Primary && now.Sub(i.quiet) > time.Minute ||
		i.Region != live.Primary
	return settled && back && now.Sub(i.quiet) > quietFor
}

func (w *watcher) end(now time.Time) {
	i := w.open
	w.open = nil
	if !i.has(StepFault, "") && !i.switched && !i.has(StepVerdict, "") {
		return // probes that failed and led to nothing
	}
	at := now.UTC()
	i.Ended, i.Waiting = &at, nil
	w.past = append(w.past, *i)
	if len(w.past) > keptIncidents {
		w.past = slices.Delete(w.past, 0, len(w.past)-keptIncidents)
	}
	if err := save(w.path, w.past); err != nil {
		w.logger.Warn("incident not saved", "err", err)
	}
}

func save(path string, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return os.Rename(tmp, path)
}

// traffic looks at what crossed the gateways, twice a second.
func (w *watcher) traffic(now time.Time, stats map[string]telemetry.Stats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.open
	if i == nil || !i.switched || i.returned {
		return
	}
	ways := map[proa.Region]telemetry.Arrow{proa.AWS: telemetry.PrimaryGateway, proa.Azure: telemetry.FailoverGateway}
	old, other := stats[ways[i.Region]], stats[ways[i.Region.Other()]]
	if other.Delta > other.DeltaErrors && !i.has(StepServing, "") {
		i.add(StepServing, now, "", "first request answered by "+string(i.Region.Other()))
	}
	if old.DeltaErrors+other.DeltaErrors > 0 {
		i.errorsSeen = now
	}
	if old.Delta > 0 {
		i.lastOld = now
	}
	if i.has(StepTTL, "") && !i.lastOld.IsZero() && now.Sub(i.lastOld) > drainAfter && !i.drained {
		i.drained = true
		i.add(StepDrained, i.lastOld, "", "last request sent to "+string(i.Region)+"'s gateway")
	}
	if i.has(StepServing, "") && !i.errorsSeen.IsZero() && now.Sub(i.errorsSeen) > drainAfter && !i.has(StepErrors, "") {
		i.add(StepErrors, i.errorsSeen, "", "no request fails any more, of those that gateways took and clients reported")
	}
}

// failedAt is when the check's present failures began, as far as that was seen.
func (c Check) failedAt(now time.Time) time.Time {
	if c.FirstFailed != nil {
		return *c.FirstFailed
	}
	return now
}

// waits says in words what the next step waits for.
func (i *Incident) waits(live *Live) []string {
	if i.switched {
		return slices.Clone(live.Waiting)
	}
	if live.Regions[i.Region].Health == proa.Unhealthy {
		return slices.Clone(live.Waiting)
	}
	var down, all int
	for _, v := range live.Votes {
		if v.Region == i.Region {
			all++
			if v.Health == proa.Unhealthy {
				down++
			}
		}
	}
	need := all/2 + 1
	if i.healed || all == 0 {
		return nil
	}
	parts := []string{fmt.Sprintf("%d of %d vantages say that %s is down, %d needed", down, all, i.Region, need)}
	for _, c := range live.Checks {
		if c.Region == i.Region && c.Fails > 0 && c.Fails < c.Fall {
			left := c.Fall - c.Fails
			parts = append(parts, fmt.Sprintf("%d more failed probe%s of %s", left, strings.Repeat("s", min(left-1, 1)), c.Name))
		}
	}
	if down == 0 && len(parts) == 1 {
		return nil
	}
	return parts
}

func (i *Incident) add(kind StepKind, at time.Time, who, text string) {
	if len(i.Steps) >= maxSteps {
		return
	}
	i.Steps = append(i.Steps, Step{Kind: kind, At: at.UTC(), Who: who, Text: text})
	slices.SortStableFunc(i.Steps, func(a, b Step) int { return a.At.Compare(b.At) })
}

func (i *Incident) remove(kinds ...StepKind) {
	i.Steps = slices.DeleteFunc(i.Steps, func(s Step) bool { return slices.Contains(kinds, s.Kind) })
}

// has reports whether a step was made; who "" stands for anyone.
func (i *Incident) has(kind StepKind, who string) bool {
	return slices.ContainsFunc(i.Steps, func(s Step) bool { return s.Kind == kind && (who == "" || s.Who == who) })
}

// at is when a step was made first, nil when it was not.
func (i *Incident) at(kind StepKind) *time.Time {
	for _, s := range i.Steps {
		if s.Kind == kind {
			return &s.At
		}
	}
	return nil
}
