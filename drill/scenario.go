package drill

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Scenario is what a drill does, as its YAML file says it.
type Scenario struct {
	// Name names it in reports.
	Name string `yaml:"name"`
	// About says in a sentence what happens and why it matters.
	About string `yaml:"about"`
	// Clients are the models of clients that send load, in equal shares; see Models.
	Clients []Model `yaml:"clients,omitempty"`
	// Rate is the writes that are sent a second, by all clients together.
	Rate int `yaml:"rate,omitempty"`
	// Warm is the load before the first fault.
	Warm config.Duration `yaml:"warm,omitempty"`
	// Nodes is how many nodes the system must have, at least; faults of nodes need three to go unnoticed.
	Nodes int `yaml:"nodes,omitempty"`
	// Phases follow each other; each begins with everything in order.
	Phases []Phase `yaml:"phases"`
}

// Phase is one set of faults, from a system in order to a system in order.
type Phase struct {
	// Name names the phase where a scenario has several.
	Name string `yaml:"name,omitempty"`
	// Faults are made in this order, each After the one before.
	Faults []Fault `yaml:"faults"`
	// Hold is how long load goes on under the faults, after traffic has moved where it should.
	Hold config.Duration `yaml:"hold,omitempty"`
	// Traffic is what should become of it: moves, stays or any (the default).
	Traffic string `yaml:"traffic,omitempty"`
	// Contend is how many keys are written in both regions while the faults are in force.
	Contend int `yaml:"contend,omitempty"`
}

// Fault is exactly one fault. Regions are primary, secondary, aws or azure; kill and freeze also take a node: leader, which
// decides, owner, which runs data sync, or node-1 and so on.
type Fault struct {
	// After lies between the fault before, or the phase's begin, and this one.
	After config.Duration `yaml:"after,omitempty"`

	// Kill and Freeze name the region or the node whose processes are killed or stopped.
	Kill   string `yaml:"kill,omitempty"`
	Freeze string `yaml:"freeze,omitempty"`
	// Switchover names the region that an operator moves traffic to.
	Switchover string `yaml:"switchover,omitempty"`

	Brownout  *Brownout  `yaml:"brownout,omitempty"`
	Partition *Partition `yaml:"partition,omitempty"`
	Skew      *Skew      `yaml:"skew,omitempty"`
	Throttle  *Throttle  `yaml:"throttle,omitempty"`
}

// Brownout makes a region slow and faulty.
type Brownout struct {
	Region    string          `yaml:"region"`
	Latency   config.Duration `yaml:"latency,omitempty"`
	Jitter    config.Duration `yaml:"jitter,omitempty"`
	ErrorRate float64         `yaml:"error_rate,omitempty"`
	ResetRate float64         `yaml:"reset_rate,omitempty"`
	Bandwidth int64           `yaml:"bandwidth,omitempty"` // bytes a second
	Scope     string          `yaml:"scope,omitempty"`     // users (the default), data, all
}

// Partition cuts a region off.
type Partition struct {
	Region    string `yaml:"region"`
	Direction string `yaml:"direction,omitempty"` // both (the default), to, from
	Scope     string `yaml:"scope,omitempty"`     // data (the default), users, all
}

// Skew moves a region's clock.
type Skew struct {
	Region string          `yaml:"region"`
	Offset config.Duration `yaml:"offset"` // negative: behind
}

// Throttle refuses a share of a region's data requests.
type Throttle struct {
	Region string  `yaml:"region"`
	Rate   float64 `yaml:"rate"`
}

// What should become of traffic.
const (
	Moves = "moves"
	Stays = "stays"
	Any   = "any"
)

// Limits of a scenario.
const (
	maxScenarioBytes = 64 << 10
	maxPhases        = 20
	maxFaults        = 20
	maxContend       = 1000
	maxRate          = 20000
)

//go:embed scenarios/*.yaml
var builtin embed.FS

