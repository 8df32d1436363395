// Package model runs seeded histories of one key through the pure core, between two fake clouds,
// with foreign writers, faults and crashes, and checks what must hold at their end. It is
// single-threaded and uses no clock but its own: a seed is a history.
package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Config biases a history.
type Config struct {
	Ops      int  // of applications
	Faults   bool // writes that are lost, late, throttled
	Crashes  bool // of the node
	Outages  bool // of a side, feeds included
	Skew     time.Duration
	Trace    bool // keep a readable history
	NoOld    bool // Azure's feed lacks previous images
	Tables   bool // writers that stamp envelopes
	PutBacks bool // items put back verbatim
}

// Report is what a history came to.
type Report struct {
	Ops, Writes, Clashes, Slipped, Late, Unknown, Unions, Doubts int
	Trace                                                        string
}

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

var theKey = proa.Key{Table: "t", Hash: proa.String("k")}

// world is one history under way.
type world struct {
	cfg   Config
	rng   *rand.Rand
	now   time.Time
	sides [2]*site
	rules resolve.Rules
	saved []snapshot // since the last one that must survive a crash, which is the first
	snapshot
	flying []flight
	ops    []op
	ghosts map[proa.Version]uint64
	doubts map[proa.Version]bool // removals that may have been ours
	rep    Report
	trace  strings.Builder
	quiet  bool // no more faults
	rounds int  // that it took to settle
	// nil for none: what the core puts out, for tests that drive a world by hand
	tell func(resolve.Output)
}

// snapshot is what the node has on disk.
type snapshot struct {
	state   *resolve.State
	cursors [2]string
	losers  map[proa.Version]bool // in the journal, or of the winner's own content
}

func (s snapshot) clone() snapshot {
	c := snapshot{
		state: s.state.Clone(), cursors: s.cursors,
		losers: make(map[proa.Version]bool, len(s.losers)),
	}
	for v := range s.losers {
		c.losers[v] = true
	}
	return c
}

// site is one side.
type site struct {
	region proa.Region
	table  *fake.Table
	feed   *fake.Feed
	down   bool
	skew   time.Duration
	fresh  time.Time
}

// flight is a write of the node, sent or answered.
type flight struct {
	side   int
	out    resolve.Output
	result resolve.Input // nil: not executed yet
}

// op is one write of an application.
type op struct {
	name    string
	side    int
	event   int // index in its side's feed; -1: it changed nothing
	version proa.Version
}

// Run runs the history of a seed. An error says what did not hold, with the history.
func Run(seed uint64, cfg Config) (Report, error) {
	w := newWorld(seed, cfg)
	err := w.run()
	w.rep.Trace = w.trace.String()
	for _, s := range w.sides {
		w.rep.Writes += s.table.Writes
	}
	if err != nil {
		err = fmt.Errorf("seed %d: %w\n%s", seed, err, w.rep.Trace)
	}
	return w.rep, err
}

func newWorld(seed uint64, cfg Config) *world {
	w := &world{
		cfg: cfg, rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_700_000_000, 0).UTC(),
		rules: resolve.DefaultRules(schema), ghosts: map[proa.Version]uint64{},
		doubts: map[proa.Version]bool{},
	}
	w.state = &resolve.State{Key: theKey}
	w.losers = map[proa.Version]bool{}
	for i, region := range proa.Regions() {
		s := &site{region: region}
		if cfg.Skew > 0 {
			s.skew = time.Duration(w.rng.Int64N(int64(2*cfg.Skew))) - cfg.Skew
		}
		s.table = fake.New(region, region == proa.Azure, schema,
			func() time.Time { return w.now.Add(s.skew) })
		s.table.Ghosts = func(v proa.Version) uint64 { return w.ghosts[v] }
		s.table.Fault = func(op string) fake.Fault { return w.fault(s, op) }
		s.feed = &fake.Feed{
			Table: s.table, Limit: 1 + w.rng.IntN(4), NoOld: cfg.NoOld &&
				region == proa.Azure,
			Repeat: func(int) int {
				if w.quiet {
					return 0
				}
				return w.rng.IntN(3)
			},
		}
		w.sides[i] = s
		w.cursors[i] = "0"
	}
	w.saved = []snapshot{w.snapshot.clone()}
	return w
}

