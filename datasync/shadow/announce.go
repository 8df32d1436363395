package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/hlc"
)

// announced is what is kept in memory of outstanding announcements: their stamps by target. Bodies
// are on disk.
type announced struct {
	stamps map[string][]outstanding
	n      int
}

type outstanding struct {
	stamp   hlc.Timestamp
	deleted bool
	etag    string // of an object
}

// announcedKey is region, target, 0, stamp: the announcements of one key in order.
func announcedKey(region proa.Region, target string, stamp hlc.Timestamp) []byte {
	return append(announcedPrefix(region, target), stamp.String()...)
}

func announcedPrefix(region proa.Region, target string) []byte {
	k := []byte{keyAnnounced, byte('0' + resolve.Index(region))}
	return append(append(k, target...), 0)
}

// stampLen is the length of an announced key's end: a zero and 16 digits.
const stampLen = 17

func stampOf(a proa.Announcement) hlc.Timestamp {
	if !a.Version.IsZero() {
		return a.Version.Time
	}
	return hlc.At(a.At)
}

// Announce keeps an acknowledged write of an item (key) or of an object until the region's feed
// shows it. Where the feed has done so already, or past the bound on announcements, which counts,
// nothing is kept.
func (tx *Tx) Announce(key proa.Key, a proa.Announcement) error {
	target := journal.ObjectID(a.Bucket, a.Object)
	if a.Bucket == "" {
		target = key.ID()
		r, err := tx.s.record(target)
		if err != nil {
			return err
		}
		if r != nil && shown(r.State.At(a.Region), a) {
			return nil
		}
	}
	known := &tx.s.announced[resolve.Index(a.Region)]
	entry := outstanding{stampOf(a), a.Deleted, a.ETag}
	if slices.Contains(known.stamps[target], entry) {
		return nil
	}
	if known.n >= tx.s.limits.Announcements {
		tx.adds["announcements_dropped"]++
		return nil
	}
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	known.add(target, entry)
	return tx.b.Set(announcedKey(a.Region, target, stampOf(a)), body, nil)
}

// shown reports whether the feed has shown an announced write, or a later one.
func shown(sd *resolve.Side, a proa.Announcement) bool {
	return sd.Shown >= stampOf(a) || a.Deleted && sd.Known && !sd.Feed.Exists &&
		sd.LastAssigned >= stampOf(a)-removalSpan
}

// removalSpan is how far a removal's time may be behind the stamp that its writer announced: a
// removal carries no stamp, and its time is a second's beginning.
const removalSpan = hlc.Timestamp(3000 << 16)

func (an *announced) add(target string, entry outstanding) {
	if an.stamps == nil {
		an.stamps = map[string][]outstanding{}
	}
	an.stamps[target] = append(an.stamps[target], entry)
	an.n++
}

// Shown settles what was announced of a target in a region up to a stamp; a removal settles
// announced removals of about its time.
func (tx *Tx) Shown(
	region proa.Region, target string, stamp hlc.Timestamp, removed time.Time,
) error {
	return tx.settle(region, target, func(o outstanding) bool {
		return o.stamp <= stamp || o.deleted && !removed.IsZero() &&
			o.stamp <= hlc.At(removed)+removalSpan
	})
}

// ShownObject settles what was announced of an object under an ETag, "" for its removal.
func (tx *Tx) ShownObject(region proa.Region, bucket, name, etag string) error {
	return tx.settle(region, journal.ObjectID(bucket, name),
		func(o outstanding) bool { return o.etag == etag })
}

// ShownObjects settles what was announced of a bucket's objects before a time: a complete listing
// that began later has shown it all.
func (tx *Tx) ShownObjects(region proa.Region, bucket string, before time.Time) error {
	prefix, stamp := journal.ObjectID(bucket, ""), hlc.At(before)
	prefix = prefix[:len(prefix)-len("0:")]
	for target := range tx.s.announced[resolve.Index(region)].stamps {
		if !strings.HasPrefix(target, prefix) {
			continue
		}
		if err := tx.settle(region, target,
			func(o outstanding) bool { return o.stamp <= stamp }); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) settle(region proa.Region, target string, over func(outstanding) bool) error {
	known := &tx.s.announced[resolve.Index(region)]
	stamps, ok := known.stamps[target]
	if !ok {
		return nil
	}
	left := stamps[:0]
	for _, s := range stamps {
		if !over(s) {
			left = append(left, s)
			continue
		}
		known.n--
		if err := tx.b.Delete(announcedKey(region, target, s.stamp), nil); err != nil {
			return err
		}
	}
	if len(left) == 0 {
		delete(known.stamps, target)
	} else {
		known.stamps[target] = left
	}
	return nil
}

// Announced returns how many announced writes of a region its feed has not shown, and up to limit
// of them in order of key.
func (s *Store) Announced(region proa.Region, limit int) (int, []proa.Announcement, error) {
	s.mu.Lock()
	n := s.announced[resolve.Index(region)].n
	s.mu.Unlock()
	var out []proa.Announcement
	if n == 0 || limit <= 0 {
		return n, nil, nil
	}
	err := s.scanAnnounced([]byte{keyAnnounced, byte('0' + resolve.Index(region))},
		func(_ []byte, a proa.Announcement) bool {
			out = append(out, a)
			return len(out) < limit
		})
	return n, out, err
}

func (s *Store) scanAnnounced(prefix []byte, fn func(key []byte, a proa.Announcement) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)})
	if err != nil {
		return fmt.Errorf("read announcements: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		var a proa.Announcement
		if err := json.Unmarshal(it.Value(), &a); err != nil {
			return errors.Join(fmt.Errorf("read announcements: %w", err), it.Close())
		}
		if !fn(it.Key(), a) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// TrimAnnounced drops announcements made before a time and counts them.
func (tx *Tx) TrimAnnounced(before time.Time) error {
	for i, region := range proa.Regions() {
		var old [][]byte
		err := tx.s.scanAnnounced([]byte{keyAnnounced, byte('0' + i)},
			func(k []byte, a proa.Announcement) bool {
				if a.At.Before(before) {
					old = append(old, bytes.Clone(k))
				}
				return len(old) < 10_000
			})
		if err != nil {
			return err
		}
		for _, k := range old {
			stamp, err := hlc.Parse(string(k[len(k)-stampLen+1:]))
			if err != nil {
				return fmt.Errorf("trim announcements: %w", err)
			}
			tx.adds["announcements_dropped"]++
			if err := tx.forgetAnnounced(region, string(k[2:len(k)-stampLen]), stamp); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tx *Tx) forgetAnnounced(region proa.Region, target string, stamp hlc.Timestamp) error {
	known := &tx.s.announced[resolve.Index(region)]
	stamps := known.stamps[target]
	if i := slices.IndexFunc(stamps, func(o outstanding) bool { return o.stamp == stamp }); i >= 0 {
		known.stamps[target] = slices.Delete(stamps, i, i+1)
		known.n--
	}
	if len(known.stamps[target]) == 0 {
		delete(known.stamps, target)
	}
	return tx.b.Delete(announcedKey(region, target, stamp), nil)
}

func (s *Store) loadAnnounced() error {
	for i := range s.announced {
		err := s.scanAnnounced([]byte{keyAnnounced, byte('0' + i)},
			func(k []byte, a proa.Announcement) bool {
				s.announced[i].add(string(k[2:len(k)-stampLen]), outstanding{stampOf(a), a.Deleted, a.ETag})
				return true
			})
		if err != nil {
			return err
		}
	}
	return nil
}
