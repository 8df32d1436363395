package sim

import (
	"fmt"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// home is the attribute that never leaves its region, where a history has one.
const home = "r"

var theResidency = homebound()

func homebound() *residency.Rules {
	modes := map[string]residency.Mode{home: residency.NeverCopied}
	r, err := residency.New(schema, residency.Open, modes, proa.Secret{})
	if err != nil {
		panic(fmt.Sprintf("the simulator's residency: %v", err))
	}
	return r
}

// project is what of an image may leave its region.
func (w *world) project(img proa.Image) proa.Image {
	if w.cfg.resident {
		img.Item = theResidency.Project(img.Item)
	}
	return img
}

// atHome adds to a write what stays in its region.
func (w *world) atHome(item proa.Item, text proa.Value) proa.Item {
	if w.cfg.resident {
		item[home] = text
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
	if s.w.cfg.resident && next.Exists() && !next.Tombstone() {
		next.Item = theResidency.Join(stored.img.Item, next.Item)
	}
	return cloud.Row{Key: theKeys[key], Image: stored.img, ETag: stored.etag}, next
}

// stays checks that a write of a node has left alone what stays in the region.
func (s *site) stays(key int, was, img proa.Image) {
	switch {
	case !s.w.cfg.resident || !img.Exists() || img.Tombstone():
	case !was.Item[home].Equal(img.Item[home]):
		s.w.fail("residency", "key %d: %s had %v, a write of ours left %v", key, s.region, was.Item[home],
			img.Item[home])
	}
}

// leaves checks that nothing which stays in its region is in what a step puts out.
func (w *world) leaves(key int, outs []resolve.Output) {
	for _, o := range outs {
		var items []proa.Item
		switch o := o.(type) {
		case resolve.Write:
			items = []proa.Item{o.Next.Item, o.Seen.Image.Item}
		case resolve.Append:
			items = []proa.Item{o.Image.Item}
		case resolve.Clash:
			items = []proa.Item{o.Winner.Item, o.Loser.Item, o.Merged}
		}
		for _, item := range items {
			if _, ok := item[home]; ok {
				w.fail("residency", "key %d: what stays in its region has left it: %v", key, item)
			}
		}
	}
}
