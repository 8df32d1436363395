package fake

import (
	"maps"
	"strconv"
)

// Save keeps what is stored, as a backup does. restore puts it back as a restore does: in place, with
// new tokens, and without an event.
func (t *Table) Save() (restore func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	saved := maps.Clone(t.rows)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.rows, t.ids = maps.Clone(saved), nil
		for id, r := range t.rows {
			if t.Cosmos && r.item != nil {
				t.nextID++
				r.etag = strconv.Itoa(t.nextID)
				t.rows[id] = r
			}
		}
	}
}
