package drill

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

const quick = "rate: 100\nwarm: 300ms\n"

func scenario(t *testing.T, text string) Scenario {
	t.Helper()
	s, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func drilled(t *testing.T, text string, lie func(*fake)) *Report {
	t.Helper()
	f, cfg := newFake(t)
	lie(f)
	if f.differs {
		cfg.Limit = time.Second
	}
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	lossText = quick + "phases: [{faults: [{partition: {region: primary}}, {kill: primary, after: 200ms}], traffic: moves, hold: 300ms}]"
	split    = quick + "phases: [{faults: [{partition: {region: secondary}}], traffic: stays, contend: 5, hold: 200ms}]"
)

func TestADrillMeasuresALoss(t *testing.T) {
	t.Parallel()
	r := drilled(t, lossText, func(*fake) {})
	if !r.Passed {
		t.Fatalf("missed: %v", r.Scenarios[0].Missed)
	}
	run := r.Scenarios[0].Runs[0]
	p := run.Phases[0]
	if p.RTOMS == nil || *p.RTOMS < 90 || *p.RTOMS > 2000 || p.DetectMS == nil || p.ClientMS == nil {
		t.Fatalf("RTO %s, detect %s, client %s", value(p.RTOMS), value(p.DetectMS), value(p.ClientMS))
	}
	if sum := *p.DetectMS + *p.DecideMS + *p.PublishMS + *p.ClientMS; sum < *p.RTOMS-1 || sum > *p.RTOMS+60 {
		t.Errorf("the parts add up to %.0f ms of %.0f", sum, *p.RTOMS)
	}
	if len(p.Unreplicated) == 0 || len(p.Listed) != len(p.Unreplicated) || *p.RPOMS <= 0 || len(run.Late) != len(p.Unreplicated) {
		t.Errorf("%d unreplicated, %d listed, %d late, RPO %s", len(p.Unreplicated), len(p.Listed), len(run.Late), value(p.RPOMS))
	}
	if run.Failed == 0 || run.Acked == 0 || run.Budget.FailedShare <= 0 || run.Budget.SpentShare <= 0 || len(run.Series) < 4 {
		t.Errorf("%+v", run.Budget)
	}
	kinds := map[string]bool{}
	for _, m := range run.Marks {
		kinds[m.Kind] = true
	}
	for _, k := range strings.Fields("fault detect decide publish client heal equal failback") {
		if !kinds[k] {
			t.Errorf("no mark for %s", k)
		}
	}
}

// leaves moves the fake's traffic away without any fault, as a starved machine does, and back once the drill waits for it.
func (f *fake) leaves(returns bool) func(string) {
	return func(line string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case strings.HasPrefix(line, "load:"):
			f.active = proa.Azure
		case strings.Contains(line, "the fault waits") && returns:
			f.active = proa.AWS
		}
	}
}

func TestAFaultWaitsForTrafficThatMovedBeforeIt(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	cfg.Limit = 20 * time.Second
	cfg.Progress = f.leaves(true)
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, lossText)})
	if err != nil {
		t.Fatal(err)
	}
	run := r.Scenarios[0].Runs[0]
	p := run.Phases[0]
	if p.WaitedMS == nil || !p.Moved {
		t.Errorf("waited %s ms, moved %v", value(p.WaitedMS), p.Moved)
	}
	var table, page bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "traffic had moved before the fault") || !strings.Contains(page.String(), "Traffic had moved before any fault") {
		t.Errorf("the reports do not say so:\n%s", table.String())
	}
}

func TestAFaultIsNotMadeWhileTrafficIsElsewhere(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	cfg.Progress = f.leaves(false)
	_, err := Drill(t.Context(), cfg, []Scenario{scenario(t, lossText)})
	if err == nil || !strings.Contains(err.Error(), "traffic to be on aws before the fault") {
		t.Errorf("got %v", err)
	}
	if len(f.struck) > 0 {
		t.Errorf("it struck all the same: %q", f.struck)
	}
}

func TestADrillStrikesANode(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	var told atomic.Int64
	cfg.Observe = func(Write) { told.Add(1) }
	text := quick + "nodes: 3\nphases: [{faults: [{kill: leader}], traffic: stays, hold: 200ms}]"
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, text)})
	if err != nil || !r.Passed {
		t.Fatalf("%v %+v", err, r)
	}
	run := r.Scenarios[0].Runs[0]
	if got := run.Phases[0].Faults; len(got) != 1 || got[0] != "kill leader (node-2)" || len(f.struck) != 1 {
		t.Errorf("%q, struck %q", got, f.struck)
	}
	if int(told.Load()) != run.Requests {
		t.Errorf("told of %d of %d writes", told.Load(), run.Requests)
	}
	cfg.Nodes = 1
	if _, err := Drill(t.Context(), cfg, []Scenario{scenario(t, text)}); err == nil || !strings.Contains(err.Error(), "needs 3 nodes") {
		t.Errorf("with one node: %v", err)
	}
	cfg.Nodes = 3
	owner := scenario(t, strings.ReplaceAll(text, "leader", "owner"))
	if _, err := Drill(t.Context(), cfg, []Scenario{owner}); err == nil || !strings.Contains(err.Error(), "nobody owns") {
		t.Errorf("without an owner: %v", err)
	}
}

