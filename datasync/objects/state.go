package objects

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// State is all that is known of one object. It is the value of the objects' shadow index.
type State struct {
	Name   string  `json:"name"`
	Winner Winner  `json:"winner"`
	Sides  [2]Side `json:"sides"` // by resolve.Index
	// the delete, if it is kept in a bucket
	Mark *Mark `json:"mark,omitempty"`
}

// Winner is the state that both sides must come to hold.
type Winner struct {
	Version   proa.Version `json:"version"`
	Parent    proa.Version `json:"parent,omitzero"`
	Tombstone bool         `json:"tombstone,omitempty"`
	Content   Content      `json:"content"`
	Origin    time.Time    `json:"origin"`
	Decided   time.Time    `json:"decided"`
}

// Content is what makes two objects equal.
type Content struct {
	Size        int64             `json:"size"`
	CRC64       uint64            `json:"crc64,omitempty"`
	HasCRC64    bool              `json:"has_crc64,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     cloud.Headers     `json:"headers,omitzero"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Side is what is known of the object at one region.
type Side struct {
	Known     bool          `json:"known,omitempty"`
	Exists    bool          `json:"exists,omitempty"`
	Version   proa.Version  `json:"version,omitzero"`
	ETag      string        `json:"etag,omitempty"`
	VersionID string        `json:"version_id,omitempty"`
	Modified  time.Time     `json:"modified,omitzero"`
	Content   Content       `json:"content,omitzero"`
	Assigned  hlc.Timestamp `json:"assigned,omitempty"` // the last time given to a local write here
	Writing   []Writing     `json:"writing,omitempty"`  // writes of ours whose outcome is not recorded
	// a loser that is here only, to be kept before it is written over
	Keep *Keep `json:"keep,omitempty"`
	// the side was put back to an earlier state: what was written until then is older than the winner
	Past     time.Time `json:"past,omitzero"`
	Unfit    string    `json:"unfit,omitempty"` // why the winner cannot be stored here
	Attempts int       `json:"attempts,omitempty"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
}

// Writing is the intent of one write: what it makes, and when it was sent.
type Writing struct {
	Version   proa.Version `json:"version"`
	Tombstone bool         `json:"tombstone,omitempty"`
	Content   Content      `json:"content"`
	Sent      time.Time    `json:"sent"`
}

// Keep names a loser's content.
type Keep struct {
	Version proa.Version `json:"version"`
	ETag    string       `json:"etag"`
	As      string       `json:"as"` // the name under which it is kept in the same bucket
}

// OwnPrefix begins the names of proa's own objects, which are neither replicated nor compared.
const OwnPrefix = ".proa/"

func keepName(v proa.Version, name string) string {
	return OwnPrefix + "losers/" + v.Time.String() + "." + string(v.Region) + "/" + name
}

// seen is one observation of an object: a listing's line and, where that was new, what Head said of
// it.
type seen struct {
	exists bool
	info   cloud.ObjectInfo
	began  time.Time // the listing or the Head was sent after this
}

func contentOf(i cloud.ObjectInfo) Content {
	return Content{
		Size: i.Size, CRC64: i.CRC64, HasCRC64: i.HasCRC64, ContentType: i.ContentType,
		Headers: i.Headers, Metadata: i.Metadata,
	}
}

// same reports whether two contents are known to be equal.
func (c Content) same(o Content) bool {
	return c.Size == o.Size && c.HasCRC64 && o.HasCRC64 && c.CRC64 == o.CRC64 &&
		c.ContentType == o.ContentType && c.Headers == o.Headers &&
		maps.Equal(c.Metadata, o.Metadata)
}

// unchanged reports whether a listing's line is the state that is known of the side.
func (sd *Side) unchanged(i cloud.ObjectInfo) bool {
	return sd.Known && sd.Exists && sd.ETag == i.ETag && sd.Content.Size == i.Size &&
		(sd.Modified.Equal(i.LastModified) ||
			sd.Modified.Truncate(time.Second).Equal(i.LastModified.Truncate(time.Second)))
}

func (st *State) at(r proa.Region) *Side { return &st.Sides[resolve.Index(r)] }

// inSync reports whether a region holds the winner.
func (st *State) inSync(r proa.Region) bool {
	sd := st.at(r)
	switch {
	case st.Winner.Version.IsZero():
		return true
	case st.Winner.Tombstone:
		return !sd.Exists
	}
	return sd.Exists && sd.Version == st.Winner.Version
}

// due reports whether a write at a region may start.
func (st *State) due(r proa.Region, now time.Time) bool {
	sd := st.at(r)
	return !st.inSync(r) && sd.Unfit == "" && !sd.RetryAt.After(now)
}

// verdict is what an observation came to.
type verdict struct {
	captured bool // a local write
	first    bool // nothing was known of the object at that side
	won      bool
	clash    *clash
	synced   bool // a write of ours has shown up
	durable  bool // a write follows that the state must outlive
}

type clash struct {
	winner, loser Candidate
	reason        string
}

// Candidate is one side of a conflict.
type Candidate struct {
	Version   proa.Version
	Parent    proa.Version
	Tombstone bool
	Content   Content
	ETag      string
	VersionID string
	Kept      string
	KeptAt    proa.Region
}

// observe judges what a side holds now. It is the pure part of the replicator: the same state and
// observation give the same verdict.
func (st *State) observe(region proa.Region, o seen, now time.Time) verdict {
	sd := st.at(region)
	if !o.exists {
		return st.absent(region, sd, o, now)
	}
	next := Side{
		Known: true, Exists: true, ETag: o.info.ETag, VersionID: o.info.VersionID,
		Modified: o.info.LastModified, Content: contentOf(o.info), Assigned: sd.Assigned,
		Writing: sd.Writing,
	}
	for i, w := range sd.Writing {
		if !w.Tombstone && w.Content.same(next.Content) && !sd.Content.same(next.Content) {
			// A write of ours whose outcome was not known, or another one of the same content:
			// nothing is lost either way.
			next.Version, next.Writing = w.Version, slices.Delete(sd.Writing, i, i+1)
			*sd = next
			st.orphaned(now)
			return verdict{synced: true}
		}
	}
	if sd.Exists && sd.Content.same(next.Content) {
		next.Version, next.Keep, next.RetryAt = sd.Version, sd.Keep, sd.RetryAt
		if next.Keep != nil {
			next.Keep.ETag = next.ETag
		}
		*sd = next
		return verdict{}
	}
	if !sd.Known && !st.Winner.Tombstone && st.Winner.Content.same(next.Content) {
		next.Version = st.Winner.Version // both sides hold it already
		*sd = next
		return verdict{synced: true}
	}
	parent, known, past := sd.Version, sd.Known, sd.Past
	*sd = next
	if !known && !past.IsZero() && !o.info.LastModified.After(past) && st.stands(region.Other()) {
		v := st.past(region, o)
		st.orphaned(now)
		return v
	}
	sd.Version = st.assign(sd, region, parent, o.info.LastModified, known, fingerprint(region, o.info))
	w := Winner{
		Version: sd.Version, Parent: parent, Content: next.Content, Origin: origin(o, now),
		Decided: now,
	}
	return st.compete(w, region, known)
}

// absent judges that a side holds nothing. It is a delete only where the object was seen there
// before.
func (st *State) absent(region proa.Region, sd *Side, o seen, now time.Time) verdict {
	if !sd.Known || !sd.Exists {
		sd.Known, sd.Past = true, time.Time{}
		st.orphaned(now)
		return verdict{}
	}
	for i, w := range sd.Writing {
		if w.Tombstone { // a delete of ours whose outcome was not known
			*sd = Side{
				Known: true, Version: w.Version, Assigned: sd.Assigned,
				Writing: slices.Delete(sd.Writing, i, i+1),
			}
			return verdict{synced: true}
		}
	}
	parent := sd.Version
	*sd = Side{Known: true, Assigned: sd.Assigned, Writing: sd.Writing}
	sd.Version = st.assign(sd, region, parent, o.began, true, proa.Hash{})
	w := Winner{Version: sd.Version, Parent: parent, Tombstone: true, Origin: now, Decided: now}
	return st.compete(w, region, true)
}

// assign gives a local write its version: its time, but after what it replaced and after this
// region's last write of the object. What is found when nothing was known is as old as the store
// says.
func (st *State) assign(
	sd *Side, region proa.Region, parent proa.Version, at time.Time, known bool, h proa.Hash,
) proa.Version {
	floor := max(sd.Assigned, parent.Time)
	if !known && st.Winner.Tombstone {
		floor = max(floor, st.Winner.Version.Time) // unknown age: kept whatever a tombstone says
	}
	t := max(hlc.At(at), 1)
	if t <= floor {
		t = floor.Next()
	}
	sd.Assigned = t
	return proa.Version{Time: t, Region: region, Hash: h}
}

// fingerprint tells states of one object at one region apart.
func fingerprint(region proa.Region, i cloud.ObjectInfo) proa.Hash {
	return proa.ContentHash(proa.Item{
		"r": proa.String(string(region)), "e": proa.String(i.ETag),
		"c": proa.String(fmt.Sprintf("%d/%x/%d/%s", i.Size, i.CRC64, i.LastModified.UnixNano(),
			i.VersionID)),
	})
}

func origin(o seen, now time.Time) time.Time {
	if o.info.LastModified.IsZero() || o.info.LastModified.After(now) {
		return now
	}
	if end := o.info.LastModified.Truncate(time.Second).Add(time.Second - time.Millisecond); end.Before(now) {
		return end
	}
	return now
}

// compete lets a local write compete with the winner.
func (st *State) compete(next Winner, region proa.Region, known bool) verdict {
	old := st.Winner
	v := verdict{captured: true, first: !known, won: next.Version.Compare(old.Version) > 0}
	if !old.Version.IsZero() && old.Version != next.Parent && (!old.Tombstone || !next.Tombstone) {
		v.clash = st.clash(old, next, v.won, known)
	}
	if v.won {
		st.Winner = next
		for i := range st.Sides {
			st.Sides[i].Unfit, st.Sides[i].Attempts, st.Sides[i].RetryAt = "", 0, time.Time{}
		}
	}
	return v
}

// clash describes a conflict and has the loser kept where it is.
func (st *State) clash(old, next Winner, won, known bool) *clash {
	c := &clash{reason: "concurrent writes"}
	if !known {
		c.reason = "unknown age"
	}
	if won {
		c.winner, c.loser = st.candidate(next, false), st.candidate(old, true)
	} else {
		c.winner, c.loser = st.candidate(old, false), st.candidate(next, true)
	}
	return c
}

func (st *State) candidate(w Winner, keep bool) Candidate {
	c := Candidate{Version: w.Version, Parent: w.Parent, Tombstone: w.Tombstone, Content: w.Content}
	for i, region := range proa.Regions() {
		sd := &st.Sides[i]
		if w.Tombstone || !sd.Exists || sd.Version != w.Version {
			continue
		}
		c.ETag, c.VersionID, c.KeptAt = sd.ETag, sd.VersionID, region
		if keep && sd.VersionID == "" {
			c.Kept = keepName(w.Version, st.Name)
			sd.Keep = &Keep{Version: w.Version, ETag: sd.ETag, As: c.Kept}
		}
		break
	}
	return c
}

// collectable reports whether a delete need not be remembered any more: both sides were seen
// without the object after it.
func (st *State) collectable(now time.Time, grace time.Duration) bool {
	quiet := (st.Winner.Tombstone || st.Winner.Version.IsZero()) && st.Mark == nil
	for i := range st.Sides {
		sd := &st.Sides[i]
		quiet = quiet && sd.Known && !sd.Exists && len(sd.Writing) == 0
	}
	return quiet && now.Sub(st.Winner.Decided) > grace
}
