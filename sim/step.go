package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// step runs the core with one input, takes what it puts out, and returns the I/O that it asks for.
// ghost is what the input's state knows.
func (n *node) step(key int, now time.Time, in resolve.Input, ghost uint64) []resolve.Output {
	w := n.w
	in, ok := w.bug.input(n, in)
	if !ok {
		return nil
	}
	st := n.states[key].Clone()
	n.states[key] = st
	was := st.Winner
	last := [2]proa.Version{}
	for i := range last {
		last[i].Time = st.Sides[i].LastAssigned
	}
	switch in := in.(type) {
	case resolve.Applied:
		ghost = n.lastRemoval(resolve.Index(in.Side), key)
	case resolve.Retry:
		for side := range st.Sides {
			if p := st.Sides[side].Poison; p != nil {
				ghost |= n.ghostOf(side, key, p.Image)
			}
		}
	}
	rules := w.rules[key]
	rules.Born, rules.KeepDeletes = n.born, w.cfg.shared && !w.bug.is(BugPurgedUnkept)
	outs := w.bug.outputs(rules.Step(st, now, in))
	w.bug.state(st, in)
	w.bug.unmarked(st, in, outs)
	if st.Winner.Version.Compare(was.Version) < 0 {
		w.fail("order", "key %d: the winner went back from %s to %s", key, was.Version,
			st.Winner.Version)
	}
	w.leaves(key, st, outs)
	n.keeps(key, was.Version, in, outs)
	n.sameAgain(key, outs, was.Version)
	made := makes(outs)
	defer n.decided(key, outs, ghost)
	var todo []resolve.Output
	for i, o := range outs {
		if w.told != nil {
			w.told(o)
		}
		switch o := o.(type) {
		case resolve.Write, resolve.Observe:
			w.sending(o)
			todo = append(todo, o)
		case resolve.Append:
			if i < made {
				n.appended(key, o, in, ghost, &last)
			}
		case resolve.Clash:
			n.clash(key, o)
		case resolve.Note:
			w.noted(key, o)
		case resolve.Quarantined:
			w.reach(KeyQuarantined)
			w.say("    quarantined: %s", o.Reason)
			if !w.poisoned[key] && st.Hold == nil && w.told == nil {
				w.fail("poison", "key %d is quarantined without cause: %s", key, o.Reason)
			}
		case resolve.Forget:
			n.forget(key)
		}
	}
	n.unnamed(key, outs)
	if v := st.Winner.Version; v != was.Version && !v.IsZero() {
		if _, ok := w.ghosts[key][v]; !ok {
			w.ghosts[key][v] = ghost // taken at its word, where nothing was known
		}
	}
	return todo
}

// forget forgets a key whose delete is the end of what is known of it.
func (n *node) forget(key int) {
	n.w.reach(TombstoneForgotten)
	n.w.ghosts[key][proa.Version{}] |= n.w.ghosts[key][n.states[key].Winner.Version]
	n.states[key] = &resolve.State{Key: theKeys[key]}
}

// sameAgain notes the loser of two writes of the same content, of which no journal need speak.
func (n *node) sameAgain(key int, outs []resolve.Output, was proa.Version) {
	if !slices.Contains(outs, resolve.Output(resolve.NoteSameAgain)) {
		return
	}
	if now := n.states[key].Winner.Version; now != was {
		n.journal = append(n.journal, entry{key, was})
	}
	for _, o := range outs {
		if a, ok := o.(resolve.Append); ok {
			n.w.reach(SameContent)
			loser := a.Version
			if a.Won {
				loser = was
			}
			n.journal = append(n.journal, entry{key, loser})
		}
	}
}

func (w *world) sending(o resolve.Output) {
	switch o := o.(type) {
	case resolve.Observe:
		w.reach(RowReadAgain)
	case resolve.Write:
		switch {
		case o.Purge:
			w.reach(TombstonePurged)
		case o.Next.Envelope.Tombstone:
			w.reach(TombstoneWritten)
		}
	}
}

// appended checks a local write of the log and keeps what its version knows.
func (n *node) appended(
	key int, o resolve.Append, in resolve.Input, ghost uint64, last *[2]proa.Version,
) {
	w := n.w
	w.say("    %s is %s (parent %s) won %t", o.Region, o.Version, o.Parent, o.Won)
	i := resolve.Index(o.Region)
	if o.Version.Time <= last[i].Time && w.disksLost == 0 && !isRow(in) {
		w.fail("order", "key %d: version %s of %s is not after its last one, %s", key, o.Version,
			o.Region, last[i].Time)
	}
	last[i].Time = max(last[i].Time, o.Version.Time)
	if want := proa.ContentHash(o.Image.Item); o.Version.Hash != want {
		w.fail("content", "key %d: version %s is given to content %s", key, o.Version, want)
	}
	if c, ok := in.(resolve.Captured); ok {
		w.written[key][o.Version] = n.writtenAt(i, key, c.Change.Position)
		w.deleted(key, o, c)
	}
	old, given := w.ghosts[key][o.Version]
	switch {
	case !given:
		w.ghosts[key][o.Version] = ghost
	case old == ghost:
	case w.disksLost+w.restored > 0, w.cfg.latest, isRow(in), w.cfg.policies[key] != 0:
		w.ghosts[key][o.Version] = old | ghost
	default:
		w.fail("content", "key %d: version %s was given twice", key, o.Version)
	}
	if c, ok := in.(resolve.Captured); ok && c.Change.New.Exists() {
		if e := c.Change.New.Envelope; e != nil && e.Version.Hash == o.Version.Hash &&
			e.Write != 0 {
			w.reach(PutBackVerbatim)
		}
	}
}