// Builtin are the scenarios that proa brings, by name.
func Builtin() ([]Scenario, error) {
	files, err := fs.Glob(builtin, "scenarios/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	var list []Scenario
	for _, f := range files {
		data, err := builtin.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read scenario: %w", err)
		}
		s, err := Parse(path.Base(f), data)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Load finds a scenario by its name, or reads the file of that path.
func Load(name string) (Scenario, error) {
	list, err := Builtin()
	if err != nil {
		return Scenario{}, err
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if !strings.ContainsAny(name, "/.") {
		return Scenario{}, &proa.Error{
			Op: "find scenario " + name, Err: proa.ErrNotFound,
			Hint: "a file's path, or one of " + strings.Join(names, ", "),
		}
	}
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxScenarioBytes {
		err = fmt.Errorf("%d bytes is too large, the limit is %d", info.Size(), maxScenarioBytes)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return Scenario{}, fmt.Errorf("read scenario: %w: %w", proa.ErrInvalidConfig, err)
	}
	return Parse(name, data)
}

// Source is the file of a scenario that proa brings.
func Source(name string) (string, error) {
	data, err := builtin.ReadFile("scenarios/" + name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("scenario %q: %w: see `proa drill list`", name, proa.ErrNotFound)
	}
	return string(data), nil
}

// Parse reads a scenario strictly and fills in what it leaves out.
func Parse(name string, data []byte) (Scenario, error) {
	s := Scenario{
		Name: strings.TrimSuffix(path.Base(name), ".yaml"), Rate: 200, Warm: config.Duration(3 * time.Second),
		Clients: []Model{HonoursTTL, Pinned},
	}
	f, err := strictyaml.Decode(name, data, &s)
	if err != nil {
		return s, err
	}
	for i := range s.Phases {
		p := &s.Phases[i]
		if p.Traffic == "" {
			p.Traffic = Any
		}
		if p.Name == "" {
			p.Name = fmt.Sprintf("phase %d", i+1)
			if len(s.Phases) == 1 {
				p.Name = s.Name
			}
		}
		if p.Hold == 0 {
			p.Hold = config.Duration(3 * time.Second)
		}
	}
	return s, s.check(f)
}

func (s *Scenario) check(f *strictyaml.File) error {
	for i, m := range s.Clients {
		if !slices.Contains(Models(), m) {
			return f.Errorf(fmt.Sprintf("clients[%d]", i), fmt.Sprintf("one of %v", Models()), "%q is no model of clients", m)
		}
	}
	switch {
	case len(s.Clients) == 0 || len(s.Clients) > maxFaults:
		return f.Errorf("clients", fmt.Sprintf("of %v", Models()), "name one or more")
	case s.Rate < 1 || s.Rate > maxRate:
		return f.Errorf("rate", fmt.Sprintf("from 1 to %d", maxRate), "%d is out of range", s.Rate)
	case s.Warm.D() < 0 || s.Warm.D() > time.Hour:
		return f.Errorf("warm", "up to 1h", "%s is out of range", s.Warm)
	case s.Nodes < 0 || s.Nodes > 5:
		return f.Errorf("nodes", "up to 5", "%d is out of range", s.Nodes)
	case len(s.Phases) == 0 || len(s.Phases) > maxPhases:
		return f.Errorf("phases", fmt.Sprintf("from 1 to %d", maxPhases), "there are %d", len(s.Phases))
	}
	for i := range s.Phases {
		if err := s.Phases[i].check(f, fmt.Sprintf("phases[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Phase) check(f *strictyaml.File, at string) error {
	switch {
	case p.Traffic != Moves && p.Traffic != Stays && p.Traffic != Any:
		return f.Errorf(at+".traffic", "moves, stays or any", "%q is not an outcome", p.Traffic)
	case p.Hold.D() < 0 || p.Hold.D() > time.Hour:
		return f.Errorf(at+".hold", "up to 1h", "%s is out of range", p.Hold)
	case p.Contend < 0 || p.Contend > maxContend:
		return f.Errorf(at+".contend", fmt.Sprintf("from 0 to %d", maxContend), "%d is out of range", p.Contend)
	case len(p.Faults) == 0 || len(p.Faults) > maxFaults:
		return f.Errorf(at+".faults", fmt.Sprintf("from 1 to %d", maxFaults), "there are %d", len(p.Faults))
	}
	for i := range p.Faults {
		path := fmt.Sprintf("%s.faults[%d]", at, i)
		fault := &p.Faults[i]
		if fault.After.D() < 0 || fault.After.D() > time.Hour {
			return f.Errorf(path+".after", "up to 1h", "%s is out of range", fault.After)
		}
		if err := fault.check(); err != nil {
			return f.Errorf(path, "", "%v", err)
		}
	}
	return nil
}

func (f *Fault) check() error {
	n := 0
	for _, set := range []bool{
		f.Kill != "", f.Freeze != "", f.Switchover != "", f.Brownout != nil, f.Partition != nil, f.Skew != nil, f.Throttle != nil,
	} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("want exactly one of kill, freeze, switchover, brownout, partition, skew and throttle")
	}
	if f.Node() != "" {
		return nil
	}
	_, err := f.Region(proa.AWS)
	return err
}

var nodeName = regexp.MustCompile(`^(leader|owner|node-[1-9][0-9]?)$`)

// Node is the node that the fault strikes, as the scenario names it; "" where it strikes a region.
func (f *Fault) Node() string {
	if word := f.Kill + f.Freeze; nodeName.MatchString(word) {
		return word
	}
	return ""
}

// Region is where the fault is made, given which region is the primary.
func (f *Fault) Region(primary proa.Region) (proa.Region, error) {
	word := f.word()
	switch word {
	case "primary":
		return primary, nil
	case "secondary":
		return primary.Other(), nil
	}
	r, err := proa.ParseRegion(word)
	if err != nil {
		return "", fmt.Errorf("region %q: want primary, secondary, aws or azure (kill and freeze: also leader, owner or a node)", word)
	}
	return r, nil
}

func (f *Fault) word() string {
	switch {
	case f.Kill != "":
		return f.Kill
	case f.Freeze != "":
		return f.Freeze
	case f.Switchover != "":
		return f.Switchover
	case f.Brownout != nil:
		return f.Brownout.Region
	case f.Partition != nil:
		return f.Partition.Region
	case f.Skew != nil:
		return f.Skew.Region
	}
	return f.Throttle.Region
}

// Text says what the fault is, for people.
func (f *Fault) Text(primary proa.Region) string {
	r, _ := f.Region(primary) // checked when the scenario was read
	if n := f.Node(); n != "" {
		r = proa.Region(n)
	}
	switch {
	case f.Kill != "":
		return "kill " + string(r)
	case f.Freeze != "":
		return "freeze " + string(r)
	case f.Switchover != "":
		return "planned switchover to " + string(r)
	case f.Partition != nil:
		return fmt.Sprintf("partition %s (%s, %s)", r, or(f.Partition.Scope, "data"), or(f.Partition.Direction, "both"))
	case f.Skew != nil:
		return fmt.Sprintf("clock of %s off by %s", r, f.Skew.Offset)
	case f.Throttle != nil:
		return fmt.Sprintf("throttle %s: %.0f %% of data requests", r, f.Throttle.Rate*100)
	}
	return "brown-out of " + string(r) + f.Brownout.text()
}

func (b *Brownout) text() string {
	text := ""
	if b.Latency > 0 {
		text += fmt.Sprintf(", %s latency", b.Latency)
	}
	if b.ErrorRate > 0 {
		text += fmt.Sprintf(", %.0f %% errors", b.ErrorRate*100)
	}
	if b.ResetRate > 0 {
		text += fmt.Sprintf(", %.0f %% resets", b.ResetRate*100)
	}
	if b.Bandwidth > 0 {
		text += fmt.Sprintf(", %d bytes/s", b.Bandwidth)
	}
	return text
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// OnlyMoves reports whether the scenario breaks nothing: it moves traffic as an operator would.
func (s *Scenario) OnlyMoves() bool {
	return !slices.ContainsFunc(s.Phases, func(p Phase) bool {
		return slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Switchover == "" })
	})
}

// splits reports whether the phase keeps each region's writes from the other, so that writes of one key in both are
// concurrent.
func (p *Phase) splits() bool {
	return slices.ContainsFunc(p.Faults, func(f Fault) bool {
		return f.Partition != nil && or(f.Partition.Direction, "both") == "both" && or(f.Partition.Scope, "data") != "users"
	})
}
