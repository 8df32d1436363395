package cosmos

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/sql"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// parseQueryBody reads {"query":"…","parameters":[{"name":"@a","value":…}]}.
func parseQueryBody(body []byte) (string, map[string]value.Value, *apiError) {
	v, err := value.Parse(body)
	if err != nil || v.Get("query").Kind != value.String {
		return "", nil, badRequest("The query payload is invalid. Ensure to provide a valid query " +
			"payload.")
	}
	params := map[string]value.Value{}
	for _, p := range v.Get("parameters").Items {
		name := p.Get("name").Str
		if !strings.HasPrefix(name, "@") {
			return "", nil, badRequest("The name '%s' of a query parameter does not begin with '@'.", name)
		}
		params[name] = p.Get("value")
	}
	return v.Get("query").Str, params, nil
}

// sqlError phrases the complaint of the query engine as the service does.
func sqlError(err error) *apiError {
	e, ok := errors.AsType[*sql.Error](err)
	if !ok {
		return internalError(err)
	}
	if e.Code == sql.CodeBudget {
		return timedOut()
	}
	if e.Code == sql.CodeMemory {
		return badRequest("%s", e.Message)
	}
	type location struct {
		Start int `json:"start"`
		End   int `json:"end"`
	}
	type complaint struct {
		Severity string   `json:"severity"`
		Location location `json:"location"`
		Code     string   `json:"code"`
		Message  string   `json:"message"`
	}
	text, bad := json.Marshal(map[string][]complaint{
		"errors": {{"Error", location{e.Start, e.End}, e.Code, e.Message}},
	})
	if bad != nil {
		return internalError(bad)
	}
	return &apiError{Status: http.StatusBadRequest, Code: "BadRequest", Message: "Message: " +
		string(text)}
}

// queryCursor is where a query goes on: at a document, after some of its rows; or, for a result
// that has to be complete before its first row is known, after some of all rows.
type queryCursor struct {
	RID  string `json:"rid"`
	Key  string `json:"key,omitempty"`
	Skip int    `json:"skip,omitempty"`
}

// String renders the cursor for a header.
func (q queryCursor) String() string {
	text, err := json.Marshal(struct {
		RID  string `json:"rid"`
		Key  []byte `json:"key,omitempty"`
		Skip int    `json:"skip,omitempty"`
	}{q.RID, []byte(q.Key), q.Skip})
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(text)
}

func parseCursor(header string, col *container) (queryCursor, *apiError) {
	var q queryCursor
	if header == "" || header == "null" {
		return q, nil
	}
	var raw struct {
		RID  string `json:"rid"`
		Key  []byte `json:"key"`
		Skip int    `json:"skip"`
	}
	text, err := base64.StdEncoding.DecodeString(header)
	if err == nil {
		err = json.Unmarshal(text, &raw)
	}
	if err != nil || raw.RID != col.rid() || raw.Skip < 0 {
		return q, badRequest("The continuation token in header x-ms-continuation is invalid.")
	}
	return queryCursor{RID: raw.RID, Key: string(raw.Key), Skip: raw.Skip}, nil
}

// queryRun is one page of a query under way.
type queryRun struct {
	plan   *sql.Plan
	sc     *scope
	size   int
	cursor queryCursor

	rows  [][]byte
	bytes int
	docs  int
	next  *queryCursor
}

// query serves a POST that is a query.
func (c *call) query(col *container) *apiError {
	text, params, err := parseQueryBody(c.body)
	if err != nil {
		return err
	}
	size, err := c.pageSize()
	if err != nil {
		return err
	}
	deadline := c.s.cfg.Clock().Add(c.s.cfg.QueryBudget)
	stop := func() bool { return c.r.Context().Err() != nil || c.s.cfg.Clock().After(deadline) }
	plan, bad := sql.Compile(text, params, sql.Env{Now: c.s.cfg.Clock, Stop: stop})
	if bad != nil {
		return sqlError(bad)
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	if col.gone {
		return ownerNotFound()
	}
	if err := col.admit(); err != nil {
		return err
	}
	q := &queryRun{plan: plan, size: size}
	if q.cursor, err = parseCursor(c.header("x-ms-continuation"), col); err != nil {
		return err
	}
	if err := col.checkOrder(plan); err != nil {
		return err
	}
	if q.sc, err = c.queryScope(col, plan); err != nil {
		return err
	}
	if bad := q.execute(col, stop); bad != nil {
		return asQueryError(bad)
	}
	return c.replyQuery(col, q)
}

func asQueryError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return sqlError(err)
}