// deleted checks that no two deletes of a side have one version, whoever gave it to them.
func (w *world) deleted(key int, o resolve.Append, c resolve.Captured) {
	if c.Change.New.Exists() || o.Image.Exists() {
		return
	}
	gen := w.sites[resolve.Index(o.Region)].gen
	this := fmt.Sprintf("%s #%d.%s", o.Region, gen, c.Change.Position)
	if other, given := w.deletes[key][o.Version]; given && other != this {
		w.fail("content", "key %d: version %s is given to two deletes, %s and %s", key, o.Version, other, this)
	}
	w.deletes[key][o.Version] = this
}

// isRow reports whether an input is a row, which may be adopted at its envelope's word.
func isRow(in resolve.Input) bool {
	_, row := in.(resolve.Observed)
	return row
}

func (n *node) clash(key int, o resolve.Clash) {
	w := n.w
	w.reach(ConflictJournaled)
	if l := o.Loser; !l.Tombstone && l.Item == nil {
		w.fail("journal", "key %d: loser %s is in the journal without its content", key, l.Version)
	}
	w.say("    conflict (%s): %s beats %s", o.Reason, o.Winner.Version, o.Loser.Version)
	n.journal = append(n.journal, entry{key, o.Loser.Version})
	w.inTime(key, o)
	if o.Reason != resolve.ReasonConcurrent {
		w.doubts[key][o.Loser.Version] = true
	}
	switch o.Reason {
	case resolve.ReasonDoubt:
		w.reach(RemovalInDoubt)
	case resolve.ReasonUnknownAge:
		w.reach(UnknownAge)
	}
	if o.Winner.Tombstone != o.Loser.Tombstone {
		w.reach(DeleteAgainstWrite)
	}
}

// inTime checks that of two concurrent writes the later one wins, as far as the sides' clocks agree.
func (w *world) inTime(key int, o resolve.Clash) {
	won, lost := w.written[key][o.Winner.Version], w.written[key][o.Loser.Version]
	byTime := w.cfg.policies[key] == 0 // others make versions of their own
	if !byTime || o.Reason != resolve.ReasonConcurrent || won.IsZero() || lost.IsZero() || w.unclear {
		return
	}
	off := (w.cfg.skew[0] - w.cfg.skew[1]).Abs() + 5*second
	if lost.Sub(won) > off {
		w.fail("time", "key %d: %s beats %s, which was written %s later", key, o.Winner.Version,
			o.Loser.Version, lost.Sub(won))
	}
}

var noted = map[resolve.Note]Situation{
	resolve.NoteEcho: EchoSeen, resolve.NoteLate: LateEcho, resolve.NoteMerged: MergedUnder,
	resolve.NoteClamped: StampClamped, resolve.NoteUnion: AbsenceUnexplained,
	resolve.NoteLapsed: ExpiryIgnored, resolve.NoteRepeated: ChangeRepeated,
	resolve.NoteUnknown: RowUnexplained, resolve.NoteInherited: WriteInherited,
}

func (w *world) noted(key int, n resolve.Note) {
	if s, ok := noted[n]; ok {
		w.reach(s)
	}
	if n == resolve.NoteUnion {
		w.unions[key] = true
	}
	if n != resolve.NoteRepeated {
		w.say("    note: %s", n)
	}
}

// lastRemoval is what the last removal of a key that was captured at a side knows: what an answer to a
// purge judges anew.
func (n *node) lastRemoval(side, key int) uint64 {
	events := n.w.sites[side].events[key]
	for i := min(n.judged[side][key], len(events)) - 1; i >= 0; i-- {
		if !events[i].new.Exists() {
			return events[i].ghost
		}
	}
	return 0
}

// ghostOf is what the last write knows that left an image.
func (n *node) ghostOf(side, key int, img proa.Image) uint64 {
	events := n.w.sites[side].events[key]
	for i := len(events) - 1; i >= 0; i-- {
		if same(n.w.project(events[i].new), img) {
			return events[i].ghost
		}
	}
	return 0
}

// unnamed keeps what the journal's losers know that were given no version: quarantined states.
func (n *node) unnamed(key int, outs []resolve.Output) {
	for _, o := range outs {
		if c, ok := o.(resolve.Clash); ok && c.Loser.Item != nil {
			if v := c.Loser.Version; n.w.ghosts[key][v] == 0 {
				n.w.ghosts[key][v] = n.ghostOfContent(key, v)
			}
		}
	}
}

// ghostOfContent is what the last write of a version's region knows that left its content: a quarantined
// state has no version of its own.
func (n *node) ghostOfContent(key int, v proa.Version) uint64 {
	events := n.w.sites[resolve.Index(v.Region)].events[key]
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].new.Exists() && n.w.hashOf(events[i].new.Item) == v.Hash {
			return events[i].ghost
		}
	}
	return 0
}

// writtenAt is when the change with a position really happened.
func (n *node) writtenAt(side, key int, at proa.Position) time.Time {
	for i := len(n.w.sites[side].events[key]) - 1; i >= 0; i-- {
		e := &n.w.sites[side].events[key][i]
		if strconv.FormatUint(e.pos, 10) == string(at) {
			return e.at
		}
	}
	return time.Time{}
}
