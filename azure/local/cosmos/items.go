package cosmos

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// documents serves …/docs: create, upsert, query, batch, list and change feed.
func (c *call) documents(col *container) *apiError {
	switch c.r.Method {
	case http.MethodGet:
		if c.header("A-IM") != "" {
			return c.changeFeed(col)
		}
		return c.listDocuments(col)
	case http.MethodPost:
		switch {
		case c.flag("x-ms-cosmos-is-query-plan-request"):
			return c.queryPlan(col)
		case c.isQuery():
			return c.query(col)
		case c.flag("x-ms-cosmos-is-batch-request"):
			return c.batch(col)
		}
		return c.create(col)
	}
	return methodNotAllowed()
}

// create serves creates and upserts.
func (c *call) create(col *container) *apiError {
	doc, err := c.json()
	if err != nil {
		return err
	}
	o := op{Kind: "Create", Doc: doc}
	if c.flag("x-ms-documentdb-is-upsert") {
		o.Kind = "Upsert"
	}
	return c.write(col, o)
}

// document serves …/docs/{id}.
func (c *call) document(col *container, id string) *apiError {
	if err := checkItemID(value.OfString(id)); err != nil {
		return err
	}
	o := op{ID: id}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return c.readDocument(col, id)
	case http.MethodPut:
		doc, err := c.json()
		if err != nil {
			return err
		}
		o.Kind, o.Doc = "Replace", doc
	case http.MethodPatch:
		v, err := c.json()
		if err != nil {
			return err
		}
		if o.Patch, err = parsePatch(v); err != nil {
			return err
		}
		o.Kind = "Patch"
	case http.MethodDelete:
		o.Kind = "Delete"
	default:
		return methodNotAllowed()
	}
	return c.write(col, o)
}

// itemKey reads the partition key header, which an operation on one item needs in full.
func (c *call) itemKey(col *container) (partitionKey, *apiError) {
	text := c.header("x-ms-documentdb-partitionkey")
	if text == "" {
		return partitionKey{}, badRequest("PartitionKey value must be supplied for this operation.")
	}
	pk, err := parseKeyHeader(text)
	if err != nil {
		return pk, err
	}
	return pk, col.key.check(pk, false)
}

// write runs one write and answers with its outcome.
func (c *call) write(col *container, o op) *apiError {
	pk, err := c.itemKey(col)
	if err != nil {
		return err
	}
	o.IfMatch, o.IfNoneMatch = c.header("If-Match"), c.header("If-None-Match")
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	p := col.partitionOf(col.epkOf(pk))
	var res result
	lsn, err := col.commit(p, func(t *txn) *apiError {
		var err *apiError
		res, err = t.run(o, pk)
		return err
	})
	if err != nil {
		err.Charge = createCharge / 4
		col.spend(err.Charge)
		return err
	}
	col.spend(res.Charge)
	c.sessionHeaders(col, p, lsn)
	if res.Rec == nil {
		return c.reply(res.Status, nil, res.Charge)
	}
	c.w.Header().Set("etag", `"`+res.Rec.ETag+`"`)
	if strings.EqualFold(c.header("Prefer"), "return=minimal") {
		return c.reply(res.Status, nil, res.Charge)
	}
	return c.reply(res.Status, res.Rec.Body, res.Charge)
}