func (c *call) replyQuery(col *container, q *queryRun) *apiError {
	if q.next != nil {
		q.next.RID = col.rid()
		c.w.Header().Set("x-ms-continuation", q.next.String())
	}
	charge := queryCharge(q.docs, q.bytes)
	col.spend(charge)
	c.sessionHeaders(col, q.sc.first, q.sc.first.durableLSN())
	return c.feed(col.rid(), "Documents", q.rows, charge)
}

// queryScope decides what a query reads. A query over several partitions is served here only when
// each document's rows stand for themselves; for others the SDK fetches a plan and asks partition
// by partition.
// Source: https://learn.microsoft.com/rest/api/cosmos-db/,
// querying-cosmosdb-resources-using-the-rest-api
func (c *call) queryScope(col *container, plan *sql.Plan) (*scope, *apiError) {
	sc, err := c.scope(col)
	if err != nil || sc.exact {
		return sc, err
	}
	if pk, ok := col.keyInFilter(plan); ok {
		col.narrow(sc, pk)
		return sc, nil
	}
	if c.header("x-ms-documentdb-partitionkeyrangeid") != "" ||
		c.header("x-ms-documentdb-partitionkey") != "" {
		return sc, nil
	}
	if !c.flag("x-ms-documentdb-query-enablecrosspartition") {
		return nil, badRequest("Cross partition query is required but disabled. Please set " +
			"x-ms-documentdb-query-enablecrosspartition to true, specify x-ms-documentdb-partitionkey, " +
			"or revise your query to avoid this exception.")
	}
	if plan.NeedsDocuments() && !plan.Streaming() {
		return nil, notServable(plan)
	}
	return sc, nil
}

// notServable tells the SDK to plan the query; the plan comes along.
func notServable(plan *sql.Plan) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Sub: subCrossPartition, Code: "BadRequest",
		Info: string(planJSON(plan, nil)),
		Message: "The provided cross partition query can not be directly served by the gateway. " +
			"This is a first chance (internal) exception that all newer clients will know how to handle " +
			"gracefully. " +
			"This exception is traced, but unless you see it bubble up as an exception (which only " +
			"happens on older SDK clients), " +
			"then you can safely ignore this message.",
	}
}

// keyInFilter returns the partition key when WHERE pins it.
func (c *container) keyInFilter(plan *sql.Plan) (partitionKey, bool) {
	components := make([]value.Value, len(c.key.parsed))
	for i, path := range c.key.parsed {
		v, ok := plan.Equals(path)
		if !ok || v.Kind == value.Array || v.Kind == value.Object || !v.Defined() {
			return partitionKey{}, false
		}
		components[i] = v
	}
	return newPartitionKey(components), true
}

// execute fills the page.
func (q *queryRun) execute(col *container, stop func() bool) error {
	if q.plan.Streaming() {
		return q.stream(col, stop)
	}
	e := q.plan.Start()
	if q.plan.NeedsDocuments() {
		err := col.scan(q.sc, "", func(_ string, rec *record) (bool, error) {
			doc, err := rec.value()
			if err != nil {
				return false, err
			}
			q.docs++
			return e.Add(doc)
		})
		if err != nil {
			return err
		}
	}
	rows, err := e.Rows()
	if err != nil {
		return err
	}
	for i := min(q.cursor.Skip, len(rows)); i < len(rows); i++ {
		if !q.add(rows[i]) {
			q.next = &queryCursor{Skip: i}
			break
		}
	}
	return nil
}

// stream yields rows document by document. When the time is up, the page ends early, with a
// continuation.
func (q *queryRun) stream(col *container, stop func() bool) error {
	return col.scan(q.sc, q.cursor.Key, func(key string, rec *record) (bool, error) {
		if q.docs > 0 && stop() || len(q.rows) >= q.size {
			q.next = &queryCursor{Key: key}
			return false, nil
		}
		doc, err := rec.value()
		if err != nil {
			return false, err
		}
		q.docs++
		rows, err := q.plan.Rows(doc)
		if err != nil {
			return false, err
		}
		skip := 0
		if key == q.cursor.Key {
			skip = q.cursor.Skip
		}
		for i := skip; i < len(rows); i++ {
			if !q.add(rows[i]) {
				q.next = &queryCursor{Key: key, Skip: i}
				return false, nil
			}
		}
		return true, nil
	})
}

