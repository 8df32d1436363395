package cosmos

import (
	"net/http"
	"sort"

	"github.com/proa-cloud/proa/azure/local/cosmos/sql"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// queryEngineConfiguration is what SDKs that plan queries themselves want to know of the query
// engine.
const queryEngineConfiguration = `{"maxSqlQueryInputLength":262144,"maxJoinsPerSqlQuery":5,` +
	`"maxLogicalAndPerSqlQuery":500,"maxLogicalOrPerSqlQuery":500,"maxUdfRefPerSqlQuery":10,` +
	`"maxInExpressionItemsCount":16000,"queryMaxInMemorySortDocumentCount":500,` +
	`"maxQueryRequestTimeoutFraction":0.9,` +
	`"sqlAllowNonFiniteNumbers":false,"sqlAllowAggregateFunctions":true,"sqlAllowSubQuery":true,` +
	`"sqlAllowScalarSubQuery":true,"allowNewKeywords":true,` +
	`"sqlAllowLike":true,"sqlAllowGroupByClause":true,` +
	`"maxSpatialQueryCells":12,"spatialMaxGeometryPointCount":256,"sqlDisableOptimizationFlags":0,` +
	`"sqlAllowTop":true,"enableSpatialIndexing":true}`

// account serves discovery. The one location is the address through which the request came, so that
// an SDK stays on the proxy it was given.
func (c *call) account() *apiError {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return methodNotAllowed()
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	str := value.OfString
	obj := func(m ...value.Member) value.Value { return value.OfObject(m) }
	location := value.OfArray([]value.Value{obj(
		value.Member{Name: "name", Value: str(c.s.cfg.Region)},
		value.Member{Name: "databaseAccountEndpoint", Value: str(scheme + "://" + c.r.Host + "/")})})
	replication := obj(
		value.Member{Name: "asyncReplication", Value: value.OfBool(false)},
		value.Member{Name: "minReplicaSetSize", Value: value.OfNumber(1)},
		value.Member{Name: "maxReplicasetSize", Value: value.OfNumber(4)})
	doc := obj(
		value.Member{Name: "_self", Value: str("")},
		value.Member{Name: "id", Value: str(c.s.cfg.AccountName)},
		value.Member{Name: "_rid", Value: str(c.s.cfg.AccountName + ".documents.azure.com")},
		value.Member{Name: "media", Value: str("//media/")},
		value.Member{Name: "addresses", Value: str("//addresses/")},
		value.Member{Name: "_dbs", Value: str("//dbs/")},
		value.Member{Name: "writableLocations", Value: location},
		value.Member{Name: "readableLocations", Value: location},
		value.Member{Name: "enableMultipleWriteLocations", Value: value.OfBool(false)},
		value.Member{Name: "userReplicationPolicy", Value: replication},
		value.Member{Name: "userConsistencyPolicy", Value: obj(
			value.Member{Name: "defaultConsistencyLevel", Value: str("Session")})},
		value.Member{Name: "systemReplicationPolicy", Value: replication},
		value.Member{Name: "readPolicy", Value: obj(
			value.Member{Name: "primaryReadCoefficient", Value: value.OfNumber(1)},
			value.Member{Name: "secondaryReadCoefficient", Value: value.OfNumber(1)})},
		value.Member{Name: "queryEngineConfiguration", Value: str(queryEngineConfiguration)})
	return c.reply(http.StatusOK, doc.JSON(), 0)
}

func (c *call) databasesFeed() *apiError {
	switch {
	case c.r.Method == http.MethodGet, c.r.Method == http.MethodPost && c.isQuery():
		return c.metadataFeed("", "Databases", c.s.databaseValues())
	case c.r.Method != http.MethodPost:
		return methodNotAllowed()
	}
	v, err := c.json()
	if err != nil {
		return err
	}
	offer, err := c.offerHeaders()
	if err != nil {
		return err
	}
	d, err := c.s.createDatabase(v.Get("id"), offer)
	if err != nil {
		return err
	}
	c.w.Header().Set("etag", `"`+d.ETag+`"`)
	return c.reply(http.StatusCreated, d.value().JSON(), metadataCharge)
}

func (s *Server) databaseValues() []value.Value {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]value.Value, 0, len(s.databases))
	for _, d := range s.databases {
		out = append(out, d.value())
	}
	return byID(out)
}

