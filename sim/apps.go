package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

var attributes = [...]string{"x", "y", "z"}

// content is an item whose attributes name the write that set them.
func content(key int, names []string, text proa.Value) proa.Item {
	item := proa.Item{"id": theKeys[key].Hash}
	for _, name := range names {
		item[name] = text
	}
	return item
}

// apply is one write of an application.
func (w *world) apply(a *action) {
	s, k := w.sites[a.side], a.key
	if a.kind == appRead {
		r := s.rows[k]
		w.seen[a.side][k] = &r
		return
	}
	before := len(s.events[k])
	stored := s.rows[k]
	o := op{side: a.side, event: -1, back: a.kind == appPutBack, poison: a.kind == appPoison}
	w.change(s, a)
	// a tombstone image is nothing to delete
	void := (a.kind == appDelete || a.kind == appExpire) && stored.img.Tombstone() &&
		len(w.project(stored.img).Item) == 1
	if len(s.events[k]) > before && !void && w.tells(&s.events[k][before]) {
		o.event = before
	}
	for len(w.ops[k]) <= a.op {
		w.ops[k] = append(w.ops[k], op{event: -1})
	}
	w.ops[k][a.op] = o
	if w.trace != nil {
		w.say("%s key %d op%d %s → %s", s.region, k, a.op, kindNames[a.kind], show(s.rows[k].img))
	}
}

// change is what an application's write does to the table.
func (w *world) change(s *site, a *action) {
	k := a.key
	stored := s.rows[k]
	bit := uint64(1) << max(a.op, 0)
	text := proa.String(fmt.Sprint("op", a.op))
	put := func(img proa.Image) { s.set(k, img, stored.ghost|bit, a.op, false) }
	switch a.kind {
	case appDelete, appExpire, appPutBack, tableDelete, twoStepDelete, appPoison, appUnfit:
		w.plain[k] = true
	}
	switch a.kind {
	case appPut:
		item := content(k, attributes[:1+w.dice.N(3)], text)
		put(proa.Image{Item: w.atHome(w.counted(k, stored.img.Item, item, a.op), text)})
	case appUpdate:
		w.update(s, k, text, bit, a.op)
	case appStale:
		if stored.img.Exists() {
			item := maps.Clone(stored.img.Item)
			item["x"] = text
			item = w.counted(k, stored.img.Item, item, a.op)
			put(proa.Image{Item: item, Envelope: stored.img.Envelope})
		}
	case appDelete, appExpire:
		if stored.img.Exists() {
			s.set(k, proa.Image{}, stored.ghost|bit, a.op, a.kind == appExpire)
		}
	case appPutBack:
		if n := len(s.events[k]); n > 0 {
			if old := s.events[k][w.dice.N(n)].new; old.Exists() {
				put(old)
			}
		}
	case tablePut:
		item := content(k, attributes[:1+w.dice.N(2)], text)
		item = w.atHome(w.counted(k, stored.img.Item, item, a.op), text)
		put(w.stamped(s, stored.img, item, false))
	case twoStepDelete:
		if stored.img.Exists() {
			put(w.stamped(s, stored.img, content(k, nil, text), true))
		}
	case tableDelete:
		if stored.img.Exists() && !stored.img.Tombstone() {
			s.purge(k, cloud.Row{Key: theKeys[k], Image: stored.img, ETag: stored.etag}, a.op, bit)
		}
	case appCAS:
		item := w.atHome(content(k, attributes[:1], text), text)
		w.takeLock(s, a, put, w.counted(k, stored.img.Item, item, a.op))
	case appPoison, appUnfit:
		w.spoil(s, a, put, text)
	}
}

// takeLock is the second half of a conditional write.
func (w *world) takeLock(s *site, a *action, put func(proa.Image), item proa.Item) {
	seen, stored := w.seen[a.side][a.key], s.rows[a.key]
	if seen == nil {
		return
	}
	w.seen[a.side][a.key] = nil
	if same(seen.img, stored.img) && (!s.cosmos || seen.etag == stored.etag) {
		put(w.stamped(s, stored.img, item, false))
		w.reach(LockTaken)
		return
	}
	w.reach(LockRefused)
}