func (c *call) readDocument(col *container, id string) *apiError {
	pk, err := c.itemKey(col)
	if err != nil {
		return err
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	e := col.epkOf(pk)
	p := col.partitionOf(e)
	rec, bad := col.read(docKey(e, pk, id))
	if bad != nil {
		return internalError(bad)
	}
	if rec == nil || expired(rec, c.s.cfg.Clock().Unix()) {
		// The absence may be a delete that is not durable yet.
		p.waitDurable(p.appliedLSN())
		err := notFound()
		err.Charge = metadataCharge
		c.sessionHeaders(col, p, p.durableLSN())
		return err
	}
	if rec.Range == p.ID {
		p.waitDurable(rec.LSN)
	}
	charge := readCharge(len(rec.Body))
	col.spend(charge)
	c.sessionHeaders(col, p, p.durableLSN())
	h := c.w.Header()
	h.Set("etag", `"`+rec.ETag+`"`)
	h.Set("x-ms-item-lsn", strconv.FormatUint(rec.LSN, 10))
	if inm := c.header("If-None-Match"); inm != "" && (inm == "*" || sameETag(inm, rec.ETag)) {
		return c.reply(http.StatusNotModified, nil, charge)
	}
	return c.reply(http.StatusOK, rec.Body, charge)
}

// listDocuments serves the read feed: every document, in key order, page by page.
func (c *call) listDocuments(col *container) *apiError {
	size, err := c.pageSize()
	if err != nil {
		return err
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
	cursor, err := parseCursor(c.header("x-ms-continuation"), col)
	if err != nil {
		return err
	}
	var items [][]byte
	total := 0
	next := ""
	bad := col.scan(sc, cursor.Key, func(key string, rec *record) (bool, error) {
		if len(items) >= size || total+len(rec.Body) > maxPageBytes && len(items) > 0 {
			next = key
			return false, nil
		}
		items, total = append(items, rec.Body), total+len(rec.Body)
		return true, nil
	})
	if bad != nil {
		return internalError(bad)
	}
	if next != "" {
		c.w.Header().Set("x-ms-continuation", queryCursor{Key: next, RID: col.rid()}.String())
	}
	charge := queryCharge(len(items), total)
	col.spend(charge)
	c.sessionHeaders(col, sc.first, sc.first.durableLSN())
	return c.feed(col.rid(), "Documents", items, charge)
}

// maxPageBytes bounds the items of one page. Source:
// https://learn.microsoft.com/azure/cosmos-db/concepts-limits
const maxPageBytes = 4 << 20

// scope is the part of a container that a request reads.
type scope struct {
	first *partition
	parts []*partition
	min   string // effective partition keys from min
	max   string // to before max
	pk    string // canonical key, or its beginning; "" for any
	exact bool   // pk is whole
}

func (s *scope) has(key string) bool {
	e, pk, _ := splitDocKey(key)
	switch {
	case e < s.min || s.max != "" && e >= s.max:
		return false
	case s.pk == "":
		return true
	case s.exact:
		return pk == s.pk
	}
	return strings.HasPrefix(pk, s.pk)
}

// scope reads the headers that narrow a read: partition key, physical partition, range of effective
// keys.
func (c *call) scope(col *container) (*scope, *apiError) {
	sc := &scope{max: "FF"}
	if text := c.header("x-ms-documentdb-partitionkey"); text != "" {
		pk, err := parseKeyHeader(text)
		if err != nil {
			return nil, err
		}
		if err := col.key.check(pk, col.key.multi); err != nil {
			return nil, err
		}
		col.narrow(sc, pk)
	}
	if from, to := c.header("x-ms-start-epk"), c.header("x-ms-end-epk"); from != "" || to != "" {
		sc.min = max(sc.min, strings.ToUpper(from))
		if to != "" {
			sc.max = min(sc.max, strings.ToUpper(to))
		}
	}
	if id := c.header("x-ms-documentdb-partitionkeyrangeid"); id != "" {
		// SDKs send "rid,id", too.
		if _, after, ok := strings.Cut(id, ","); ok {
			id = after
		}
		p := col.partitionByID(id)
		if p == nil {
			return nil, rangeGone(id, col.rid())
		}
		sc.min, sc.max = max(sc.min, p.Min), min(sc.max, p.Max)
		sc.parts, sc.first = []*partition{p}, p
		return sc, nil
	}
	for _, p := range col.ranges {
		if p.Min < sc.max && p.Max > sc.min {
			sc.parts = append(sc.parts, p)
		}
	}
	sc.first = col.ranges[0]
	if len(sc.parts) > 0 {
		sc.first = sc.parts[0]
	}
	return sc, nil
}

// narrow restricts a scope to one logical partition, or to those below a prefix of a hierarchical
// key.
func (c *container) narrow(sc *scope, pk partitionKey) {
	e := c.epkOf(pk)
	sc.min = e
	if c.key.full(pk) {
		sc.pk, sc.exact = pk.canonical, true
		sc.max = e + "\x00"
		return
	}
	sc.pk = strings.TrimSuffix(pk.canonical, "]") + ","
	sc.max = e + "FF"
}

// scan calls f for every live document of the scope from the key on, until f returns false. What f
// sees is durable.
func (c *container) scan(sc *scope, from string, f func(key string, rec *record) (bool,
	error),
) error {
	snap := c.srv.db.NewSnapshot()
	defer snap.Close()
	for _, p := range sc.parts {
		p.waitDurable(p.appliedLSN())
	}
	prefix := key32(prefixDocument, c.meta.CID)
	lower := append(key32(prefixDocument, c.meta.CID), max(sc.min, from)...)
	upper := upperBound(prefix)
	if sc.max != "" && sc.max != "FF" {
		upper = append(key32(prefixDocument, c.meta.CID), sc.max...)
		if sc.exact {
			// The scope's end is the key with a byte more, which is where its documents begin.
			upper = append(key32(prefixDocument, c.meta.CID), strings.TrimSuffix(sc.max, "\x00")+"\x01"...)
		}
	}
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer it.Close()
	now := c.srv.cfg.Clock().Unix()
	for ok := it.First(); ok; ok = it.Next() {
		key := string(it.Key()[len(prefix):])
		if !sc.has(key) {
			continue
		}
		rec, err := decodeRecord(it.Value())
		if err != nil {
			return err
		}
		if expired(rec, now) {
			continue
		}
		more, err := f(key, rec)
		if err != nil || !more {
			return err
		}
	}
	return it.Error()
}