func byID(list []value.Value) []value.Value {
	sort.Slice(list, func(i, j int) bool { return list[i].Get("id").Str < list[j].Get("id").Str })
	return list
}

func (c *call) database() *apiError {
	c.s.mu.RLock()
	d := c.s.findDatabase(c.path[1])
	c.s.mu.RUnlock()
	if d == nil {
		return notFound()
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return c.replyMeta(d.ETag, d.value())
	case http.MethodDelete:
		if err := c.s.deleteDatabase(d.ID, c.header("If-Match")); err != nil {
			return err
		}
		return c.reply(http.StatusNoContent, nil, metadataCharge)
	}
	return methodNotAllowed()
}

// replyMeta answers with a database or container, or 304.
func (c *call) replyMeta(etag string, v value.Value) *apiError {
	c.w.Header().Set("etag", `"`+etag+`"`)
	if inm := c.header("If-None-Match"); inm != "" && (inm == "*" || sameETag(inm, etag)) {
		return c.reply(http.StatusNotModified, nil, metadataCharge)
	}
	return c.reply(http.StatusOK, v.JSON(), metadataCharge)
}

func (c *call) containersFeed() *apiError {
	c.s.mu.RLock()
	d := c.s.findDatabase(c.path[1])
	var list []value.Value
	if d != nil {
		for _, col := range d.containers {
			col.mu.RLock()
			list = append(list, col.value())
			col.mu.RUnlock()
		}
	}
	c.s.mu.RUnlock()
	if d == nil {
		return ownerNotFound()
	}
	switch {
	case c.r.Method == http.MethodGet, c.r.Method == http.MethodPost && c.isQuery():
		return c.metadataFeed(d.RID, "DocumentCollections", byID(list))
	case c.r.Method != http.MethodPost:
		return methodNotAllowed()
	}
	props, err := c.json()
	if err != nil {
		return err
	}
	offer, err := c.offerHeaders()
	if err != nil {
		return err
	}
	col, err := c.s.createContainer(d.ID, props, offer, 0)
	if err != nil {
		return err
	}
	c.w.Header().Set("etag", `"`+col.meta.ETag+`"`)
	return c.reply(http.StatusCreated, col.value().JSON(), metadataCharge)
}

func (c *call) containerItself(col *container) *apiError {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		col.mu.RLock()
		defer col.mu.RUnlock()
		return c.replyMeta(col.meta.ETag, col.value())
	case http.MethodPut:
		props, err := c.json()
		if err != nil {
			return err
		}
		if err := c.s.replaceContainer(col, props, c.header("If-Match")); err != nil {
			return err
		}
		col.mu.RLock()
		defer col.mu.RUnlock()
		c.w.Header().Set("etag", `"`+col.meta.ETag+`"`)
		return c.reply(http.StatusOK, col.value().JSON(), metadataCharge)
	case http.MethodDelete:
		if err := c.s.deleteContainer(col, c.header("If-Match")); err != nil {
			return err
		}
		return c.reply(http.StatusNoContent, nil, metadataCharge)
	}
	return methodNotAllowed()
}

// metadataFeed lists databases, containers or offers, filtered by the query in the body when the
// request is one. These lists are short: one page.
func (c *call) metadataFeed(rid, name string, list []value.Value) *apiError {
	if c.r.Method == http.MethodPost {
		text, params, err := parseQueryBody(c.body)
		if err != nil {
			return err
		}
		plan, bad := sql.Compile(text, params, sql.Env{Now: c.s.cfg.Clock})
		if bad != nil {
			return sqlError(bad)
		}
		if list, bad = plan.All(list); bad != nil {
			return sqlError(bad)
		}
	}
	items := make([][]byte, len(list))
	for i, v := range list {
		items[i] = v.JSON()
	}
	return c.feed(rid, name, items, metadataCharge)
}
