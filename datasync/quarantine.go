package datasync

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Why a key is quarantined.
const (
	QuarantinePoison = "poison" // a stored state cannot be judged
	QuarantineUnfit  = "unfit"  // the winner cannot be stored at a side
	QuarantineHeld   = "held"   // a conflict waits for an operator: `proa conflicts settle`
	QuarantineFeed   = "feed"   // a change of a feed cannot be read
)

// Quarantined is one key, or one change of a feed, that waits for an operator. A key also leaves
// quarantine by a newer write.
type Quarantined struct {
	ID     uint64      `json:"id,omitempty"` // of a change of a feed
	Table  string      `json:"table"`
	Key    proa.Item   `json:"key,omitempty"`
	Region proa.Region `json:"region"` // where the trouble is
	Kind   string      `json:"kind"`
	Reason string      `json:"reason"`
	At     time.Time   `json:"at"`
	// Winner is what both sides are to hold, Sides what each was last seen to hold.
	Winner QuarantinedImage                 `json:"winner"`
	Sides  map[proa.Region]QuarantinedImage `json:"sides,omitempty"`
	// Redacted names attributes that a residency rule keeps out of listings.
	Redacted []string `json:"redacted,omitempty"`
}

// QuarantinedImage is one state in full, as far as its content is at hand.
type QuarantinedImage struct {
	Version   proa.Version `json:"version,omitzero"`
	Deleted   bool         `json:"deleted,omitempty"`
	Item      proa.Item    `json:"item,omitempty"`
	Missing   bool         `json:"missing,omitempty"` // its content is not at hand
	Malformed string       `json:"malformed,omitempty"`
}

// Quarantine lists up to limit keys and changes that wait for an operator.
func (s *Service) Quarantine(limit int) (list []Quarantined, total int, err error) {
	for _, t := range s.tables() {
		seen := map[string]bool{}
		for _, side := range proa.Regions() {
			err := s.store.Parked(t.schema.Table, side, func(key proa.Key) bool {
				if id := key.ID(); !seen[id] {
					seen[id] = true
					if len(list) < limit {
						list = append(list, Quarantined{Table: key.Table, Key: t.schema.Attributes(key)})
					}
				}
				return true
			})
			if err != nil {
				return nil, 0, err
			}
		}
		total += len(seen)
	}
	kept := list[:0]
	for _, q := range list {
		t := s.table(q.Table)
		key, err := t.schema.KeyOf(q.Key)
		if err != nil {
			return nil, 0, err
		}
		full, err := t.quarantined(key)
		if err != nil {
			return nil, 0, err
		}
		if full != nil {
			kept = append(kept, *full)
		}
	}
	malformed, err := s.store.MalformedChanges()
	if err != nil {
		return nil, 0, err
	}
	for _, m := range malformed {
		if len(kept) < limit {
			kept = append(kept, s.malformed(m))
		}
	}
	return kept, total + len(malformed), nil
}

func (s *Service) malformed(m shadow.Malformed) Quarantined {
	q := Quarantined{
		ID: m.ID, Table: m.Table, Region: m.Region, Kind: QuarantineFeed, Reason: m.Reason, At: m.At,
		Sides: map[proa.Region]QuarantinedImage{m.Region: {Item: m.New, Deleted: m.New == nil}},
	}
	if t := s.table(m.Table); t != nil {
		img := q.Sides[m.Region]
		img.Item, q.Redacted = t.stays.Logged(img.Item)
		q.Sides[m.Region] = img
	}
	return q
}

// QuarantinedKey describes one key; proa.ErrNotFound where it is not quarantined.
func (s *Service) QuarantinedKey(key proa.Key) (Quarantined, error) {
	t := s.table(key.Table)
	if t == nil {
		return Quarantined{}, fmt.Errorf("quarantine: table %q: %w", key.Table, proa.ErrNotFound)
	}
	q, err := t.quarantined(key)
	if err == nil && q == nil {
		err = fmt.Errorf("quarantine: %s is not in it: %w", t.keyText(key), proa.ErrNotFound)
	}
	if err != nil {
		return Quarantined{}, err
	}
	return *q, nil
}