func TestADrillFindsEachLie(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		lie    func(*fake)
		missed string
	}{
		"lost writes":         {lossText, func(f *fake) { f.forgets = true }, "no write is lost"},
		"unlisted writes":     {lossText, func(f *fake) { f.hidesUnreplicated = true }, "unreplicated writes are listed"},
		"no failover":         {lossText, func(f *fake) { f.stays = true }, "traffic: expected: moves; moved: false"},
		"silent conflicts":    {split, func(f *fake) { f.hidesConflicts = true }, "losers are in the journal: 5 of 5"},
		"moved for no reason": {quick + "phases: [{faults: [{kill: primary}], traffic: stays, hold: 300ms}]", func(*fake) {}, "expected: stays; moved: true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := drilled(t, c.text, c.lie)
			if r.Passed || !strings.Contains(strings.Join(r.Scenarios[0].Missed, "\n"), c.missed) {
				t.Errorf("passed %v, missed %q; want %q", r.Passed, r.Scenarios[0].Missed, c.missed)
			}
		})
	}
}

func TestADrillIsNotPassedWhileSidesDiffer(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	f.differs, cfg.Limit = true, 5*time.Second
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, split)})
	if err != nil {
		t.Fatal(err)
	}
	run := r.Scenarios[0].Runs[0]
	if r.Passed || run.Differences != 3 || !strings.Contains(strings.Join(run.Missed, "\n"), "both sides are equal: 3 of 10 keys differ") {
		t.Errorf("passed %v, %d differences, missed %q", r.Passed, run.Differences, run.Missed)
	}
	if run.Acked == 0 || len(run.Conflicts) == 0 {
		t.Errorf("%d acknowledged, %d conflicts: the run was not accounted for", run.Acked, len(run.Conflicts))
	}
}

func TestADrillIsNotPassedWhileTrafficIsNotBack(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	f.lingers, cfg.Limit = true, 5*time.Second
	two := strings.Replace(lossText, "phases: [", "phases: [{name: first, faults: [{kill: primary}], traffic: moves, hold: 200ms}, ", 1)
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, two)})
	if err != nil {
		t.Fatal(err)
	}
	run := r.Scenarios[0].Runs[0]
	if r.Passed || len(run.Phases) != 1 || !strings.Contains(strings.Join(run.Missed, "\n"), "first: failback: traffic did not go back to aws in time") {
		t.Errorf("passed %v, %d phases, missed %q", r.Passed, len(run.Phases), run.Missed)
	}
}

func TestADrillThatEndsEarlyReportsHowFarItCame(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	f.mute, cfg.Repeat, cfg.Limit = true, 2, 5*time.Second
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, split)})
	if err == nil || !strings.Contains(err.Error(), "cannot compare") {
		t.Fatalf("got %v", err)
	}
	run := r.Scenarios[0].Runs[0]
	if r.Passed || len(r.Scenarios[0].Runs) != 1 || run.Acked == 0 || !strings.Contains(strings.Join(run.Missed, "\n"), "the drill is carried out: ") {
		t.Errorf("passed %v, %+v", r.Passed, run.Missed)
	}
	f.mu.Lock()
	f.patched["order"] = proa.AWS // mute from the start
	f.mu.Unlock()
	r, err = Drill(t.Context(), cfg, []Scenario{scenario(t, split)})
	if err == nil || r.Passed || r.Scenarios[0].Runs[0].Error == "" {
		t.Fatalf("%v %+v", err, r)
	}
	var out bytes.Buffer
	for _, write := range []func(io.Writer) error{r.WriteTable, r.WriteJUnit, r.WriteHTML} {
		if err := write(&out); err != nil {
			t.Error(err)
		}
	}
	if strings.Count(out.String(), "cannot compare") < 3 {
		t.Errorf("not every report says why:\n%s", out.String())
	}
}

