package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// States of a drill.
const (
	DrillRuns    = "running"
	DrillPassed  = "passed"
	DrillMissed  = "missed"  // an objective
	DrillFailed  = "failed"  // it could not be carried out
	DrillStopped = "stopped" // by an operator
	DrillLost    = "lost"    // whoever performed it is heard no more
)

// Drill is the record of a drill, as whoever performs it tells it: whole each time, so that a node that was away has all of it.
type Drill struct {
	ID        string      `json:"id"`
	Scenarios []string    `json:"scenarios"`
	By        string      `json:"by"`
	Seed      uint64      `json:"seed"`
	Repeat    int         `json:"repeat"`
	Started   time.Time   `json:"started"`
	Ended     *time.Time  `json:"ended"`
	State     string      `json:"state"`
	Error     string      `json:"error,omitempty"`
	Missed    []string    `json:"missed,omitempty"`
	Lines     []DrillLine `json:"lines"`
	// Report is drill's JSON, HTML its page; kept beside the record and not listed with it.
	Report json.RawMessage `json:"report,omitempty"`
	HTML   string          `json:"html,omitempty"`

	heard time.Time
}

// DrillLine is one thing that happened.
type DrillLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// The drills' bounds. A record is refused where it is larger than MaxDrill.
const (
	MaxDrill      = 12 << 20
	maxDrills     = 40
	maxDrillLines = 400
	maxDrillText  = 500
	frameLines    = 8 // of the drill in a frame
	drillSilence  = 15 * time.Second
	drillShown    = 20 * time.Second // in frames, after its end
)

var drillID = regexp.MustCompile(`^[0-9a-z][0-9a-z-]{0,63}$`)

// Drills keeps the last drills on disk, each as ID.json, ID.report.json and ID.html.
type Drills struct {
	dir   string
	clock func() time.Time

	mu   sync.Mutex
	list []*Drill // without reports, the newest first
}

func openDrills(dir string, clock func() time.Time) (*Drills, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("console drills: %w", err)
	}
	d := &Drills{dir: dir, clock: clock}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("console drills: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".report.json") {
			continue
		}
		data, err := os.ReadFile(name)
		rec := &Drill{}
		if err == nil && json.Unmarshal(data, rec) == nil && drillID.MatchString(rec.ID) { // a damaged one is left out
			d.list = append(d.list, rec)
		}
	}
	d.sort()
	return d, nil
}

func (d *Drills) sort() {
	slices.SortFunc(d.list, func(a, b *Drill) int { return b.Started.Compare(a.Started) })
}

// Put takes a drill's record. One that has ended is not begun again.
func (d *Drills) Put(rec Drill) error {
	if !drillID.MatchString(rec.ID) {
		return fmt.Errorf("drill %q: want letters, digits and dashes: %w", rec.ID, proa.ErrInvalid)
	}
	if !slices.Contains([]string{DrillRuns, DrillPassed, DrillMissed, DrillFailed, DrillStopped}, rec.State) {
		return fmt.Errorf("drill state %q: %w", rec.State, proa.ErrInvalid)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.list, func(o *Drill) bool { return o.ID == rec.ID })
	began := at < 0 || d.list[at].State != rec.State
	if at >= 0 && d.list[at].Ended != nil {
		return nil
	}
	if rec.Started.IsZero() || rec.Started.After(d.clock()) {
		rec.Started = d.clock().UTC()
	}
	bound(&rec)
	rec.heard = d.clock()
	report, html := rec.Report, rec.HTML
	rec.Report, rec.HTML = nil, ""
	if began { // what happens meanwhile is told again at the end
		if err := d.save(&rec, report, html); err != nil {
			return err
		}
	}
	if at >= 0 {
		d.list[at] = &rec
	} else {
		d.list = append(d.list, &rec)
	}
	d.sort()
	for len(d.list) > maxDrills {
		d.remove(d.list[len(d.list)-1].ID)
		d.list = d.list[:len(d.list)-1]
	}
	return nil
}

// bound cuts what is too long.
func bound(rec *Drill) {
	cut := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxDrillText)], "") }
	rec.By, rec.Error = cut(rec.By), cut(rec.Error)
	rec.Scenarios = append([]string{}, rec.Scenarios[:min(len(rec.Scenarios), 64)]...)
	rec.Missed = rec.Missed[:min(len(rec.Missed), 64)]
	rec.Lines = append([]DrillLine{}, rec.Lines[max(0, len(rec.Lines)-maxDrillLines):]...)
	for i := range rec.Lines {
		rec.Lines[i].Text = cut(rec.Lines[i].Text)
	}
}

func (d *Drills) path(id, suffix string) string { return filepath.Join(d.dir, id+suffix) }

func (d *Drills) save(rec *Drill, report []byte, html string) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("console drills: %w", err)
	}
	if len(report) > 0 {
		err = errors.Join(os.WriteFile(d.path(rec.ID, ".report.json"), report, 0o600), os.WriteFile(d.path(rec.ID, ".html"), []byte(html), 0o600))
	}
	if err == nil {
		tmp := d.path(rec.ID, ".tmp")
		if err = os.WriteFile(tmp, data, 0o600); err == nil {
			err = os.Rename(tmp, d.path(rec.ID, ".json"))
		}
	}
	if err != nil {
		return fmt.Errorf("console drills: %w", err)
	}
	return nil
}

func (d *Drills) remove(id string) {
	for _, suffix := range []string{".json", ".report.json", ".html"} {
		_ = os.Remove(d.path(id, suffix)) // what is left is taken up, and removed, by the next start
	}
}

// seen is a record with what time has made of it.
func (d *Drills) seen(rec *Drill) Drill {
	out := *rec
	if out.State == DrillRuns && d.clock().Sub(out.heard) > drillSilence {
		out.State = DrillLost
	}
	return out
}

// All lists the drills, the newest first, without lines and reports.
func (d *Drills) All() []Drill {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Drill, len(d.list))
	for i, rec := range d.list {
		list[i] = d.seen(rec)
		list[i].Lines = []DrillLine{}
	}
	return list
}

// Get is one drill with its lines.
func (d *Drills) Get(id string) (Drill, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, rec := range d.list {
		if rec.ID == id {
			return d.seen(rec), true
		}
	}
	return Drill{}, false
}

// page reads a drill's report: ".html" or ".report.json".
func (d *Drills) page(id, suffix string) ([]byte, error) {
	if !drillID.MatchString(id) {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(d.path(id, suffix))
}

// current is the drill that is under way, or has just ended, with its last lines; nil where there is none.
func (d *Drills) current() *Drill {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return nil
	}
	rec := d.seen(d.list[0])
	over := rec.Ended != nil && d.clock().Sub(rec.heard) > drillShown
	if over || rec.State == DrillLost {
		return nil
	}
	rec.Lines = rec.Lines[max(0, len(rec.Lines)-frameLines):]
	return &rec
}
