package fake

import (
	"maps"
	"strconv"
)

// Save keeps what is stored, as a backup does. restore puts it back as a restore does: with
// new tokens, without an event, and in a feed that counts from one again.
func (t *Table) Save() (restore func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	saved := maps.Clone(t.rows)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.rows, t.ids, t.base = maps.Clone(saved), nil, len(t.events)
		for id, r := range t.rows {
			if t.Cosmos && r.item != nil {
				t.nextID++
				r.etag = strconv.Itoa(t.nextID)
				t.rows[id] = r
			}
		}
	}
}