func TestARunOfConflictsAndItsReports(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	cfg.Repeat = 2
	cfg.Objectives.RTOMS = -1 // cannot be met
	_ = f
	r, err := Drill(t.Context(), cfg, []Scenario{scenario(t, split)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Scenarios[0].Runs[0].Phases[0].Journaled); n != 5 || r.Passed || len(r.Scenarios[0].Missed) != 2 {
		t.Errorf("%d journaled, missed %v", n, r.Scenarios[0].Missed)
	}
	var table, junit, page bytes.Buffer
	for _, err := range []error{r.WriteTable(&table), r.WriteJUnit(&junit), r.WriteHTML(&page)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(table.String()) {
		if len([]rune(line)) > 81 {
			t.Errorf("%d columns: %s", len([]rune(line))-1, line)
		}
	}
	var suites junitSuites
	if err := xml.Unmarshal(junit.Bytes(), &suites); err != nil || len(suites.Suites) != 2 || suites.Failures != 2 || suites.Tests < 10 {
		t.Errorf("JUnit: %v, %d suites, %d failures of %d", err, len(suites.Suites), suites.Failures, suites.Tests)
	}
	for _, want := range []string{"<svg", "missed its objectives", "prefers-color-scheme:dark", "@media print", "@page", "5 of 5 conflicting writes"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://"} {
		if strings.Contains(page.String(), never) {
			t.Errorf("the page has %q: it is not self-contained", never)
		}
	}
	text, err := json.Marshal(r)
	if err != nil || !bytes.Contains(text, []byte(`"schema":"proa.drill/1"`)) || bytes.Contains(text, []byte(":null,\"journaled")) {
		t.Errorf("JSON: %v %.200s", err, text)
	}
}

func TestOutageEndsWithSteadyService(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	write := func(sent int, acked bool) Write {
		return Write{Model: HonoursTTL, Sent: at(sent), Done: at(sent + 5), Acked: acked}
	}
	var list []Write
	for i := range 200 { // one each 10 ms; the fault is at 500
		ms := i * 10
		ok := ms < 500 || ms >= 900 || ms == 700 // a single success is no service
		list = append(list, write(ms, ok))
	}
	back, restored, failed := outage(list, HonoursTTL, at(500), at(2000))
	if !restored || failed != 39 || !back.Equal(at(905)) {
		t.Errorf("back %v, %v, %d failed", back.Sub(at(0)), restored, failed)
	}
	if _, restored, _ := outage(list, HonoursTTL, at(500), at(1000)); restored {
		t.Error("restored after 100 ms of service")
	}
	if _, restored, failed := outage(list, HonoursTTL, at(1000), at(2000)); !restored || failed != 0 {
		t.Error("an outage without failures")
	}
	if _, _, failed := outage(list, Pinned, at(0), at(2000)); failed != 0 {
		t.Error("another model's failures were counted")
	}
}

func TestEveryBuiltinScenarioIsValidAndDescribed(t *testing.T) {
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 12 {
		t.Errorf("%d scenarios", len(list))
	}
	for _, s := range list {
		if s.About == "" || len(s.About) > 120 {
			t.Errorf("%s: about %q", s.Name, s.About)
		}
		if again, err := Load(s.Name); err != nil || again.Name != s.Name {
			t.Errorf("%s: %v", s.Name, err)
		}
		if _, err := Source(s.Name); err != nil {
			t.Error(err)
		}
	}
}

func TestBadScenariosAreRefusedWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"phases: []":                                                              "phases: there are 0",
		"phases: [{faults: [{kil: primary}]}]":                                    `unknown field "kil" (did you mean "kill"?)`,
		"phases: [{faults: [{kill: moon}]}]":                                      `region "moon"`,
		"phases: [{faults: [{kill: aws, freeze: aws}]}]":                          "exactly one of",
		"phases: [{faults: [{kill: aws}], traffic: flies}]":                       "test.yaml:1:43: phases[0].traffic",
		"rate: 0\nphases: [{faults: [{kill: aws}]}]":                              "test.yaml:1:7: rate",
		"clients: [netscape]\nphases: [{faults: [{kill: aws}]}]":                  `"netscape" is no model`,
		"phases: [{faults: [{kill: aws, after: 2h}]}]":                            "after",
		"phases: [{faults: [{kill: aws}], contend: 9999}]":                        "contend",
		"phases: [{faults: [{skew: {region: primary, offset: soon}}]}]":           `"soon" is not a duration`,
		"warm: -1s\nphases: [{faults: [{kill: aws}]}]":                            "warm",
		"phases: [{faults: [{kill: aws}], hold: 99h}]":                            "hold",
		"phases: [{faults: [{brownout: {region: primary}}, {}], traffic: moves}]": "phases[0].faults[1]",
	} {
		_, err := Parse("test.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := Load("no-such"); err == nil || !strings.Contains(err.Error(), "kill-primary") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestAFloorKeepsAnAnswerLongerThanItsTTL(t *testing.T) {
	t.Parallel()
	f, cfg := newFake(t)
	now := time.Now()
	for model, want := range map[Model]string{HonoursTTL: "127.0.64.2", Floor60: "127.0.64.1", Pinned: "127.0.64.1"} {
		f.mu.Lock()
		f.active = "aws"
		f.mu.Unlock()
		r := newResolver(cfg.DNS, cfg.Zone, model)
		if addr, err := r.resolve(t.Context(), now); err != nil || addr != "127.0.64.1" {
			t.Fatal(addr, err)
		}
		f.mu.Lock()
		f.active = "azure"
		f.mu.Unlock()
		if addr, err := r.resolve(t.Context(), now.Add(30*time.Second)); err != nil || addr != want {
			t.Errorf("%s: %s, %v; want %s", model, addr, err, want)
		}
		r.broke("127.0.64.1")
		if addr, _ := r.resolve(t.Context(), now.Add(31*time.Second)); (addr == "127.0.64.2") != (model != Floor60) {
			t.Errorf("%s after its connection broke: %s", model, addr)
		}
	}
}