func (w *world) say(format string, args ...any) {
	if w.cfg.Trace {
		fmt.Fprintf(&w.trace, "%8.3f  ", w.now.Sub(time.Unix(1_700_000_000, 0)).Seconds())
		fmt.Fprintf(&w.trace, format+"\n", args...)
	}
}

func (w *world) fault(s *site, op string) fake.Fault {
	switch {
	case s.down:
		return fake.Down
	case w.quiet || !w.cfg.Faults || op == "feed" || op == "get":
		return fake.None
	}
	switch w.rng.IntN(20) {
	case 0:
		return fake.Throttle
	case 1:
		return fake.LostReply
	case 2:
		return fake.LostWrite
	case 3, 4:
		return fake.Late
	}
	return fake.None
}

// run plays the history and checks its end.
func (w *world) run() error {
	for len(w.ops) < w.cfg.Ops {
		w.now = w.now.Add(w.pause())
		if err := w.action(); err != nil {
			return err
		}
	}
	w.quiet = true
	for _, s := range w.sides {
		s.down = false
	}
	for i := range w.sides {
		w.sides[i].table.Land()
	}
	for calm := 0; calm < 4 && w.rounds < 400; w.rounds++ {
		w.now = w.now.Add(500 * time.Millisecond)
		if err := w.settle(); err != nil {
			return err
		}
		calm++
		for _, s := range w.sides {
			if due, _ := w.rules.Due(w.state, s.region); due || s.fresh.Before(w.now.Add(-time.Second)) {
				calm = 0
			}
		}
	}
	return w.check()
}

func (w *world) pause() time.Duration {
	if w.rng.IntN(10) == 0 {
		return time.Duration(w.rng.Int64N(int64(3 * time.Second)))
	}
	return time.Duration(w.rng.Int64N(int64(150 * time.Millisecond)))
}

// action is one random thing that happens.
func (w *world) action() error {
	side := w.rng.IntN(2)
	switch n := w.rng.IntN(100); {
	case n < 18:
		w.apply(side)
	case n < 42:
		return w.capture(side)
	case n < 62:
		return w.dispatch(side)
	case n < 92:
		return w.fly()
	case n < 95 && w.cfg.Outages:
		w.sides[side].down = !w.sides[side].down
		w.say("%s down: %t", w.sides[side].region, w.sides[side].down)
	case n < 97 && w.cfg.Crashes:
		return w.crash()
	case n < 99:
		w.say("late writes land at %s", w.sides[side].region)
		w.sides[side].table.Land()
	}
	return nil
}

