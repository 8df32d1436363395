package cosmos

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// Limits of a transactional batch. Source:
// https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch
const maxBatchOps = 100

// batchResult is the outcome of one operation of a batch.
type batchResult struct {
	status int
	sub    int
	rec    *record
	charge float64
}

// batch runs up to 100 operations on one logical partition: all of them, in order, or none.
func (c *call) batch(col *container) *apiError {
	v, err := c.json()
	if err != nil {
		return err
	}
	if v.Kind != value.Array || len(v.Items) == 0 {
		return badRequest("The batch request has no operations.")
	}
	if len(v.Items) > maxBatchOps {
		return badRequest("Batch request has more operations than what is supported. Maximum: %d.",
			maxBatchOps)
	}
	if len(c.body) > maxItemBytes {
		return tooLarge()
	}
	if strings.EqualFold(c.header("x-ms-cosmos-batch-atomic"), "false") {
		return c.bulk(col, v.Items)
	}
	pk, err := c.itemKey(col)
	if err != nil {
		return err
	}
	ops := make([]op, len(v.Items))
	for i, item := range v.Items {
		if ops[i], err = parseBatchOp(item); err != nil {
			return err
		}
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	results, lsn, err := col.runBatch(ops, pk)
	if err != nil {
		return err
	}
	return c.replyBatch(col, col.partitionOf(col.epkOf(pk)), ops, results, lsn)
}

// bulk runs the operations of a bulk request, each for itself: they name their partition keys, and
// all lie in one physical partition.
func (c *call) bulk(col *container, items []value.Value) *apiError {
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	p := col.ranges[0]
	if id := c.header("x-ms-documentdb-partitionkeyrangeid"); id != "" {
		if p = col.partitionByID(id); p == nil {
			return rangeGone(id, col.rid())
		}
	}
	ops := make([]op, len(items))
	results := make([]batchResult, len(items))
	for i, item := range items {
		results[i], ops[i] = col.runBulk(p, item)
	}
	return c.replyBatch(col, p, ops, results, p.durableLSN())
}

func (c *container) runBulk(p *partition, item value.Value) (batchResult, op) {
	fail := func(o op, e *apiError) (batchResult, op) {
		return batchResult{status: e.Status, sub: e.Sub, charge: createCharge / 4}, o
	}
	o, err := parseBatchOp(item)
	if err != nil {
		return fail(o, err)
	}
	pk, err := parseKeyHeader(item.Get("partitionKey").Str)
	if err == nil {
		err = c.key.check(pk, false)
	}
	if err == nil && !p.contains(c.epkOf(pk)) {
		err = rangeGone(p.name(), c.rid())
	}
	if err != nil {
		return fail(o, err)
	}
	var res result
	if _, err = c.commit(p, func(t *txn) *apiError {
		var err *apiError
		res, err = t.run(o, pk)
		return err
	}); err != nil {
		return fail(o, err)
	}
	return batchResult{status: res.Status, rec: res.Rec, charge: res.Charge}, o
}

// runBatch returns one result an operation: their own when all succeed; otherwise the first
// failure's, and 424 for all others.
func (c *container) runBatch(ops []op, pk partitionKey) ([]batchResult, uint64, *apiError) {
	results := make([]batchResult, len(ops))
	failed := -1
	p := c.partitionOf(c.epkOf(pk))
	lsn, err := c.commit(p, func(t *txn) *apiError {
		for i, o := range ops {
			res, err := t.run(o, pk)
			if err != nil {
				failed = i
				return err
			}
			results[i] = batchResult{status: res.Status, rec: res.Rec, charge: res.Charge}
		}
		return nil
	})
	if failed < 0 {
		return results, lsn, err
	}
	if err.Status >= http.StatusInternalServerError {
		return nil, 0, err
	}
	for i := range results {
		results[i] = batchResult{status: http.StatusFailedDependency}
	}
	results[failed] = batchResult{status: err.Status, sub: err.Sub, charge: createCharge / 4}
	return results, p.durableLSN(), nil
}

func parseBatchOp(v value.Value) (op, *apiError) {
	o := op{
		Kind: v.Get("operationType").Str, ID: v.Get("id").Str, IfMatch: v.Get("ifMatch").Str,
		IfNoneMatch: v.Get("ifNoneMatch").Str, Doc: v.Get("resourceBody"),
	}
	switch o.Kind {
	case "Create", "Upsert":
		return o, nil
	case "Replace", "Delete", "Read", "Patch":
	default:
		return o, badRequest("The batch operation type '%s' is not supported.", o.Kind)
	}
	if err := checkItemID(v.Get("id")); err != nil {
		return o, err
	}
	if o.Kind == "Patch" {
		var err *apiError
		o.Patch, err = parsePatch(o.Doc)
		return o, err
	}
	return o, nil
}

func (c *call) replyBatch(col *container, p *partition, ops []op, results []batchResult,
	lsn uint64,
) *apiError {
	minimal := strings.EqualFold(c.header("Prefer"), "return=minimal")
	status := http.StatusOK
	total := 0.0
	b := []byte{'['}
	for i, r := range results {
		if r.status >= http.StatusBadRequest {
			status = http.StatusMultiStatus
		}
		total += r.charge
		if i > 0 {
			b = append(b, ',')
		}
		b = appendBatchResult(b, r, minimal && ops[i].Kind != "Read")
	}
	col.spend(total)
	c.sessionHeaders(col, p, lsn)
	c.w.Header().Set("x-ms-item-count", strconv.Itoa(len(results)))
	return c.reply(status, append(b, ']'), total)
}

func appendBatchResult(b []byte, r batchResult, minimal bool) []byte {
	b = strconv.AppendInt(append(b, `{"statusCode":`...), int64(r.status), 10)
	if r.sub != 0 {
		b = strconv.AppendInt(append(b, `,"subStatusCode":`...), int64(r.sub), 10)
	}
	b = append(append(b, `,"requestCharge":`...), formatCharge(r.charge)...)
	if r.rec != nil {
		b = value.AppendJSON(append(b, `,"eTag":`...), value.OfString(`"`+r.rec.ETag+`"`))
		if !minimal {
			b = append(append(b, `,"resourceBody":`...), r.rec.Body...)
		}
	}
	return append(b, '}')
}
