package cosmos

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// Limits of items. Source: https://learn.microsoft.com/azure/cosmos-db/concepts-limits
const (
	maxItemBytes   = 2 << 20
	maxItemIDBytes = 1023
)

// op is one operation on one item.
type op struct {
	Kind        string // Create, Upsert, Replace, Patch, Delete, Read: the names of the batch protocol
	ID          string // of the addressed item; "" for Create and Upsert
	Doc         value.Value
	Patch       *patch
	IfMatch     string
	IfNoneMatch string
}

// result is what an operation yields.
type result struct {
	Status int
	Rec    *record // the item after the operation; nil for a delete
	Charge float64
	LSN    uint64
}

// run executes the operation within t for documents of the key pk.
func (t *txn) run(o op, pk partitionKey) (result, *apiError) {
	if o.Kind == "Create" || o.Kind == "Upsert" || o.Kind == "Replace" {
		if err := t.c.checkDocument(o.Doc, pk); err != nil {
			return result{}, err
		}
	}
	id := o.ID
	if o.Kind == "Create" || o.Kind == "Upsert" {
		id = o.Doc.Get("id").Str
	}
	key := docKey(t.c.epkOf(pk), pk, id)
	old, err := t.get(key)
	if err != nil {
		return result{}, internalError(err)
	}
	if err := precondition(o, old); err != nil {
		return result{}, err
	}
	switch o.Kind {
	case "Create":
		return t.runPut(key, o.Doc, nil, http.StatusCreated)
	case "Upsert":
		if old == nil {
			return t.runPut(key, o.Doc, nil, http.StatusCreated)
		}
		return t.runPut(key, o.Doc, old, http.StatusOK)
	case "Replace":
		return t.runReplace(key, o.Doc, old, pk)
	case "Patch":
		return t.runPatch(key, o.Patch, old, pk)
	case "Delete":
		if err := t.remove(key, old, false); err != nil {
			return result{}, err
		}
		return result{Status: http.StatusNoContent, Charge: t.c.writeCharge(old), LSN: t.lsn}, nil
	}
	return result{
		Status: http.StatusOK, Rec: old, Charge: readCharge(len(old.Body)),
		LSN: t.p.lsn,
	}, nil
}

// precondition judges existence and ETags.
func precondition(o op, old *record) *apiError {
	switch {
	case o.Kind == "Create" && old != nil:
		return exists()
	case o.Kind != "Create" && o.Kind != "Upsert" && old == nil:
		return notFound()
	case old == nil:
		return nil
	case !etagMatches(o.IfMatch, old.ETag):
		return preconditionFailed()
	case o.IfNoneMatch != "" && o.Kind != "Read" && (o.IfNoneMatch == "*" || sameETag(o.IfNoneMatch,
		old.ETag)):
		return preconditionFailed()
	}
	return nil
}

// etagMatches judges If-Match: empty and * match everything.
func etagMatches(ifMatch, etag string) bool {
	return ifMatch == "" || ifMatch == "*" || sameETag(ifMatch, etag)
}

func sameETag(header, etag string) bool { return strings.Trim(header, `"`) == etag }

func (t *txn) runPut(key string, doc value.Value, old *record, status int) (result, *apiError) {
	r, err := t.put(key, doc, old)
	if err != nil {
		return result{}, err
	}
	charge := t.c.writeCharge(r)
	if old != nil {
		charge *= 2 // a replace removes the old index terms, too
	}
	return result{Status: status, Rec: r, Charge: charge, LSN: t.lsn}, nil
}

// runReplace replaces, and moves the item when the new document has another id.
func (t *txn) runReplace(key string, doc value.Value, old *record, pk partitionKey) (result,
	*apiError,
) {
	next := docKey(t.c.epkOf(pk), pk, doc.Get("id").Str)
	if next == key {
		return t.runPut(key, doc, old, http.StatusOK)
	}
	other, err := t.get(next)
	if err != nil {
		return result{}, internalError(err)
	}
	if other != nil {
		return result{}, exists()
	}
	if err := t.remove(key, old, false); err != nil {
		return result{}, err
	}
	return t.runPut(next, doc, nil, http.StatusOK)
}

func (t *txn) runPatch(key string, p *patch, old *record, pk partitionKey) (result, *apiError) {
	doc, err := old.value()
	if err != nil {
		return result{}, internalError(err)
	}
	next, bad := p.apply(doc, &t.c.key)
	if bad != nil {
		return result{}, bad
	}
	if bad := t.c.checkDocument(next, pk); bad != nil {
		return result{}, bad
	}
	return t.runPut(key, next, old, http.StatusOK)
}

// checkDocument refuses what may not be stored under pk.
func (c *container) checkDocument(doc value.Value, pk partitionKey) *apiError {
	if doc.Kind != value.Object {
		return badRequest("The input content is invalid because it is not a JSON object.")
	}
	if err := checkItemID(doc.Get("id")); err != nil {
		return err
	}
	got, err := c.key.of(doc)
	if err != nil {
		return err
	}
	if got.canonical != pk.canonical {
		return keyMismatch()
	}
	return c.key.check(got, false)
}

func checkItemID(id value.Value) *apiError {
	switch {
	case id.Kind == value.Undefined:
		return badRequest("The input content is invalid because the required properties - 'id; ' - " +
			"are missing")
	case id.Kind != value.String || id.Str == "":
		return badRequest("The input content is invalid because 'id' is not a string, or is empty.")
	case len(id.Str) > maxItemIDBytes:
		return badRequest("The value of 'id' has %d bytes, more than the maximum of %d.", len(id.Str),
			maxItemIDBytes)
	case strings.ContainsAny(id.Str, `/\?#`):
		return badRequest("Id contains illegal chars.")
	}
	return nil
}

// ridDecode undoes ridText.
func ridDecode(rid string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.ReplaceAll(rid, "-", "/"))
}