// quarantined describes a key; nil where it is not quarantined.
func (t *table) quarantined(key proa.Key) (*Quarantined, error) {
	st, err := t.store.State(key)
	if err != nil || st == nil {
		return nil, err
	}
	q := &Quarantined{
		Table: key.Table, Sides: map[proa.Region]QuarantinedImage{},
		Winner: QuarantinedImage{Version: st.Winner.Version, Deleted: st.Winner.Tombstone},
	}
	q.Winner.fill(st, st.Winner.Version.Hash)
	for _, r := range proa.Regions() {
		sd := st.At(r)
		h := sd.Current()
		img := QuarantinedImage{
			Version: h.Version, Deleted: !h.Exists || h.Tombstone, Malformed: h.Malformed,
		}
		img.fill(st, h.Hash)
		if p := sd.Poison; p != nil {
			q.Region, q.Kind, q.Reason, q.At = r, QuarantinePoison, p.Reason, p.At
			img = QuarantinedImage{
				Item: p.Image.Item, Malformed: p.Image.Malformed, Deleted: !p.Image.Exists(),
			}
			if p.Image.Envelope != nil {
				img.Version = p.Image.Envelope.Version
			}
		}
		if u := sd.Unfit; u != nil && u.Version == st.Winner.Version && q.Kind == "" {
			q.Region, q.Kind, q.Reason, q.At = r, QuarantineUnfit, u.Reason, u.At
		}
		q.Sides[r] = img
	}
	if h := st.Hold; h != nil && q.Kind == "" {
		q.Region, q.Kind, q.Reason, q.At = h.Other.Version.Region, QuarantineHeld, h.Reason, h.At
	}
	if q.Kind == "" {
		return nil, nil
	}
	q.Key, q.Redacted = t.stays.Logged(t.schema.Attributes(key))
	t.redact(q)
	return q, nil
}

func (i *QuarantinedImage) fill(st *resolve.State, hash proa.Hash) {
	if i.Deleted {
		return
	}
	body, ok := st.Bodies[hash]
	i.Item, i.Missing = body, !ok
}

func (t *table) redact(q *Quarantined) {
	q.Winner.Item, _ = t.stays.Logged(q.Winner.Item)
	for r, img := range q.Sides {
		kept, left := t.stays.Logged(img.Item)
		img.Item = kept
		q.Sides[r] = img
		if len(left) > len(q.Redacted) {
			q.Redacted = left
		}
	}
}

// DropMalformed forgets a change of a feed that could not be read.
func (s *Service) DropMalformed(id uint64) error { return s.store.ForgetMalformed(id) }

// RetryAll judges every quarantined key of a table anew and returns how many there were. Held
// conflicts stay: they are settled.
func (s *Service) RetryAll(name string) (int, error) {
	t := s.table(name)
	if t == nil {
		return 0, fmt.Errorf("retry: table %q: %w", name, proa.ErrNotFound)
	}
	seen := map[string]bool{}
	var keys []proa.Key
	for _, side := range proa.Regions() {
		err := s.store.Parked(name, side, func(key proa.Key) bool {
			if id := key.ID(); !seen[id] {
				seen[id] = true
				keys = append(keys, key)
			}
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), captureChunk)
		if err := t.retry(keys[:n]); err != nil {
			return 0, err
		}
		keys = keys[n:]
	}
	return len(seen), nil
}

// maxPosition bounds a feed's position in digits.
const maxPosition = 128

// unreadable says why a change cannot be judged at all, "" when it can. What can be judged but not
// trusted is quarantined by key (package resolve).
func (t *table) unreadable(c *proa.Change) string {
	switch {
	case c.New.Malformed != "" && (!c.New.Exists() || c.Key.Hash.Kind == proa.KindNone):
		return c.New.Malformed
	case c.Key.Table != t.schema.Table:
		return fmt.Sprintf("it is of table %.80q", c.Key.Table)
	case c.Key.Hash.Kind != t.schema.HashKind:
		return fmt.Sprintf("its key %s is %q, not %s", t.schema.HashName, c.Key.Hash.Kind, t.schema.HashKind)
	case c.Key.Range.Kind != t.schema.RangeKind && t.schema.RangeName != "",
		c.Key.Range.Kind != proa.KindNone && t.schema.RangeName == "":
		return fmt.Sprintf("its range key is %q", c.Key.Range.Kind)
	case c.Position == "" || len(c.Position) > maxPosition ||
		strings.Trim(string(c.Position), "0123456789") != "":
		return fmt.Sprintf("its position %.40q is not a number", string(c.Position))
	}
	if !c.New.Exists() {
		return ""
	}
	s := &t.schema
	if !c.New.Item[s.HashName].Equal(c.Key.Hash) ||
		s.RangeName != "" && !c.New.Item[s.RangeName].Equal(c.Key.Range) {
		return "its content is of another key"
	}
	return ""
}

// setAside keeps a change that cannot be judged.
func (t *table) setAside(tx *shadow.Tx, region proa.Region, c *proa.Change, why string) error {
	t.m.malformed.Add(1)
	m := shadow.Malformed{
		Region: region, Table: t.schema.Table, Position: c.Position, At: t.clock.now(), Reason: why,
		New: c.New.Item,
	}
	if len(m.Position) > maxPosition {
		m.Position = m.Position[:maxPosition]
	}
	if c.Old != nil {
		m.Old = c.Old.Item
	}
	m.New, _ = t.stays.Logged(m.New)
	m.Old, _ = t.stays.Logged(m.Old)
	t.log.Warn("a change cannot be judged", "region", region, "position", m.Position, "reason", why)
	return tx.Malformed(m)
}
