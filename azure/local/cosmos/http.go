package cosmos

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// maxBody bounds a request: a batch of 2 MB with its framing, or a query.
const maxBody = 4 << 20

// call is one request under way.
type call struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	activity string
	path     []string
	body     []byte
}

// ServeHTTP serves one request. It must have been authenticated.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, activity: newActivity(r), path: pathSegments(r.URL)}
	h := w.Header()
	h.Set("x-ms-activity-id", c.activity)
	h.Set("x-ms-gatewayversion", "version=2.14.0")
	h.Set("x-ms-serviceversion", "version=2.14.0.0")
	h.Set("x-ms-schemaversion", "1.18")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Server", "Microsoft-HTTPAPI/2.0")
	err := c.read()
	if err == nil {
		err = c.route()
	}
	if err != nil {
		if err.Status >= http.StatusInternalServerError && err.Status != http.StatusNotImplemented {
			s.cfg.Logger.Error("cosmos request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		err.write(w, c.activity)
	}
}

// newActivity echoes the client's activity id when it sent one, and makes one otherwise.
func newActivity(r *http.Request) string {
	if id := r.Header.Get("x-ms-activity-id"); len(id) > 0 && len(id) <= 64 {
		return id
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (c *call) read() *apiError {
	if c.r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok && tooBig != nil {
		return tooLarge()
	}
	if err != nil {
		return badRequest("The request body cannot be read: %v", err)
	}
	c.body = body
	return nil
}

// route finds the resource: dbs/{db}/colls/{coll}/docs/{id} and the like.
func (c *call) route() *apiError {
	p := c.path
	switch {
	case len(p) == 0:
		return c.account()
	case p[0] == "offers" && len(p) <= 2:
		return c.offers()
	case p[0] != "dbs":
		return notFound()
	case len(p) == 1:
		return c.databasesFeed()
	case len(p) == 2:
		return c.database()
	}
	switch p[2] {
	case "colls":
		if len(p) == 3 {
			return c.containersFeed()
		}
		return c.container()
	case "users", "clientencryptionkeys":
		return notImplemented("The resource type " + p[2])
	}
	return notFound()
}

func (c *call) container() *apiError {
	col, err := c.lookup(c.path[1], c.path[3])
	if err != nil {
		return err
	}
	if rid := c.header("x-ms-cosmos-intended-collection-rid"); rid != "" && rid != col.rid() {
		return collectionMismatch()
	}
	p := c.path
	if len(p) == 4 {
		return c.containerItself(col)
	}
	switch p[4] {
	case "docs":
		if len(p) == 5 {
			return c.documents(col)
		}
		if len(p) == 6 {
			return c.document(col, p[5])
		}
	case "pkranges":
		if len(p) == 5 {
			return c.partitionRanges(col)
		}
	case "sprocs", "triggers", "udfs", "conflicts":
		if len(p) == 5 && c.r.Method == http.MethodGet {
			return c.emptyFeed(col, p[4])
		}
		return notImplemented("The resource type " + p[4])
	}
	return notFound()
}

// lookup finds a container by names, or by _rids.
func (c *call) lookup(db, coll string) (*container, *apiError) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	d := c.s.findDatabase(db)
	if d == nil {
		return nil, c.missing(4)
	}
	if col, ok := d.containers[coll]; ok {
		return col, nil
	}
	for _, col := range d.containers {
		if col.rid() == coll {
			return col, nil
		}
	}
	return nil, c.missing(4)
}

// missing tells the resource itself from one of its owners.
func (c *call) missing(depth int) *apiError {
	if len(c.path) > depth {
		return ownerNotFound()
	}
	return notFound()
}

// findDatabase finds a database by name or _rid. The caller holds s.mu.
func (s *Server) findDatabase(name string) *database {
	if d, ok := s.databases[name]; ok {
		return d
	}
	for _, d := range s.databases {
		if d.RID == name {
			return d
		}
	}
	return nil
}

// document parses the body as JSON.
func (c *call) json() (value.Value, *apiError) {
	v, err := value.Parse(c.body)
	if err != nil {
		return v, badRequest("The request payload is invalid. Ensure to provide a valid request "+
			"payload: %v", err)
	}
	return v, nil
}

// reply answers with a JSON body.
func (c *call) reply(status int, body []byte, charge float64) *apiError {
	h := c.w.Header()
	h.Set("x-ms-request-charge", formatCharge(charge))
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the client is gone: nothing is left to tell it
	}
	return nil
}

// feed answers with {"_rid":…,name:[…],"_count":n}.
func (c *call) feed(rid, name string, items [][]byte, charge float64) *apiError {
	b := value.AppendJSON([]byte(`{"_rid":`), value.OfString(rid))
	b = append(append(b, `,"`...), name...)
	b = append(b, `":[`...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	b = append(b, `],"_count":`...)
	b = append(strconv.AppendInt(b, int64(len(items)), 10), '}')
	c.w.Header().Set("x-ms-item-count", strconv.Itoa(len(items)))
	return c.reply(http.StatusOK, b, charge)
}

func (c *call) emptyFeed(col *container, kind string) *apiError {
	names := map[string]string{
		"sprocs": "StoredProcedures", "triggers": "Triggers",
		"udfs": "UserDefinedFunctions", "conflicts": "Conflicts",
	}
	return c.feed(col.rid(), names[kind], nil, metadataCharge)
}

func (c *call) header(name string) string { return c.r.Header.Get(name) }

func (c *call) flag(name string) bool { return strings.EqualFold(c.header(name), "true") }

// isQuery reports whether a POST is a query rather than a create. x-ms-documentdb-query is what
// azcosmos sends.
func (c *call) isQuery() bool {
	return c.flag("x-ms-documentdb-isquery") || c.flag("x-ms-documentdb-query") ||
		strings.HasPrefix(c.header("Content-Type"), "application/query+json")
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize reads x-ms-max-item-count; -1 leaves it to the service.
func (c *call) pageSize() (int, *apiError) {
	text := c.header("x-ms-max-item-count")
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < -1 || n == 0:
		return 0, badRequest("The value '%s' of header x-ms-max-item-count is invalid.", text)
	case n == -1:
		return maxPage, nil
	}
	return n, nil
}

// sessionHeaders tells where the session stands after an operation on a partition.
func (c *call) sessionHeaders(col *container, p *partition, lsn uint64) {
	h := c.w.Header()
	h.Set("x-ms-session-token", p.name()+":-1#"+strconv.FormatUint(lsn, 10))
	h.Set("lsn", strconv.FormatUint(lsn, 10))
	h.Set("x-ms-documentdb-partitionkeyrangeid", p.name())
	h.Set("x-ms-alt-content-path", "dbs/"+col.meta.Database+"/colls/"+col.meta.ID)
	h.Set("x-ms-content-path", col.rid())
}
