package shadow

// cache keeps records in memory up to a number of bytes, in two generations: when the young one is
// full it becomes the old one, and what is read again from the old one moves back. It is not safe
// for concurrent use.
type cache struct {
	limit      int
	young, old map[string]*Record
	bytes      int // of young
}

// overhead is what a record costs in memory beside its encoding's size.
const overhead = 512

func (r *Record) cost() int {
	n := 2*r.size + overhead
	for _, size := range r.bodies {
		n += 2 * size
	}
	return n
}

func (c *cache) get(id string) *Record {
	if r, ok := c.young[id]; ok {
		return r
	}
	r, ok := c.old[id]
	if !ok {
		return nil
	}
	delete(c.old, id)
	c.put(id, r)
	return r
}

func (c *cache) put(id string, r *Record) {
	if c.young == nil || c.bytes > c.limit/2 {
		c.old, c.young, c.bytes = c.young, make(map[string]*Record), 0
	}
	if _, ok := c.young[id]; !ok {
		c.bytes += r.cost()
	}
	c.young[id] = r
	delete(c.old, id)
}

func (c *cache) drop(id string) {
	delete(c.young, id)
	delete(c.old, id)
}
