package cosmos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/epk"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// containerMeta is what is stored of a container.
type containerMeta struct {
	CID        uint32          `json:"cid"`
	Database   string          `json:"database"`
	ID         string          `json:"id"`
	RID        []byte          `json:"rid"`
	TS         int64           `json:"ts"`
	ETag       string          `json:"etag"`
	Version    uint64          `json:"version"` // of the range map
	NextRange  uint32          `json:"next_range"`
	Ranges     []rangeMeta     `json:"ranges"`
	Properties json.RawMessage `json:"properties"` // as the client wrote them, defaults filled in
	Offer      *offerMeta      `json:"offer,omitempty"`
}

// container is an open container. mu is held for reading by every operation on items and for
// writing by whatever changes the container itself (split, replace, delete), which therefore sees
// no write under way.
type container struct {
	srv *Server
	db  *database

	mu     sync.RWMutex
	gone   bool
	meta   containerMeta
	props  value.Value
	key    keyDefinition
	ttl    *int64 // default time to live, nil: off
	unique [][][]string
	ranges []*partition // in the order of their keys
	bucket bucket
}

// openContainer makes the in-memory form and reads the counters.
func (s *Server) openContainer(m containerMeta) (*container, error) {
	c := &container{srv: s, meta: m}
	if err := c.apply(m); err != nil {
		return nil, fmt.Errorf("open container %q: %w", m.ID, err)
	}
	for _, r := range m.Ranges {
		p := newPartition(r)
		if err := p.load(s.db, m.CID); err != nil {
			return nil, err
		}
		c.ranges = append(c.ranges, p)
	}
	return c, nil
}

// apply reads the definitions out of the properties.
func (c *container) apply(m containerMeta) error {
	props, err := value.Parse(m.Properties)
	if err != nil {
		return err
	}
	key, bad := parseKeyDefinition(props.Get("partitionKey"))
	if bad != nil {
		return bad
	}
	ttl, bad := parseDefaultTTL(props.Get("defaultTtl"))
	if bad != nil {
		return bad
	}
	unique, bad := parseUniqueKeys(props.Get("uniqueKeyPolicy"))
	if bad != nil {
		return bad
	}
	c.meta, c.props, c.key, c.ttl, c.unique = m, props, key, ttl, unique
	return nil
}

const maxTTL = 1<<31 - 1

// parseDefaultTTL reads -1 (on, nothing expires by default), a positive number of seconds, or
// nothing (off).
func parseDefaultTTL(v value.Value) (*int64, *apiError) {
	if v.Kind == value.Undefined || v.Kind == value.Null {
		return nil, nil
	}
	n := int64(v.Num)
	if v.Kind != value.Number || v.Num != float64(n) || n != -1 && (n < 1 || n > maxTTL) {
		return nil, badRequest("The value of 'defaultTtl' specified in the request is invalid. "+
			"Ensure to provide a nonzero positive 'int32' value or -1. Given: %s", v.JSON())
	}
	return &n, nil
}

const maxUniqueKeys = 10

// parseUniqueKeys reads {"uniqueKeys":[{"paths":["/a","/b/c"]}]}.
func parseUniqueKeys(v value.Value) ([][][]string, *apiError) {
	keys := v.Get("uniqueKeys").Items
	if len(keys) > maxUniqueKeys {
		return nil, badRequest("The number of unique keys %d exceeds the maximum of %d.", len(keys),
			maxUniqueKeys)
	}
	var out [][][]string
	for _, k := range keys {
		var paths [][]string
		for _, p := range k.Get("paths").Items {
			parts, ok := parsePath(p.Str)
			if !ok {
				return nil, badRequest("The unique key path '%s' is invalid.", p.Str)
			}
			paths = append(paths, parts)
		}
		if len(paths) == 0 {
			return nil, badRequest("A unique key has no paths.")
		}
		out = append(out, paths)
	}
	return out, nil
}

// partitionOf returns the physical partition of an effective partition key. The caller holds c.mu.
func (c *container) partitionOf(e string) *partition {
	i, found := slices.BinarySearchFunc(c.ranges, e, func(p *partition,
		e string,
	) int {
		return strings.Compare(p.Min, e)
	})
	if !found {
		i--
	}
	return c.ranges[max(i, 0)]
}

// partitionByID returns the physical partition of that id, nil when there is none (any more).
func (c *container) partitionByID(id string) *partition {
	for _, p := range c.ranges {
		if p.name() == id {
			return p
		}
	}
	return nil
}

func (c *container) epkOf(pk partitionKey) string { return epk.Of(c.key.Kind, pk.components) }

func (c *container) rid() string { return ridText(c.meta.RID) }

func (c *container) self() string { return "dbs/" + c.db.RID + "/colls/" + c.rid() + "/" }

// value is the container as GET shows it.
func (c *container) value() value.Value {
	v := c.props.Without("_rid", "_self", "_etag", "_ts", "_docs", "_sprocs", "_triggers", "_udfs",
		"_conflicts")
	members := append(slices.Clone(v.Members),
		value.Member{Name: "_rid", Value: value.OfString(c.rid())},
		value.Member{Name: "_ts", Value: value.OfNumber(float64(c.meta.TS))},
		value.Member{Name: "_self", Value: value.OfString(c.self())},
		value.Member{Name: "_etag", Value: value.OfString(`"` + c.meta.ETag + `"`)})
	for _, child := range []string{"docs", "sprocs", "triggers", "udfs", "conflicts"} {
		members = append(members, value.Member{Name: "_" + child, Value: value.OfString(child + "/")})
	}
	return value.OfObject(members)
}

// save adds the container's record to a batch.
func (c *container) save(b *pebble.Batch, m containerMeta) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return b.Set(key32(prefixContainer, m.CID), text, nil)
}

// initialRanges cuts the key space into n equal physical partitions.
func initialRanges(n int) []rangeMeta {
	out := []rangeMeta{{Min: epk.Min, Max: epk.Max}}
	for len(out) < n {
		// Halve the widest, which is the first of the fewest halvings: breadth first keeps them within a
		// factor of two.
		widest := out[0]
		mid, ok := epk.Middle(widest.Min, widest.Max)
		if !ok {
			break
		}
		out = append(out[1:], rangeMeta{Min: widest.Min, Max: mid}, rangeMeta{Min: mid, Max: widest.Max})
	}
	slices.SortFunc(out, func(a, b rangeMeta) int { return strings.Compare(a.Min, b.Min) })
	for i := range out {
		out[i].ID, out[i].Born = uint32(i), 1
	}
	return out
}