// add puts a row on the page and reports whether there was room.
func (q *queryRun) add(v value.Value) bool {
	if len(q.rows) >= q.size {
		return false
	}
	text := v.JSON()
	if q.bytes+len(text) > maxPageBytes && len(q.rows) > 0 {
		return false
	}
	q.rows = append(q.rows, text)
	q.bytes += len(text)
	return true
}

// checkOrder refuses an ORDER BY that the service's indexes cannot serve: one that is no property
// path, or several properties without a composite index for them. A single property that is indexed
// only through a wildcard leaves out documents without it.
// Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/order-by
func (c *container) checkOrder(plan *sql.Plan) *apiError {
	keys := plan.OrderBy()
	for _, k := range keys {
		if !k.IsPath {
			return badRequest("Unsupported ORDER BY clause. ORDER BY item expression could not be " +
				"mapped to a document path.")
		}
	}
	if len(keys) > 1 && !c.hasComposite(keys) {
		return badRequest("The order by query does not have a corresponding composite index that it " +
			"can be served from.")
	}
	if len(keys) == 1 && !c.indexesUndefined(keys[0].Path) {
		plan.RequireOrderKeys()
	}
	return nil
}

// hasComposite reports whether a composite index has exactly these paths in this order, all
// directions equal or all reversed.
func (c *container) hasComposite(keys []sql.OrderKey) bool {
	for _, idx := range c.props.Get("indexingPolicy").Get("compositeIndexes").Items {
		if len(idx.Items) != len(keys) {
			continue
		}
		same, reversed := true, true
		for i, k := range keys {
			path, _ := parsePath(idx.At(i).Get("path").Str)
			desc := strings.EqualFold(idx.At(i).Get("order").Str, "descending")
			ok := strings.Join(path, "/") == strings.Join(k.Path, "/")
			same, reversed = same && ok && desc == k.Desc, reversed && ok && desc != k.Desc
		}
		if same || reversed {
			return true
		}
	}
	return false
}

// indexesUndefined reports whether the indexing policy names the property itself.
func (c *container) indexesUndefined(path []string) bool {
	for _, p := range c.props.Get("indexingPolicy").Get("includedPaths").Items {
		text, ok := strings.CutSuffix(p.Get("path").Str, "/?")
		parts, valid := parsePath(text)
		if ok && valid && strings.Join(parts, "/") == strings.Join(path, "/") {
			return true
		}
	}
	return false
}

// queryPlan serves the request of an SDK that merges the results of several partitions itself.
func (c *call) queryPlan(col *container) *apiError {
	text, params, err := parseQueryBody(c.body)
	if err != nil {
		return err
	}
	plan, bad := sql.Compile(text, params, sql.Env{Now: c.s.cfg.Clock})
	if bad != nil {
		return sqlError(bad)
	}
	supported := c.header("x-ms-cosmos-supported-query-features")
	if missing := plan.MissingFeature(supported); missing != "" {
		return badRequest("Query contains 1 or more unsupported features. Upgrade your SDK to a "+
			"version that does support the requested features: %s",
			"Query contained "+missing+", which the calling client does not support.")
	}
	col.mu.RLock()
	defer col.mu.RUnlock()
	var point *string
	if pk, ok := col.keyInFilter(plan); ok {
		e := col.epkOf(pk)
		point = &e
	}
	return c.reply(http.StatusOK, planJSON(plan, point), metadataCharge)
}

// planJSON is the plan in the wire format of the gateway; point is the one effective partition key
// concerned, nil for all.
func planJSON(plan *sql.Plan, point *string) []byte {
	type keyRange struct {
		Min            string `json:"min"`
		Max            string `json:"max"`
		IsMinInclusive bool   `json:"isMinInclusive"`
		IsMaxInclusive bool   `json:"isMaxInclusive"`
	}
	ranges := []keyRange{{"", "FF", true, false}}
	if point != nil {
		ranges = []keyRange{{*point, *point, true, true}}
	}
	text, err := json.Marshal(struct {
		Version int        `json:"partitionedQueryExecutionInfoVersion"`
		Info    sql.Info   `json:"queryInfo"`
		Ranges  []keyRange `json:"queryRanges"`
	}{2, plan.Info(), ranges})
	if err != nil {
		return []byte(strconv.Quote(err.Error()))
	}
	return text
}