// spoil stores what cannot be judged, or what the other side cannot hold.
func (w *world) spoil(s *site, a *action, put func(proa.Image), text proa.Value) {
	w.poisoned[a.key] = true
	if a.kind == appUnfit {
		item := content(a.key, attributes[1:2], text)
		item["x"] = proa.String("!")
		if !s.cosmos {
			put(proa.Image{Item: item})
		}
		return
	}
	item := content(a.key, attributes[:1], text)
	if w.dice.One(2) {
		put(proa.Image{Item: item, Malformed: "version \"?\""})
		return
	}
	v := proa.Version{
		Time: hlc.At(w.now.Add(48 * time.Hour)), Region: s.region, Hash: proa.ContentHash(item),
	}
	put(proa.Image{Item: item, Envelope: &proa.Envelope{Version: v}})
}

// update is a partial update: of some attributes, on DynamoDB; Cosmos DB's writers replace what they
// read.
func (w *world) update(s *site, k int, text proa.Value, bit uint64, op int) {
	stored := s.rows[k]
	item := maps.Clone(stored.img.Item)
	if item == nil {
		item = content(k, nil, text)
	}
	if w.cfg.resident && stored.img.Exists() && w.dice.One(3) {
		name := residents[w.dice.N(len(residents))]
		item[name] = text
		if name != home {
			item = w.counted(k, stored.img.Item, item, op)
		}
		w.reach([...]Situation{HomeUpdated, MaskedUpdated, HashedUpdated}[slices.Index(residents[:], name)])
	} else {
		item[attributes[w.dice.N(3)]] = text
		item = w.counted(k, stored.img.Item, item, op)
	}
	img := proa.Image{Item: item, Envelope: stored.img.Envelope, Malformed: stored.img.Malformed}
	s.set(k, img, stored.ghost|bit, op, false)
}

// stamped is what function.Table stores: content and an envelope by the instance's own clock.
func (w *world) stamped(s *site, was proa.Image, item proa.Item, tombstone bool) proa.Image {
	skew := w.cfg.writers[sideOf(s)][w.dice.N(2)]
	at := hlc.At(w.now.Add(skew)) + hlc.Timestamp(w.dice.N(1<<16)) //nolint:gosec // positive
	var parent proa.Version
	if was.Exists() {
		parent = versionOf(w.project(was), s.region)
		at = max(at, parent.Time.Next())
	}
	e := proa.Envelope{
		Version:   proa.Version{Time: at, Region: s.region, Hash: w.hashOf(item)},
		Parent:    parent,
		Tombstone: tombstone,
	}
	if tombstone {
		e.Version.Hash = proa.Hash{}
	}
	return proa.Image{Item: item, Envelope: &e}
}

func sideOf(s *site) int {
	if s.region == proa.Azure {
		return 1
	}
	return 0
}

// versionOf is function.Table's name of an image.
func versionOf(img proa.Image, region proa.Region) proa.Version {
	hash := proa.ContentHash(img.Item)
	switch {
	case img.Tombstone():
		return img.Envelope.Version
	case img.Envelope == nil:
		return proa.Version{Region: region, Hash: hash}
	case img.Envelope.Version.Hash != hash:
		return proa.Version{Time: img.Envelope.Version.Time, Region: region, Hash: hash}
	}
	return img.Envelope.Version
}

// show renders an image for the printed history.
func show(i proa.Image) string {
	if !i.Exists() {
		return "nothing"
	}
	s := ""
	for _, name := range attributes {
		if v, ok := i.Item[name]; ok {
			s += name + "=" + v.Str + " "
		}
	}
	if i.Malformed != "" {
		s += "(malformed)"
	}
	if e := i.Envelope; e != nil {
		s += fmt.Sprintf("@%s.%s", e.Version.Time, e.Version.Region)
		switch {
		case e.Tombstone:
			s += " tombstone"
		case e.Version.Hash != proa.ContentHash(i.Item):
			s += " (stale)"
		}
		if e.Write != 0 {
			s += fmt.Sprintf(" write %d", e.Write)
		}
	}
	return s
}
