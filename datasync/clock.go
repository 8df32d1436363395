package datasync

import (
	"sync"
	"time"
)

// clock makes the given clock strictly rising, so that "before" and "after" are decided whatever it
// does.
type clock struct {
	read func() time.Time
	mu   sync.Mutex
	last time.Time
}

func (c *clock) now() time.Time {
	t := c.read().UTC().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.After(c.last) {
		t = c.last.Add(time.Nanosecond)
	}
	c.last = t
	return t
}
