package drill

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// Schema names the report's form. Fields are added, never renamed; another form gets another number.
const Schema = "proa.drill/1"

// Report is a drill's outcome: what was measured, against what was promised. Times are milliseconds; what could not be
// measured is null, never zero.
type Report struct {
	Schema     string           `json:"schema"`
	Started    time.Time        `json:"started"`
	TookMS     float64          `json:"took_ms"`
	Seed       uint64           `json:"seed"` // the same seed replays the same faults at the same moments
	Objectives Objectives       `json:"objectives"`
	Scenarios  []ScenarioReport `json:"scenarios"`
	Passed     bool             `json:"passed"`
}

// Objectives are what is judged.
type Objectives struct {
	RTOMS      float64 `json:"rto_ms"`      // of clients that honour the TTL
	RPOMS      float64 `json:"rpo_ms"`      // age of the oldest write that was not replicated when its region was left
	ConvergeMS float64 `json:"converge_ms"` // heal → both sides equal
	SLO        float64 `json:"slo"`         // share of requests that must succeed, such as 0.999
}

// ScenarioReport is one scenario, run once or more.
type ScenarioReport struct {
	Name  string  `json:"name"`
	About string  `json:"about"`
	Rate  int     `json:"rate"`
	Runs  []Run   `json:"runs"`
	Parts []Parts `json:"parts"` // over the runs, one for each phase
	// Missed are objectives and promises that did not hold in some run; empty is a pass.
	Missed []string `json:"missed"`
}

// Parts are the distribution over the runs of what was measured in a phase.
type Parts struct {
	Phase    string       `json:"phase"`
	Detect   Distribution `json:"detect_ms"`
	Decide   Distribution `json:"decide_ms"`
	Publish  Distribution `json:"publish_ms"`
	Client   Distribution `json:"client_ms"`
	RTO      Distribution `json:"rto_ms"`
	RPO      Distribution `json:"rpo_ms"`
	Records  Distribution `json:"rpo_records"`
	Converge Distribution `json:"converge_ms"`
	Failback Distribution `json:"failback_ms"`
}

// Distribution is over the runs that have a value.
type Distribution struct {
	N   int     `json:"n"`
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	Max float64 `json:"max"`
}

// Run is one run of a scenario.
type Run struct {
	Seed    uint64      `json:"seed"`
	Started time.Time   `json:"started"`
	TookMS  float64     `json:"took_ms"`
	Primary proa.Region `json:"primary"` // at its begin
	Phases  []PhaseRun  `json:"phases"`

	Requests int `json:"requests"` // sent in all
	Acked    int `json:"acked"`
	Failed   int `json:"failed"`
	Skipped  int `json:"skipped"` // not sent, because too many waited for an answer

	// Lost were acknowledged and are nowhere. Late were acknowledged, were missing when their region was left, and came
	// back with it. Unsure failed for the client and took effect all the same.
	Lost   []string `json:"lost"`
	Late   []string `json:"late"`
	Unsure []string `json:"unsure"`
	// Conflicts are the journal's entries of this run.
	Conflicts []Conflict `json:"conflicts"`

	Keys        int64 `json:"keys"`        // compared at the end
	Differences int64 `json:"differences"` // between both sides at the end
	InFlight    int64 `json:"in_flight"`   // compared and not settled at the end

	// Error says why the run could not be carried out to its end; "" as a rule.
	Error string `json:"error"`

	Budget Budget   `json:"error_budget"`
	Missed []string `json:"missed"`

	Series []Bucket `json:"series"`
	Marks  []Mark   `json:"marks"`
}

// Conflict is one entry of the conflict journal.
type Conflict struct {
	ID     uint64      `json:"id"`
	Key    string      `json:"key"`
	Winner proa.Region `json:"winner"`
	Loser  proa.Region `json:"loser"`
	Reason string      `json:"reason"`
}

