package sim

import (
	"slices"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// car is what a region's sidecar table keeps of the node that owns data sync: its epoch, how far it has
// captured the region's feed, and deletes.
type car struct {
	epoch   int
	placed  bool
	cursor  cursor
	deletes [maxKeys][]keptDelete
}

// keptDelete is a delete with the epoch of who kept it.
type keptDelete struct {
	resolve.Remembered
	by int
}

// tenure is what a process knows of its ownership. It does not outlive a crash.
type tenure struct {
	fenced  bool
	claimed [2]bool
	anew    bool                             // the shadow index was begun anew by this process
	pending [2][maxKeys][]resolve.Remembered // deletes that wait to be kept
	kept    [2][maxKeys]proa.Version         // and those that wait for their purges
}

// open claims a side for the node's epoch, and takes over what its predecessor has kept there.
func (n *node) open(side int) bool {
	w, s := n.w, n.w.sites[side]
	if n.fenced || s.car.epoch > n.epoch && !w.bug.is(BugEpochUnchecked) {
		n.fence(side)
		return false
	}
	s.car.epoch, n.claimed[side] = n.epoch, true
	w.say("node %d claims %s with epoch %d", n.id, s.region, n.epoch)
	if n.ready[side] {
		n.recollect(side)
		return true
	}
	if n.epoch > 1 && (n.anew || !w.bug.is(BugRecalledOnce)) && !w.bug.is(BugNotRecalled) {
		for k := range w.cfg.keys {
			for _, d := range s.car.deletes[k] {
				w.reach(DeleteRecalled)
				w.say("recall at %s key %d %s", s.region, k, d.Version)
				n.step(k, n.clock(), d.Remembered, w.ghosts[k][d.Version])
			}
		}
	}
	if s.car.placed {
		w.reach(FeedTakenOver)
		n.cursors[side], n.judged[side], n.begun[side] = s.car.cursor, s.car.cursor, s.car.cursor
		n.ready[side] = true
	}
	n.commit(true)
	return true
}

// recollect finds after a crash which deletes may not have been kept.
func (n *node) recollect(side int) {
	if n.w.bug.is(BugPendingForgotten) || n.w.bug.is(BugPurgedUnkept) {
		return
	}
	for k := range n.w.cfg.keys {
		if win := &n.states[k].Winner; win.Tombstone && win.Version.Region == n.w.sites[side].region {
			n.pend(side, k, win)
		}
	}
}

// keeps notes what a step wants to be kept.
func (n *node) keeps(key int, was proa.Version, in resolve.Input, outs []resolve.Output) {
	if !n.w.cfg.shared {
		return
	}
	win := &n.states[key].Winner
	if _, known := in.(resolve.Remembered); !known && win.Tombstone && win.Version != was {
		n.pend(resolve.Index(win.Version.Region), key, win)
	}
	for _, o := range outs {
		if o, ok := o.(resolve.Remember); ok {
			n.w.reach(PurgeWaits)
			n.pend(resolve.Index(o.Side), key, &o.Winner)
		}
	}
}

func (n *node) pend(side, key int, win *resolve.Winner) {
	list := &n.pending[side][key]
	*list = append(slices.Clip(*list), resolve.Remembered{
		Side: n.w.sites[side].region, Version: win.Version, Parent: win.Parent, At: win.Decided,
	})
}

// keep writes to a side's sidecar, deletes first, on the condition that nobody has claimed it since.
func (n *node) keep(side int) {
	w, s := n.w, n.w.sites[side]
	if !w.cfg.shared || n.fenced || !n.claimed[side] || s.deaf {
		return
	}
	if s.car.epoch != n.epoch && !w.bug.is(BugEpochUnchecked) {
		n.fence(side)
		return
	}
	if s.car.epoch != n.epoch {
		n.overwrite(s)
	}
	if s.mute {
		w.say("what node %d keeps at %s may be stored", n.id, s.region)
	}
	if !w.bug.is(BugKeptBeforeDurable) {
		n.commit(true)
	}
	if disk := &n.saved[0]; disk.ready[side] {
		s.car.placed, s.car.cursor = true, disk.cursors[side]
	}
	if w.bug.is(BugPlaceBeforeDeletes) && w.dice.One(2) {
		return
	}
	for k := range w.cfg.keys {
		for _, d := range n.pending[side][k] {
			s.car.deletes[k] = append(slices.Clip(s.car.deletes[k]), keptDelete{d, n.epoch})
			if !s.mute {
				n.kept[side][k] = d.Version
			}
		}
		if !s.mute {
			n.pending[side][k] = nil
		}
	}
	if w.dice.One(4) {
		n.compact(side)
	}
}

// overwrite is what a write of the root by a stale owner does that nothing refuses: what was kept since
// counts no more.
func (n *node) overwrite(s *site) {
	n.w.say("node %d overwrites what epoch %d has kept at %s", n.id, s.car.epoch, s.region)
	for k := range n.w.cfg.keys {
		s.car.deletes[k] = slices.DeleteFunc(slices.Clone(s.car.deletes[k]), func(d keptDelete) bool {
			return d.by > n.epoch
		})
	}
}

// compact drops from a sidecar what the shadow index has forgotten, or something newer has replaced.
func (n *node) compact(side int) {
	s := n.w.sites[side]
	for k := range n.w.cfg.keys {
		if st := n.saved[0].states[k]; !st.Winner.Tombstone && !n.states[k].Winner.Tombstone &&
			len(n.pending[side][k]) == 0 {
			s.car.deletes[k] = nil
		}
	}
}

// fence ends a node that finds a later owner.
func (n *node) fence(side int) {
	n.fenced = true
	n.w.reach(StaleRefused)
	n.w.say("node %d is refused by %s: a later owner has claimed it", n.id, n.w.sites[side].region)
}
