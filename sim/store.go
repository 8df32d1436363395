package sim

import (
	"maps"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// maxKeys bounds the keys of a history, and maxOps its applications' writes of one key: each is a bit.
const (
	maxKeys = 4
	maxOps  = 60
)

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

var theKeys = [maxKeys]proa.Key{
	{Table: "t", Hash: proa.String("k0")},
	{Table: "t", Hash: proa.String("k1")},
	{Table: "t", Hash: proa.String("k2")},
	{Table: "t", Hash: proa.String("k3")},
}

// row is a stored state. ghost is which writes of applications it knows, a bit for each: what the
// checkers know and the system does not.
type row struct {
	img   proa.Image
	etag  string
	ghost uint64
}

// event is one entry of a feed.
type event struct {
	old, new proa.Image
	etag     string
	stamp    time.Time // as the side says it, in whole seconds
	at       time.Time
	expired  bool
	ghost    uint64
	op       int // of Plan's applications; -1: none
	pos      uint64
	captured bool       // by some node
	lost     bool       // captured only by nodes whose disks are gone
	gone     bool       // undone by a restore before it was captured
	hash     *proa.Hash // of the content; nil: not asked for yet
}

// site is one side: DynamoDB's semantics or, where cosmos is set, Cosmos DB's.
type site struct {
	w      *world
	region proa.Region
	cosmos bool
	latest bool // the feed shows the latest version only, and no deletes
	noOld  bool // the feed lacks previous images
	noETag bool // the feed lacks tokens

	rows      [maxKeys]row
	yesterday [maxKeys]row
	events    [maxKeys][]event
	trim      [maxKeys]int // events before it are gone from the feed
	epoch     [maxKeys]int // events before it were before the last restore
	skew      time.Duration
	stuck     time.Time // the clock stands still; zero: it does not
	deaf      bool      // requests do not arrive
	mute      bool      // answers do not arrive
	late      []late
	pos       uint64
	gen       int // of the table: each counts its positions from one
	etags     int
	writes    int // of nodes, that took effect
	car       car
}

// late is a write that is under way, with no one waiting for its answer.
type late struct {
	key  int
	at   time.Time
	do   func() bool
	node int
}

// clock is what the side thinks the time is.
func (s *site) clock() time.Time {
	if !s.stuck.IsZero() {
		return s.stuck
	}
	return s.w.now.Add(s.skew)
}

// set stores an image (the zero one: nothing) and puts out the event. It reports whether there is one.
func (s *site) set(key int, img proa.Image, ghost uint64, op int, expired bool) bool {
	old := s.rows[key]
	if !s.cosmos && same(img, old.img) {
		s.rows[key].ghost = ghost
		return false // DynamoDB's stream leaves out writes that change nothing
	}
	s.pos++
	next := row{img: img, ghost: ghost}
	if s.cosmos && img.Exists() {
		s.etags++
		next.etag = strconv.Itoa(s.etags)
	}
	s.rows[key] = next
	s.events[key] = append(s.events[key], event{
		old: old.img, new: img, etag: next.etag, stamp: s.clock().Truncate(time.Second), at: s.w.now,
		expired: expired, ghost: ghost, op: op, pos: s.pos,
	})
	return true
}

func sameEnvelope(a, b proa.Image) bool {
	switch {
	case a.Malformed != b.Malformed, (a.Envelope == nil) != (b.Envelope == nil):
		return false
	}
	return a.Envelope == nil || *a.Envelope == *b.Envelope
}

// sameVersion is DynamoDB's comparison of envelopes, as package aws asks for it: the fields that name a version.
func sameVersion(stored, seen proa.Image) bool {
	switch {
	case seen.Malformed != "":
		return stored.Envelope != nil || stored.Malformed != ""
	case seen.Envelope == nil:
		return stored.Envelope == nil && stored.Malformed == ""
	}
	return stored.Envelope != nil && stored.Envelope.Version == seen.Envelope.Version
}

func same(a, b proa.Image) bool {
	return a.Exists() == b.Exists() && sameEnvelope(a, b) && a.Item.Equal(b.Item)
}

func (s *site) get(key int) cloud.Row {
	r := s.rows[key]
	return cloud.Row{Key: theKeys[key], Image: s.w.project(r.img), ETag: r.etag}
}

// swap is a node's compare-and-set. It reports whether it took effect, and the row as it is then.
func (s *site) swap(key int, seen cloud.Row, next proa.Image) (cloud.Row, bool) {
	stored := s.rows[key]
	img, ok := s.swapped(stored, seen, next)
	if !ok {
		return s.get(key), false
	}
	ghost := stored.ghost
	if next.Envelope != nil {
		ghost = s.w.ghosts[key][next.Envelope.Version]
		if !stored.img.Item.Equal(seen.Image.Item) {
			ghost |= stored.ghost // something slipped under and may have stayed
		}
	}
	s.stays(key, stored.img, img)
	s.set(key, img, ghost, -1, false)
	s.writes++
	return s.get(key), true
}

// swapped is what a compare-and-set leaves, if its comparison holds.
func (s *site) swapped(stored row, seen cloud.Row, next proa.Image) (proa.Image, bool) {
	switch {
	case !seen.Image.Exists():
		return next, !stored.img.Exists()
	case !stored.img.Exists():
		return next, false
	case s.cosmos && seen.ETag != "":
		return next, stored.etag == seen.ETag
	case s.cosmos:
		return next, same(stored.img, seen.Image)
	case !sameVersion(stored.img, seen.Image):
		return next, false
	}
	item := maps.Clone(stored.img.Item)
	for name, want := range seen.Image.Item {
		v, stays := next.Item[name]
		if stays && v.Equal(want) {
			continue
		}
		if !stored.img.Item[name].Equal(want) {
			return next, false
		}
		delete(item, name)
	}
	for name, v := range next.Item {
		want, had := seen.Image.Item[name]
		if had && want.Equal(v) {
			continue
		}
		if is, has := stored.img.Item[name]; has != had || has && !is.Equal(want) {
			return next, false
		}
		item[name] = v
	}
	return proa.Image{Item: item, Envelope: next.Envelope}, true
}

// purge removes a row that was seen.
func (s *site) purge(key int, seen cloud.Row, op int, bit uint64) (cloud.Row, bool) {
	stored := s.rows[key]
	ok := stored.img.Exists() && sameVersion(stored.img, seen.Image)
	for name, v := range seen.Image.Item {
		ok = ok && stored.img.Item[name].Equal(v)
	}
	switch {
	case s.cosmos && seen.ETag != "":
		ok = stored.img.Exists() && stored.etag == seen.ETag
	case s.cosmos:
		ok = stored.img.Exists() && same(stored.img, seen.Image)
	}
	if ok {
		s.set(key, proa.Image{}, stored.ghost|bit, op, false)
		if op < 0 {
			s.writes++
		}
	}
	return s.get(key), ok
}

// land lets the write with the given place among the late ones arrive. Both clouds refuse requests
// that were signed more than 15 minutes ago.
func (s *site) land(i int) {
	l := s.late[i]
	s.late = append(s.late[:i:i], s.late[i+1:]...)
	if s.w.now.Sub(l.at) > 15*time.Minute {
		return
	}
	if l.do() {
		s.w.reach(LateWriteLanded)
	}
}