// PhaseRun is one phase of a run. The RTO and its parts are of clients that honour the TTL; they add up to it.
type PhaseRun struct {
	Name    string    `json:"name"`
	Faults  []string  `json:"faults"`
	FaultAt time.Time `json:"fault_at"` // when the last fault was in force
	Traffic string    `json:"traffic"`  // what was expected: moves, stays or any
	Moved   bool      `json:"moved"`
	// WaitedMS is how long the drill held its fault back because traffic had moved before it; null: it had not.
	WaitedMS *float64 `json:"waited_ms"`

	DetectMS  *float64 `json:"detect_ms"`  // fault → the region is judged unhealthy
	DecideMS  *float64 `json:"decide_ms"`  // → a plan says another region
	PublishMS *float64 `json:"publish_ms"` // → the name server answers it
	ClientMS  *float64 `json:"client_ms"`  // → clients are served again
	RTOMS     *float64 `json:"rto_ms"`     // fault → clients are served again; 0: they never noticed

	RPOMS *float64 `json:"rpo_ms"` // fault − the oldest acknowledged write that the other region lacked
	// Unreplicated are those writes; Listed are those of them that proa itself listed.
	Unreplicated []string `json:"unreplicated"`
	Listed       []string `json:"listed"`

	Clients []ClientRun `json:"clients"`

	// ConflictsMade keys were written in both regions while neither saw the other's; Journaled of them have their loser in
	// the journal, whole.
	ConflictsMade []string `json:"conflicts_made"`
	Journaled     []string `json:"journaled"`

	ConvergeMS *float64 `json:"converge_ms"` // heal → both sides equal
	FailbackMS *float64 `json:"failback_ms"` // heal → the name server answers the first region again
}

// ClientRun is what one model of clients saw of a phase.
type ClientRun struct {
	Model    Model    `json:"model"`
	Requests int      `json:"requests"`
	Failed   int      `json:"failed"`
	RTOMS    *float64 `json:"rto_ms"` // null: not served again before the heal; 0: never noticed
	P50MS    float64  `json:"p50_ms"` // of acknowledged writes under the fault
	P99MS    float64  `json:"p99_ms"`
}

// Budget is what the run spent of the error budget of 30 days.
type Budget struct {
	FailedShare float64 `json:"failed_share"` // of the run's requests
	DownMS      float64 `json:"down_ms"`      // time in which half or more of the requests failed
	SpentShare  float64 `json:"spent_share"`  // of the budget that the SLO leaves in 30 days
}

// Bucket is one step of a run's timeline.
type Bucket struct {
	MS      int64   `json:"ms"` // since the run began
	AWS     int     `json:"aws"`
	Azure   int     `json:"azure"` // acknowledged by each region
	Failed  int     `json:"failed"`
	P99MS   float64 `json:"p99_ms"`
	Backlog *int64  `json:"backlog"` // changes captured and not applied, both directions; null while unknown
}

// Mark is a moment of a run's timeline.
type Mark struct {
	MS   int64  `json:"ms"`
	Kind string `json:"kind"` // away, fault, detect, decide, publish, client, heal, equal, failback
	Text string `json:"text"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func msPtr(d time.Duration) *float64 {
	v := ms(max(d, 0))
	return &v
}

// distribution is over the values that are there.
func distribution(values []*float64) Distribution {
	var v []float64
	for _, p := range values {
		if p != nil {
			v = append(v, *p)
		}
	}
	if len(v) == 0 {
		return Distribution{}
	}
	slices.Sort(v)
	at := func(q float64) float64 { return v[int(q*float64(len(v)-1)+0.5)] }
	return Distribution{N: len(v), Min: v[0], P50: at(0.5), P90: at(0.9), Max: v[len(v)-1]}
}

// parts gathers the distributions of every phase.
func parts(runs []Run) []Parts {
	if len(runs) == 0 {
		return []Parts{}
	}
	longest := slices.MaxFunc(runs, func(a, b Run) int { return len(a.Phases) - len(b.Phases) }).Phases
	list := make([]Parts, len(longest))
	for i := range list {
		over := func(of func(*PhaseRun) *float64) Distribution {
			var v []*float64
			for k := range runs {
				if i < len(runs[k].Phases) {
					v = append(v, of(&runs[k].Phases[i]))
				}
			}
			return distribution(v)
		}
		list[i] = Parts{
			Phase:   longest[i].Name,
			Detect:  over(func(p *PhaseRun) *float64 { return p.DetectMS }),
			Decide:  over(func(p *PhaseRun) *float64 { return p.DecideMS }),
			Publish: over(func(p *PhaseRun) *float64 { return p.PublishMS }),
			Client:  over(func(p *PhaseRun) *float64 { return p.ClientMS }),
			RTO:     over(func(p *PhaseRun) *float64 { return p.RTOMS }),
			RPO:     over(func(p *PhaseRun) *float64 { return p.RPOMS }),
			Records: over(func(p *PhaseRun) *float64 {
				if p.RPOMS == nil {
					return nil
				}
				n := float64(len(p.Unreplicated))
				return &n
			}),
			Converge: over(func(p *PhaseRun) *float64 { return p.ConvergeMS }),
			Failback: over(func(p *PhaseRun) *float64 { return p.FailbackMS }),
		}
	}
	return list
}
