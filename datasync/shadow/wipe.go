package shadow

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Wipe forgets everything that was known of keys and objects: states, contents, queues, and the
// checkpoints whose names begin with one of the prefixes. The log, the journal, the announcements and
// what was set aside stay. It is one durable batch; mark is the last thing in it. Nothing else may
// use the store's states meanwhile.
func (s *Store) Wipe(prefixes []string, mark func(tx *Tx) error) error {
	err := s.Commit(func(tx *Tx) error {
		for _, p := range []byte{
			keyRecord, keyBody, keyReady, keyDelayed, keyInFlight, keyParked, keyObject, keyScratch,
		} {
			if err := tx.deletePrefix([]byte{p}); err != nil {
				return err
			}
		}
		for _, p := range prefixes {
			if err := tx.deletePrefix(append([]byte{keyCheckpoint}, p...)); err != nil {
				return err
			}
		}
		for name, n := range s.counts {
			if strings.HasPrefix(name, "keys/") {
				tx.adds[name] = -n
			}
		}
		s.cache.young, s.cache.old, s.cache.bytes = nil, nil, 0
		s.queues, s.digests = map[queueName]*queue{}, digests{}
		return mark(tx)
	})
	if err != nil {
		return fmt.Errorf("wipe shadow: %w", err)
	}
	return nil
}

func (tx *Tx) deletePrefix(prefix []byte) error {
	end := upper(prefix)
	if end == nil {
		return errors.New("no end of prefix")
	}
	return tx.b.DeleteRange(prefix, end, (*pebble.WriteOptions)(nil))
}
