package shadow

import (
	"errors"
	"fmt"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/wire"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

type (
	encoder struct{ wire.Encoder }
	decoder struct {
		wire.Decoder
		format byte
	}
)

// recordFormat is the first byte of each stored record. Format 1 lacks what 2 has at the ends of a
// held state and of the record: a lapse, a hold. Format 2 lacks winners' former
// names, and that a row read ahead of the feed has spread. Format 3 lacks when such a row was read.
// Format 4 lacks when the feed's last change was captured. Format 5 lacks what is known of a
// predecessor's last writes.
const recordFormat = 6

func encodeRecord(r *Record) []byte {
	e := encoder{}
	e.B = make([]byte, 0, 512)
	e.B = append(e.B, recordFormat)
	s := r.State
	e.Key(s.Key)
	e.winner(&s.Winner)
	e.Uint(s.LastID)
	e.Uint(uint64(len(s.Bodies)))
	for hash := range s.Bodies {
		e.Hash(hash)
	}
	for i := range s.Sides {
		e.side(&s.Sides[i])
		e.slot(r.slots[i])
	}
	e.hold(s.Hold)
	return e.B
}

// decodeRecord reads a record; the bodies that it names are nil.
func decodeRecord(b []byte) (*Record, error) {
	d := decoder{}
	d.B = b
	if d.format = d.Byte(); d.format == 0 || d.format > recordFormat {
		return nil, fmt.Errorf("record format %d: %w", d.format, wire.ErrCorrupt)
	}
	s := &resolve.State{}
	s.Key = d.Key()
	d.winner(&s.Winner)
	s.LastID = d.Uint()
	n := d.Count()
	s.Bodies = make(map[proa.Hash]proa.Item, n)
	for range n {
		s.Bodies[d.Hash()] = nil
	}
	r := &Record{State: s, size: len(b)}
	for i := range s.Sides {
		d.side(&s.Sides[i])
		r.slots[i] = d.slot()
	}
	if d.format >= 2 {
		s.Hold = d.hold()
	}
	return r, d.Done("record")
}

func (e *encoder) winner(w *resolve.Winner) {
	e.Version(w.Version)
	e.Version(w.Parent)
	e.Bool(w.Tombstone)
	e.Bool(w.Expired)
	e.Time(w.Origin)
	e.Time(w.Decided)
	e.Uint(uint64(len(w.Of)))
	for _, v := range w.Of {
		e.Version(v)
	}
}

func (d *decoder) winner(w *resolve.Winner) {
	w.Version, w.Parent = d.Version(), d.Version()
	w.Tombstone, w.Expired = d.Bool(), d.Bool()
	w.Origin, w.Decided = d.Time(), d.Time()
	if d.format < 3 {
		return
	}
	for range d.Count() {
		w.Of = append(w.Of, d.Version())
	}
}

func (e *encoder) slot(s slot) {
	e.B = append(e.B, byte(s.kind))
	e.Bool(s.backlog)
	e.Uint(s.due)
	e.Uint(s.seq)
	e.Time(s.origin)
}

func (d *decoder) slot() slot {
	s := slot{kind: slotKind(d.Byte())}
	s.backlog, s.due, s.seq = d.Bool(), d.Uint(), d.Uint()
	s.origin = d.Time()
	return s
}

func (e *encoder) side(sd *resolve.Side) {
	e.Bool(sd.Known)
	e.held(&sd.Feed)
	e.String(string(sd.Position))
	e.Bool(sd.Unpositioned)
	e.Bool(sd.Ahead != nil)
	if sd.Ahead != nil {
		e.held(sd.Ahead)
	}
	e.Uint(sd.AheadBy)
	e.Uint(uint64(sd.LastAssigned))
	e.Uint(uint64(sd.Shown))
	e.Time(sd.Touched)
	e.Uint(uint64(len(sd.Intents)))
	for i := range sd.Intents {
		e.intent(&sd.Intents[i])
	}
	e.Uint(sd.InFlight)
	e.Time(sd.Refused)
	e.Uint(uint64(sd.Attempts))
	e.Time(sd.RetryAt)
	e.Bool(sd.Poison != nil)
	if p := sd.Poison; p != nil {
		e.String(p.Reason)
		e.Image(p.Image)
		e.String(p.ETag)
		e.Time(p.At)
		e.Time(p.Time)
		e.Version(p.Parent)
	}
	e.Bool(sd.Unfit != nil)
	if u := sd.Unfit; u != nil {
		e.Version(u.Version)
		e.String(u.Reason)
		e.Time(u.At)
	}
	e.Bool(sd.Spread)
	e.Time(sd.Read)
	e.Time(sd.Placed)
	e.Version(sd.Judged)
	e.Uint(sd.Landed)
}

func (d *decoder) side(sd *resolve.Side) {
	sd.Known = d.Bool()
	d.held(&sd.Feed)
	sd.Position = proa.Position(d.String())
	sd.Unpositioned = d.Bool()
	if d.Bool() {
		sd.Ahead = &resolve.Held{}
		d.held(sd.Ahead)
	}
	sd.AheadBy = d.Uint()
	sd.LastAssigned, sd.Shown = hlc.Timestamp(d.Uint()), hlc.Timestamp(d.Uint())
	sd.Touched = d.Time()
	sd.Intents = make([]resolve.Intent, d.Count())
	for i := range sd.Intents {
		d.intent(&sd.Intents[i])
	}
	sd.InFlight = d.Uint()
	sd.Refused = d.Time()
	sd.Attempts = int(d.Uint())
	sd.RetryAt = d.Time()
	if d.Bool() {
		sd.Poison = &resolve.Poison{
			Reason: d.String(), Image: d.Image(), ETag: d.String(),
			At: d.Time(), Time: d.Time(), Parent: d.Version(),
		}
	}
	if d.Bool() {
		sd.Unfit = &resolve.Unfit{Version: d.Version(), Reason: d.String(), At: d.Time()}
	}
	if d.format >= 3 {
		sd.Spread = d.Bool()
	}
	if sd.Read = sd.Touched; d.format >= 4 {
		sd.Read = d.Time()
	}
	if sd.Placed = sd.Touched; d.format >= 5 {
		sd.Placed = d.Time()
	}
	if d.format >= 6 {
		sd.Judged, sd.Landed = d.Version(), d.Uint()
	}
}

func (e *encoder) intent(in *resolve.Intent) {
	e.Uint(in.ID)
	e.Version(in.Version)
	e.Bool(in.Purge)
	e.Bool(in.Seen.Exists)
	e.Version(in.Seen.Stored)
	e.Hash(in.Seen.Hash)
	e.Time(in.Sent)
	e.Bool(in.Echoed)
	e.Bool(in.Refused)
	e.Time(in.Over)
}

func (d *decoder) intent(in *resolve.Intent) {
	in.ID, in.Version, in.Purge = d.Uint(), d.Version(), d.Bool()
	in.Seen.Exists, in.Seen.Stored, in.Seen.Hash = d.Bool(), d.Version(), d.Hash()
	in.Sent = d.Time()
	in.Echoed, in.Refused = d.Bool(), d.Bool()
	in.Over = d.Time()
}

func (e *encoder) held(h *resolve.Held) {
	e.Bool(h.Exists)
	e.Version(h.Version)
	e.Envelope(h.Stored)
	e.Hash(h.Hash)
	e.Bool(h.Tombstone)
	e.Bool(h.Gone)
	e.String(h.Malformed)
	e.String(h.ETag)
	e.Bool(h.Lapsed)
}

func (e *encoder) hold(h *resolve.Hold) {
	e.Bool(h != nil)
	if h != nil {
		e.winner(&h.Other)
		e.String(h.Reason)
		e.Time(h.At)
	}
}

func (d *decoder) hold() *resolve.Hold {
	if !d.Bool() {
		return nil
	}
	h := &resolve.Hold{}
	d.winner(&h.Other)
	h.Reason, h.At = d.String(), d.Time()
	return h
}

func (d *decoder) held(h *resolve.Held) {
	h.Exists, h.Version, h.Stored, h.Hash = d.Bool(), d.Version(), d.Envelope(), d.Hash()
	h.Tombstone, h.Gone = d.Bool(), d.Bool()
	h.Malformed, h.ETag = d.String(), d.String()
	if d.format >= 2 {
		h.Lapsed = d.Bool()
	}
}

// bodyKey is where a body is kept, beside its record, so that the many changes of a record do not
// write it again.
func bodyKey(id string, hash proa.Hash) []byte {
	k := make([]byte, 0, 1+len(id)+len(hash))
	k = append(append(k, keyBody), id...)
	return append(k, hash[:]...)
}

// flushBodies writes the bodies that are new and removes those that were let go.
func (tx *Tx) flushBodies(id string, r *Record) error {
	for hash := range r.bodies {
		if r.State != nil && r.State.Bodies[hash] != nil {
			continue
		}
		delete(r.bodies, hash)
		if err := tx.b.Delete(bodyKey(id, hash), nil); err != nil {
			return err
		}
	}
	if r.State == nil {
		return nil
	}
	for hash, body := range r.State.Bodies {
		if r.bodies[hash] > 0 {
			continue
		}
		e := encoder{}
		e.Item(body)
		if r.bodies == nil {
			r.bodies = make(map[proa.Hash]int, 1)
		}
		r.bodies[hash] = len(e.B)
		if err := tx.b.Set(bodyKey(id, hash), e.B, nil); err != nil {
			return err
		}
	}
	return nil
}

// loadBodies reads the bodies that a record names.
func (s *Store) loadBodies(id string, r *Record) error {
	for hash := range r.State.Bodies {
		b, closer, err := s.db.Get(bodyKey(id, hash))
		if err != nil {
			return fmt.Errorf("read body of %q: %w", id, err)
		}
		d := decoder{}
		d.B = b
		r.State.Bodies[hash] = d.Item()
		if r.bodies == nil {
			r.bodies = make(map[proa.Hash]int, 1)
		}
		r.bodies[hash] = len(b)
		if err := errors.Join(d.Done("body"), closer.Close()); err != nil {
			return fmt.Errorf("read body of %q: %w", id, err)
		}
	}
	return nil
}
