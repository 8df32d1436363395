package sim

import (
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/sim/internal/dice"
)

// retention is how long DynamoDB's stream keeps a change.
const retention = 24 * time.Hour

// cursor is a place in a feed: per key, since shards and feed ranges order changes of one key only.
type cursor [maxKeys]int

// shown is one change of a feed with the event that it is of.
type shown struct {
	change proa.Change
	key    int
	index  int
}

// end is the cursor after everything so far.
func (s *site) end() cursor {
	var c cursor
	for k := range s.events {
		c[k] = len(s.events[k])
	}
	return c
}

// expire trims what is older than the feed keeps.
func (s *site) expire() {
	for k, events := range s.events {
		for s.trim[k] < len(events) && s.w.now.Sub(events[s.trim[k]].at) > retention {
			s.trim[k]++
		}
	}
}

// gap reports whether changes after the cursor are gone.
func (s *site) gap(c cursor) bool {
	for k := range c {
		if c[k] < s.trim[k] {
			return true
		}
	}
	return false
}

// read returns some changes after the cursor: per key in order, some again, though none from before
// the reader has begun, and no order between keys. all reports whether there are no more.
func (s *site) read(from, begun cursor, d *dice.Dice, quiet bool) (list []shown, next cursor, all bool) {
	next, all = from, true
	first := d.N(maxKeys)
	for i := range maxKeys {
		k := (first + i) % maxKeys
		n := len(s.events[k])
		if from[k] == n {
			continue
		}
		end := n
		start := from[k]
		if !quiet {
			end = min(n, from[k]+d.N(4))
			start = max(s.trim[k], begun[k], from[k]-max(0, d.N(6)-3))
		}
		if s.latest {
			start = max(start, end-1)
		}
		all = all && end == n
		next[k] = max(end, from[k])
		if start < from[k] && start < end {
			s.w.reach(FeedRepeats)
		}
		for e := start; e < end; e++ {
			if c, ok := s.change(k, e); ok {
				at := e
				if s.latest {
					at = n - 1
				}
				list = append(list, shown{change: c, key: k, index: at})
			}
		}
	}
	return s.w.misread(list), next, all
}

// change renders an event as the feed gives it.
func (s *site) change(k, i int) (proa.Change, bool) {
	e := &s.events[k][i]
	if s.latest {
		// the feed gives what is stored when it is read
		i = len(s.events[k]) - 1
		e = &s.events[k][i]
		if !e.new.Exists() {
			s.w.reach(DeleteHidden)
			return proa.Change{}, false
		}
	}
	c := proa.Change{
		Region: s.region, Key: theKeys[k], New: s.w.project(e.new), Time: e.stamp, Expired: e.expired,
		Position: proa.Position(strconv.FormatUint(e.pos, 10)),
	}
	if !s.noETag {
		c.ETag = e.etag
	}
	if !s.noOld && !s.latest {
		old := s.w.project(e.old)
		c.Old = &old
		if !s.w.tells(e) {
			return c, false
		}
	}
	return c, true
}
