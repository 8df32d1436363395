package cosmos

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/epk"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// partitionRanges serves …/pkranges: the physical partitions that appeared after the version in
// If-None-Match, or 304 when there are none.
func (c *call) partitionRanges(col *container) *apiError {
	if c.r.Method != http.MethodGet {
		return methodNotAllowed()
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	var after uint64
	if text := strings.Trim(c.header("If-None-Match"), `"`); text != "" && text != "*" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return badRequest("The If-None-Match of a partition key range feed is invalid.")
		}
		after = n
	}
	var newest uint64
	var items [][]byte
	for _, p := range col.ranges {
		newest = max(newest, p.Born)
		if p.Born > after {
			items = append(items, col.rangeValue(p).JSON())
		}
	}
	c.w.Header().Set("etag", `"`+strconv.FormatUint(newest, 10)+`"`)
	if len(items) == 0 && c.header("If-None-Match") != "" {
		return c.reply(http.StatusNotModified, nil, metadataCharge)
	}
	return c.feed(col.rid(), "PartitionKeyRanges", items, metadataCharge)
}

func (c *container) rangeValue(p *partition) value.Value {
	rid := ridChild(c.meta.RID, uint64(p.ID)+2, 5)
	parents := make([]value.Value, len(p.Parents))
	for i, id := range p.Parents {
		parents[i] = value.OfString(strconv.FormatUint(uint64(id), 10))
	}
	etag := metaETag(c.meta.CID, uint32(p.Born), c.meta.TS)
	return value.OfObject([]value.Member{
		{Name: "_rid", Value: value.OfString(rid)},
		{Name: "id", Value: value.OfString(p.name())},
		{Name: "_etag", Value: value.OfString(`"` + etag + `"`)},
		{Name: "minInclusive", Value: value.OfString(p.Min)},
		{Name: "maxExclusive", Value: value.OfString(p.Max)},
		{Name: "ridPrefix", Value: value.OfNumber(float64(p.ID))},
		{Name: "_self", Value: value.OfString(c.self() + "pkranges/" + rid + "/")},
		{Name: "throughputFraction", Value: value.OfNumber(1 / float64(len(c.ranges)))},
		{Name: "status", Value: value.OfString("online")},
		{Name: "parents", Value: value.OfArray(parents)},
		{Name: "_ts", Value: value.OfNumber(float64(c.meta.TS))},
		{Name: "lsn", Value: value.OfNumber(float64(p.durableLSN()))},
	})
}

// SplitRange splits a physical partition in two at the middle of its key range, as the service does
// when one grows. The old id is gone (410, substatus 1002); change feed positions of the old
// partition go on to be valid in both new ones. "" splits the first one. Containers with version 1
// keys cannot be split here.
func (s *Server) SplitRange(db, containerID, rangeID string) error {
	col := s.findContainer(db, containerID)
	if col == nil {
		return fmt.Errorf("split %s/%s: %w", db, containerID, notFound())
	}
	col.mu.Lock()
	defer col.mu.Unlock()
	i := slices.IndexFunc(col.ranges, func(p *partition) bool {
		return rangeID == "" ||
			p.name() == rangeID
	})
	if i < 0 || col.gone {
		return fmt.Errorf("split %s/%s: %w", db, containerID, rangeGone(rangeID, col.rid()))
	}
	if col.key.Kind == epk.HashV1 {
		return fmt.Errorf("split %s/%s: a container with partition key version 1 stays in one piece", db,
			containerID)
	}
	return col.split(i)
}

func (s *Server) findContainer(db, id string) *container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d, ok := s.databases[db]; ok {
		return d.containers[id]
	}
	return nil
}

// split replaces partition i by two children that continue its log. The caller holds c.mu for
// writing, so no write is under way.
func (c *container) split(i int) error {
	parent := c.ranges[i]
	mid, ok := epk.Middle(parent.Min, parent.Max)
	if !ok {
		return fmt.Errorf("partition %s is too narrow to split", parent.name())
	}
	m := c.meta
	m.Version++
	children := make([]*partition, 2)
	for j, bounds := range [][2]string{{parent.Min, mid}, {mid, parent.Max}} {
		child := newPartition(rangeMeta{
			ID: m.NextRange, Min: bounds[0], Max: bounds[1], Born: m.Version,
			Parents: append(slices.Clone(parent.Parents), parent.ID),
		})
		child.lsn, child.durable, child.trimmed = parent.lsn, parent.lsn, parent.trimmed
		children[j] = child
		m.NextRange++
	}
	ranges := slices.Replace(slices.Clone(c.ranges), i, i+1, children...)
	m.Ranges = nil
	for _, p := range ranges {
		m.Ranges = append(m.Ranges, p.rangeMeta)
	}
	b := c.srv.db.NewBatch()
	defer b.Close()
	for _, p := range children {
		if err := b.Set(keyRange(prefixCounters, m.CID, p.ID), encodeCounters(p.lsn, 0, p.trimmed),
			nil); err != nil {
			return err
		}
	}
	if err := c.save(b, m); err != nil {
		return err
	}
	if err := b.Commit(store.Sync); err != nil {
		return err
	}
	c.meta, c.ranges = m, ranges
	return nil
}