// settle does everything that there is to do, once.
func (w *world) settle() error {
	for side := range w.sides {
		for {
			before := w.cursors[side]
			if err := w.capture(side); err != nil {
				return err
			}
			if w.cursors[side] == before {
				break
			}
		}
		if err := w.dispatch(side); err != nil {
			return err
		}
		for len(w.flying) > 0 {
			if err := w.fly(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step runs the core and takes what it puts out.
func (w *world) step(in resolve.Input, ghost uint64, opIndex int) error {
	was := w.state.Winner
	if in, ok := in.(resolve.Applied); ok {
		ghost, opIndex = w.removal(resolve.Index(in.Side))
	}
	w.now = w.now.Add(time.Nanosecond) // the shell's clock rises strictly
	outs := w.rules.Step(w.state, w.now, in)
	if w.state.Winner.Version.Compare(was.Version) < 0 {
		return fmt.Errorf("the winner went back from %s to %s", was.Version, w.state.Winner.Version)
	}
	same := false
	for _, o := range outs {
		if o == resolve.Output(resolve.NoteSameAgain) {
			same = true
		}
	}
	for _, o := range outs {
		if w.tell != nil {
			w.tell(o)
		}
		switch o := o.(type) {
		case resolve.Write, resolve.Observe:
			side := resolve.Index(sideOf(o))
			w.flying = append(w.flying, flight{side: side, out: o})
		case resolve.Append:
			if old, ok := w.ghosts[o.Version]; ok && old != ghost {
				return fmt.Errorf("version %s was given twice", o.Version)
			}
			w.ghosts[o.Version] = ghost
			if opIndex >= 0 {
				w.ops[opIndex].version = o.Version
			}
			w.say("    %s is %s (parent %s) won %t", o.Region, o.Version, o.Parent, o.Won)
			if same && o.Won {
				w.losers[was.Version] = true
			} else if same {
				w.losers[o.Version] = true
			}
		case resolve.Clash:
			w.rep.Clashes++
			if l := o.Loser; !l.Tombstone && l.Item == nil {
				return fmt.Errorf("loser %s is in the journal without its content", l.Version)
			}
			w.losers[o.Loser.Version] = true
			if o.Reason == resolve.ReasonDoubt {
				w.doubts[o.Loser.Version] = true
				w.rep.Doubts++
			}
			w.say("    conflict: %s beats %s", o.Winner.Version, o.Loser.Version)
		case resolve.Note:
			w.note(o)
		case resolve.Quarantined:
			if w.tell != nil {
				continue
			}
			return fmt.Errorf("quarantined: %s", o.Reason)
		}
	}
	w.saved = append(w.saved, w.snapshot.clone())
	return nil
}

func (w *world) note(n resolve.Note) {
	if n != resolve.NoteRepeated {
		w.say("    note: %s", n)
	}
	switch n {
	case resolve.NoteMerged:
		w.rep.Slipped++
	case resolve.NoteLate:
		w.rep.Late++
	case resolve.NoteUnknown:
		w.rep.Unknown++
	case resolve.NoteUnion:
		w.rep.Unions++
	}
}

func sideOf(o resolve.Output) proa.Region {
	if w, ok := o.(resolve.Write); ok {
		return w.Side
	}
	return o.(resolve.Observe).Side
}

// capture reads one batch of a feed.
func (w *world) capture(side int) error {
	s := w.sides[side]
	began := w.now
	w.now = w.now.Add(time.Nanosecond)
	b, err := s.feed.Read(context.Background(), w.cursors[side])
	if err != nil {
		return nil //nolint:nilerr // a feed that fails is read again
	}
	for _, c := range b.Changes {
		var at int
		if _, err := fmt.Sscan(string(c.Position), &at); err != nil {
			return err
		}
		e := s.table.Event(at - 1)
		w.say("capture %s #%s %s", s.region, c.Position, show(c.New))
		if err := w.step(resolve.Captured{Change: c}, e.Ghost, w.opOf(side, at-1)); err != nil {
			return err
		}
	}
	w.cursors[side] = b.Next
	w.saved[len(w.saved)-1].cursors = w.cursors
	if !b.More {
		s.fresh = began
	}
	return nil
}

// removal is the last removal that was captured at a side, which the outcome of a purge may have
// judged anew.
func (w *world) removal(side int) (ghost uint64, opIndex int) {
	var at int
	if _, err := fmt.Sscan(w.cursors[side], &at); err != nil {
		return 0, -1
	}
	for at--; at >= 0; at-- {
		if e := w.sides[side].table.Event(at); e.New == nil {
			return e.Ghost, w.opOf(side, at)
		}
	}
	return 0, -1
}

func (w *world) opOf(side, event int) int {
	for i, o := range w.ops {
		if o.side == side && o.event == event {
			return i
		}
	}
	return -1
}

// dispatch lets a side's apply loop look at the key. What it will write is durable first.
func (w *world) dispatch(side int) error {
	s := w.sides[side]
	due, at := w.rules.Due(w.state, s.region)
	if !due || at.After(w.now) {
		return nil
	}
	if err := w.step(resolve.Dispatch{Side: s.region, Fresh: s.fresh}, 0, -1); err != nil {
		return err
	}
	w.saved = []snapshot{w.snapshot.clone()}
	return nil
}

// fly executes a write, or hands its result to the core.
func (w *world) fly() error {
	if len(w.flying) == 0 {
		return nil
	}
	i := w.rng.IntN(len(w.flying))
	f := &w.flying[i]
	if f.result == nil {
		w.execute(f)
		return nil
	}
	done := *f
	w.flying = append(w.flying[:i], w.flying[i+1:]...)
	ghost := uint64(0)
	if in, ok := done.result.(resolve.Observed); ok {
		ghost = w.sides[resolve.Index(in.Side)].table.Ghost(theKey)
		w.say("observed at %s: %s", in.Side, show(in.Row.Image))
	}
	return w.step(done.result, ghost, -1)
}

func (w *world) execute(f *flight) {
	switch o := f.out.(type) {
	case resolve.Observe:
		began := w.now
		w.now = w.now.Add(time.Nanosecond)
		row, err := w.sides[f.side].table.Get(context.Background(), theKey)
		f.result = resolve.Observed{Side: o.Side, Row: row, Began: began}
		if err != nil {
			f.result = resolve.Tick{}
		}
	case resolve.Write:
		f.result = w.write(o)
	}
}

// write is what the shell does with a Write.
func (w *world) write(o resolve.Write) resolve.Applied {
	table := w.sides[resolve.Index(o.Side)].table
	in := resolve.Applied{Side: o.Side, Intent: o.Intent}
	if !o.Whole {
		row, err := table.Get(context.Background(), theKey)
		switch {
		case err != nil:
			in.Outcome = resolve.Ambiguous
			return in
		case resolve.PrintOf(row.Image, schema) != o.Print:
			in.Outcome, in.Row = resolve.Conflict, row
			return in
		}
		o.Seen = row
	}
	var err error
	if o.Purge {
		in.Row, err = table.Purge(context.Background(), o.Seen)
	} else {
		in.Row, _, err = table.Swap(context.Background(), o.Seen, o.Next)
	}
	in.Outcome = outcome(err)
	w.say("write %s purge %t %s over [%s]: %v", o.Side, o.Purge, show(o.Next), show(o.Seen.Image), err)
	return in
}

// crash ends the node: what was sent may land or not, and of what was not yet on disk some is lost.
func (w *world) crash() error {
	for i := range w.flying {
		f := &w.flying[i]
		if f.result != nil {
			continue
		}
		if o, ok := f.out.(resolve.Write); ok && w.rng.IntN(2) == 0 {
			w.write(o)
		}
	}
	w.flying = nil
	w.snapshot = w.saved[w.rng.IntN(len(w.saved))].clone()
	w.saved = []snapshot{w.snapshot.clone()}
	w.say("the node crashes and restarts")
	for _, s := range w.sides {
		s.fresh = time.Time{}
		if err := w.step(resolve.Restarted{Side: s.region}, 0, -1); err != nil {
			return err
		}
	}
	return nil
}

func show(i proa.Image) string {
	if !i.Exists() {
		return "nothing"
	}
	s := ""
	for _, name := range []string{"w", "x", "y", "z"} {
		if v, ok := i.Item[name]; ok {
			s += name + "=" + v.Str + " "
		}
	}
	if e := i.Envelope; e != nil {
		s += fmt.Sprintf("@%s", e.Version)
		if e.Tombstone {
			s += " tombstone"
		}
		if e.Version.Hash != proa.ContentHash(i.Item) && !e.Tombstone {
			s += " (stale)"
		}
	}
	return s
}
