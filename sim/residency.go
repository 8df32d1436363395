package sim

import (
	"fmt"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// What of an item does not leave its region as it is: one attribute never, one as a mask, one as its hash.
const (
	home   = "r"
	masked = "m"
	hashed = "h"
)

// residents are these attributes.
var residents = [...]string{home, masked, hashed}

var (
	theResidency = homebound(residency.NeverCopied, residency.Masked, residency.Hashed)
	// and what planted bugs make of it
	leaking  = homebound(residency.Open, residency.Masked, residency.Hashed)
	unmasked = homebound(residency.NeverCopied, residency.Open, residency.Hashed)
	unhashed = homebound(residency.NeverCopied, residency.Masked, residency.Open)
)

func homebound(modes ...residency.Mode) *residency.Rules {
	attributes := map[string]residency.Mode{}
	for i, name := range residents {
		attributes[name] = modes[i]
	}
	r, err := residency.New(schema, residency.Open, attributes, proa.NewSecret("key"))
	if err != nil {
		panic(fmt.Sprintf("the simulator's residency: %v", err))
	}
	return r
}

// residency is the rules of a history that has some, or what a planted bug makes of them.
func (w *world) residency() *residency.Rules {
	switch w.bug {
	case BugHomeLeaks:
		return leaking
	case BugUnmasked:
		return unmasked
	case BugUnhashed:
		return unhashed
	}
	return theResidency
}

// project is what of an image may leave its region.
func (w *world) project(img proa.Image) proa.Image {
	if w.cfg.resident {
		img.Item = w.residency().Project(img.Item)
	}
	return img
}

// atHome adds to a write what does not leave its region as it is.
func (w *world) atHome(item proa.Item, text proa.Value) proa.Item {
	if w.cfg.resident {
		item[home] = text
		for _, name := range residents[1:] {
			if w.dice.One(2) {
				item[name] = text
			}
		}
	}
	return item
}

// hashOf is the hash of what of an item may leave its region.
func (w *world) hashOf(item proa.Item) proa.Hash {
	return proa.ContentHash(w.project(proa.Image{Item: item}).Item)
}

// tells reports whether a change is one of more than what stays in the region.
func (w *world) tells(e *event) bool {
	return !w.cfg.resident || !e.new.Exists() || !same(w.project(e.old), w.project(e.new))
}

// joined is the row as it is stored, and what is to take its place: a driver reads what stays in the
// region before it writes.
func (s *site) joined(key int, next proa.Image) (cloud.Row, proa.Image) {
	stored := s.rows[key]
	if s.w.cfg.resident && next.Exists() && !next.Tombstone() && !s.w.bug.is(BugNotJoined) {
		next.Item = s.w.residency().Join(stored.img.Item, next.Item)
	}
	return cloud.Row{Key: theKeys[key], Image: stored.img, ETag: stored.etag}, next
}

// secret reports whether a value is as an application wrote it, neither a mask nor a hash.
func secret(v proa.Value) bool { return strings.HasPrefix(v.Str, "op") }

// stays checks that a write of a node has left alone what stays in the region, and has brought nothing that
// stays in the other one. A mask never takes the place of what is masked; a hash does, of another value only.
func (s *site) stays(key int, was, img proa.Image) {
	if !s.w.cfg.resident || !img.Exists() || img.Tombstone() {
		return
	}
	for _, name := range residents {
		own, now := was.Item[name], img.Item[name]
		changed := !own.Equal(now)
		switch {
		case changed && secret(now):
			s.w.fail("residency", "key %d: %s had %s %q, a write of ours left %q", key, s.region, name, own.Str,
				now.Str)
		case name == home && changed, name == masked && changed && secret(own) && now.Str != "":
			s.w.fail("residency", "key %d: %s had %s %q, a write of ours left %q", key, s.region, name, own.Str,
				now.Str)
		case name == hashed && changed && secret(own) && s.w.hashes(own).Equal(now):
			s.w.fail("residency", "key %d: %s had %q, a write of ours left its hash", key, s.region, own.Str)
		case now.Str == "" || changed:
		case name == masked && secret(now):
			s.w.reach(MaskKept)
		case name == hashed && secret(now):
			s.w.reach(HashKept)
		}
	}
}

// hashes is what a value crosses as.
func (w *world) hashes(v proa.Value) proa.Value {
	return theResidency.Project(proa.Item{hashed: v})[hashed]
}

// leaves checks that nothing which stays in its region is in what a step puts out, for the log, the journal
// or the other side, or in what is remembered of the key.
func (w *world) leaves(key int, st *resolve.State, outs []resolve.Output) {
	if !w.cfg.resident {
		return
	}
	for _, o := range outs {
		switch o := o.(type) {
		case resolve.Write:
			w.confined(key, o.Next.Item, o.Seen.Image.Item)
		case resolve.Append:
			w.confined(key, o.Image.Item)
		case resolve.Clash:
			w.confined(key, o.Winner.Item, o.Loser.Item, o.Merged)
		case resolve.Shown:
			w.confined(key, o.Change.New.Item)
			if o.Change.Old != nil {
				w.confined(key, o.Change.Old.Item)
			}
		}
	}
	for _, body := range st.Bodies {
		w.confined(key, body)
	}
	for i := range st.Sides {
		if p := st.Sides[i].Poison; p != nil {
			w.confined(key, p.Image.Item)
		}
	}
}

func (w *world) confined(key int, items ...proa.Item) {
	for _, item := range items {
		for _, name := range residents {
			if v, ok := item[name]; ok && (name == home || secret(v)) {
				w.fail("residency", "key %d: %s stays in its region and has left it: %v", key, name, item)
			}
		}
	}
}
