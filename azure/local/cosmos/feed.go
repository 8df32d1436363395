package cosmos

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// The modes of the change feed, by their A-IM header.
const (
	aimIncremental  = "incremental feed"
	aimFullFidelity = "full-fidelity feed"
)

// feedPage is one page of a change feed.
type feedPage struct {
	items [][]byte
	bytes int
	last  uint64 // LSN of the last record that was looked at
	lsn   uint64 // the position after the page
}

// changeFeed serves GET …/docs with A-IM. It reads one physical partition: the position is an LSN,
// which means something only within one.
func (c *call) changeFeed(col *container) *apiError {
	size, err := c.pageSize()
	if err != nil {
		return err
	}
	if c.header("x-ms-max-item-count") == "" {
		size = maxPage
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	sc, err := c.scope(col)
	if err != nil {
		return err
	}
	if len(sc.parts) != 1 {
		return c.feedOverMany(col, sc)
	}
	p := sc.parts[0]
	full := strings.EqualFold(c.header("A-IM"), aimFullFidelity)
	if !full && !strings.EqualFold(c.header("A-IM"), aimIncremental) {
		return badRequest("The value '%s' of header A-IM is invalid.", c.header("A-IM"))
	}
	if full && c.s.cfg.NoAllVersions {
		return badRequest("All versions and deletes change feed mode needs continuous backups, " +
			"which this account does not have.")
	}
	limit := p.durableLSN()
	from, since, err := c.feedStart(col, p, full, limit)
	if err != nil {
		return err
	}
	page, bad := col.readFeed(sc, p, full, from, limit, since, size)
	if bad != nil {
		return internalError(bad)
	}
	return c.replyFeed(col, p, page)
}

// feedOverMany answers a read that covers several physical partitions.
func (c *call) feedOverMany(col *container, sc *scope) *apiError {
	if len(sc.parts) == 0 {
		return badRequest("The requested range of effective partition keys is empty.")
	}
	if c.header("x-ms-start-epk") != "" || c.header("x-ms-end-epk") != "" {
		// A feed range older than a split: the SDK refreshes its map and asks for the parts.
		return rangeGone(sc.first.name(), col.rid())
	}
	return badRequest("A change feed of a container with %d physical partitions is read by "+
		"partition key range id.", len(sc.parts))
}

func (c *call) replyFeed(col *container, p *partition, page feedPage) *apiError {
	charge := feedCharge(page.bytes)
	col.spend(charge)
	c.sessionHeaders(col, p, p.durableLSN())
	c.w.Header().Set("etag", `"`+strconv.FormatUint(page.lsn, 10)+`"`)
	if len(page.items) == 0 {
		c.w.Header().Set("x-ms-item-count", "0")
		return c.reply(http.StatusNotModified, nil, charge)
	}
	return c.feed(col.rid(), "Documents", page.items, charge)
}

// feedStart works out after which LSN to read, and from which second on.
func (c *call) feedStart(col *container, p *partition, full bool, limit uint64) (from uint64,
	since int64, err *apiError,
) {
	inm := strings.Trim(c.header("If-None-Match"), `"`)
	if inm == "*" {
		return limit, 0, nil
	}
	if inm != "" {
		n, bad := strconv.ParseUint(inm, 10, 64)
		if bad != nil {
			return 0, 0, badRequest("The continuation '%s' in If-None-Match is invalid.", inm)
		}
		if n > limit {
			return 0, 0, badRequest("The continuation '%s' in If-None-Match is beyond the end of the "+
				"change feed: "+
				"it was issued for another container.", inm)
		}
		if full && n < p.trimmedLSN() {
			return 0, 0, retentionGap(n, p.trimmedLSN())
		}
		return n, 0, nil
	}
	if full {
		return 0, 0, badRequest("Change feed in all versions and deletes mode can start only from " +
			"now or from a continuation: " +
			"send If-None-Match.")
	}
	if text := c.header("If-Modified-Since"); text != "" {
		at, bad := parseHTTPTime(text)
		if bad != nil {
			return 0, 0, badRequest("The value '%s' of header If-Modified-Since is invalid.", text)
		}
		since = at.Unix()
	}
	return 0, since, nil
}

func retentionGap(asked, trimmed uint64) *apiError {
	return badRequest("The requested change feed position %d is outside the retention window of "+
		"all versions and deletes mode: "+
		"changes up to %d are gone.", asked, trimmed)
}

// parseHTTPTime reads an HTTP date; azcosmos sends the zone as UTC rather than GMT.
func parseHTTPTime(text string) (time.Time, error) {
	if t, err := http.ParseTime(text); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC1123, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}

// readFeed collects up to size changes with from < LSN <= limit. Changes of one transaction are
// never torn apart, so a page may hold more.
func (c *container) readFeed(sc *scope, p *partition, full bool, from, limit uint64, since int64,
	size int,
) (feedPage, error) {
	page := feedPage{lsn: max(from, limit)}
	if from >= limit {
		return page, nil
	}
	snap := c.srv.db.NewSnapshot()
	defer snap.Close()
	prefix := byte(prefixVersion)
	read := c.latestVersion
	if full {
		prefix, read = prefixFeed, c.anyVersion
	}
	for _, log := range p.lineage() {
		it, err := snap.NewIter(&pebble.IterOptions{
			LowerBound: keyLSN(prefix, c.meta.CID, log, from+1, 0),
			UpperBound: keyLSN(prefix, c.meta.CID, log, limit+1, 0),
		})
		if err != nil {
			return page, err
		}
		full, err := fillPage(&page, it, size, func(lsn uint64, v []byte) ([]byte, error) {
			return read(snap, sc, since, lsn, v)
		})
		if err := errors.Join(err, it.Close()); err != nil {
			return page, err
		}
		if full {
			break
		}
	}
	return page, nil
}

// fillPage adds records until the page is full, and reports whether it is.
func fillPage(page *feedPage, it *pebble.Iterator, size int, read func(uint64, []byte) ([]byte,
	error),
) (bool, error) {
	for ok := it.First(); ok; ok = it.Next() {
		lsn, _ := lsnOf(it.Key())
		if len(page.items) > 0 && lsn != page.last && (len(page.items) >= size ||
			page.bytes >= maxPageBytes) {
			page.lsn = page.last
			return true, nil
		}
		item, err := read(lsn, it.Value())
		if err != nil {
			return false, err
		}
		page.last = lsn
		if item != nil {
			page.items = append(page.items, item)
			page.bytes += len(item)
		}
	}
	return false, nil
}

// latestVersion turns an index entry into the document, with its _lsn. A document that has expired
// is not shown.
func (c *container) latestVersion(snap *pebble.Snapshot, sc *scope, since int64, lsn uint64,
	v []byte,
) ([]byte, error) {
	key := string(v)
	if !sc.has(key) {
		return nil, nil
	}
	b, closer, err := snap.Get(keyDocument(c.meta.CID, key))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	rec, err := decodeRecord(b)
	if err != nil || rec.TS < since || expired(rec, c.srv.cfg.Clock().Unix()) {
		return nil, err
	}
	return withLSN(rec.Body, lsn), nil
}

// withLSN adds "_lsn" as the last property.
func withLSN(body []byte, lsn uint64) []byte {
	out := append(bytes.TrimSuffix(bytes.Clone(body), []byte{'}'}), `,"_lsn":`...)
	return append(strconv.AppendUint(out, lsn, 10), '}')
}

// anyVersion turns a log record into the wire format 2021-09-15: {current, previous, metadata}.
// Source: https://learn.microsoft.com/azure/cosmos-db/change-feed-modes (parse the response object)
func (c *container) anyVersion(_ *pebble.Snapshot, sc *scope, _ int64, lsn uint64,
	v []byte,
) ([]byte, error) {
	ch, err := decodeChange(v)
	if err != nil || !sc.has(ch.DocKey) {
		return nil, err
	}
	num := func(n uint64) value.Value { return value.OfNumber(float64(n)) }
	meta := []value.Member{
		{Name: "operationType", Value: value.OfString(ch.name())},
		{Name: "lsn", Value: num(lsn)},
		{Name: "crts", Value: value.OfNumber(float64(ch.TS))},
	}
	if ch.Op != opCreate {
		meta = append(meta, value.Member{Name: "previousImageLSN", Value: num(ch.Previous)})
	}
	if ch.Op == opDelete {
		pk, id, err := c.deletedKey(ch.DocKey)
		if err != nil {
			return nil, err
		}
		meta = append(meta, value.Member{Name: "timeToLiveExpired", Value: value.OfBool(ch.Expired)},
			value.Member{Name: "id", Value: value.OfString(id)}, value.Member{
				Name:  "partitionKey",
				Value: pk,
			})
	}
	out := append([]byte(`{"current":`), orEmpty(ch.Current)...)
	if len(ch.Before) > 0 {
		out = append(append(out, `,"previous":`...), ch.Before...)
	}
	out = append(out, `,"metadata":`...)
	return append(value.AppendJSON(out, value.OfObject(meta)), '}'), nil
}

func orEmpty(body []byte) []byte {
	if len(body) == 0 {
		return []byte("{}")
	}
	return body
}

func (c *change) name() string {
	switch c.Op {
	case opCreate:
		return "create"
	case opDelete:
		return "delete"
	}
	return "replace"
}

// deletedKey is the partition key of a deleted document, as an object from property name to value,
// and its id.
func (c *container) deletedKey(key string) (value.Value, string, error) {
	_, pk, id := splitDocKey(key)
	components, err := value.Parse([]byte(pk))
	if err != nil {
		return value.Value{}, "", err
	}
	var members []value.Member
	for i, path := range c.key.parsed {
		v := components.At(i)
		if v.Kind == value.Object {
			continue // undefined
		}
		members = append(members, value.Member{Name: path[len(path)-1], Value: v})
	}
	return value.OfObject(members), id, nil
}
