package orders

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/function"
)

// MaxOrder is the largest order in bytes of JSON.
const MaxOrder = 256 << 10

const (
	defaultPage   = 25
	maxPage       = 100
	maxScans      = 20 // pages of the store for one page of ours
	healthTimeout = 2 * time.Second
)

func key(id string) proa.Key { return proa.Key{Table: TableName, Hash: proa.String(id)} }

// orderID takes the id out of the path; one that no order can have is refused.
func orderID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.PathValue("id")
	if !validID(id) {
		refuse(w, http.StatusBadRequest, "bad_id", badID)
		return "", false
	}
	return id, true
}

const badID = "an id is 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, and neither . nor .."

func validID(id string) bool {
	if id == "" || len(id) > 128 || id == "." || id == ".." {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '_' && c != '~' && c != '-' {
			return false
		}
	}
	return true
}

// readObject reads a JSON object from the body, or answers what is wrong with it.
func readObject(w http.ResponseWriter, r *http.Request) (proa.Item, bool) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxOrder))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("an order has at most %d bytes", MaxOrder))
		return nil, false
	case err != nil:
		refuse(w, http.StatusBadRequest, "incomplete", "the body ended early")
		return nil, false
	}
	item, err := function.FromJSON(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_json", explainJSON(text, err))
		return nil, false
	}
	if _, reserved := item[proa.EnvelopeAttr]; reserved {
		refuse(w, http.StatusBadRequest, "reserved", proa.EnvelopeAttr+" is reserved")
		return nil, false
	}
	for name := range item {
		if name == "" || len(name) > 255 {
			refuse(w, http.StatusBadRequest, "bad_name", "a member's name has 1 to 255 bytes")
			return nil, false
		}
	}
	return item, true
}

func (a *app) create(w http.ResponseWriter, r *http.Request) {
	item, ok := readObject(w, r)
	if !ok {
		return
	}
	id, given := item["id"]
	if !given {
		id = proa.String(newID(time.Now()))
		item["id"] = id
	}
	if id.Kind != proa.KindS || !validID(id.Str) {
		refuse(w, http.StatusBadRequest, "bad_id", badID)
		return
	}
	version, err := a.table.PutNew(r.Context(), item)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/orders/"+id.Str)
	a.answer(w, http.StatusCreated, function.Entry{Item: item, Version: version})
}

func (a *app) read(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	e, err := a.table.Get(r.Context(), key(id))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if header := r.Header.Get("If-None-Match"); header != "" && matches(header, etag(e.Version)) {
		w.Header().Set("ETag", etag(e.Version))
		w.WriteHeader(http.StatusNotModified)
		return
	}
	a.answer(w, http.StatusOK, e)
}

func (a *app) list(w http.ResponseWriter, r *http.Request) {
	limit, cursor, ok := pageOf(w, r)
	if !ok {
		return
	}
	body := []byte(`{"orders":[`)
	count := 0
	for range maxScans {
		entries, next, err := a.table.List(r.Context(), cursor, limit-count)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		for _, e := range entries {
			if count > 0 {
				body = append(body, ',')
			}
			body = function.AppendJSON(body, e.Item)
			count++
		}
		if cursor = next; cursor == "" || count >= limit {
			break
		}
	}
	body = append(body, `],"next":`...)
	if cursor == "" {
		body = append(body, "null}"...)
	} else {
		body = append(strconv.AppendQuote(body, base64.RawURLEncoding.EncodeToString([]byte(cursor))), '}')
	}
	writeBytes(w, http.StatusOK, body)
}

func pageOf(w http.ResponseWriter, r *http.Request) (limit int, cursor string, ok bool) {
	query := r.URL.Query()
	limit = defaultPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			refuse(w, http.StatusBadRequest, "bad_limit", fmt.Sprintf("limit is a number from 1 to %d", maxPage))
			return 0, "", false
		}
		limit = n
	}
	raw, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_cursor", "cursor is what next gave")
		return 0, "", false
	}
	return limit, string(raw), true
}

// patchTypes are the media types that a merge patch may come as: its own, plain JSON, none, and what `curl -d` says unless told otherwise.
var patchTypes = []string{"application/merge-patch+json", "application/json", "", "application/x-www-form-urlencoded"}

// mediaType is the request's media type without parameters; what cannot be read is given back as it is.
func mediaType(r *http.Request) string {
	header := r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(header); err == nil {
		return kind
	}
	return header
}

func (a *app) patch(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	if kind := mediaType(r); !slices.Contains(patchTypes, kind) {
		w.Header().Set("Accept-Patch", "application/merge-patch+json")
		refuse(w, http.StatusUnsupportedMediaType, "bad_type", "a patch is of type application/merge-patch+json")
		return
	}
	patch, ok := readObject(w, r)
	if !ok {
		return
	}
	if v, has := patch["id"]; has && !v.Equal(proa.String(id)) {
		refuse(w, http.StatusBadRequest, "bad_id", "the id of an order cannot be changed")
		return
	}
	ifMatch := r.Header.Get("If-Match")
	e, err := a.table.Update(r.Context(), key(id), func(e function.Entry) (proa.Item, error) {
		if ifMatch != "" && !matches(ifMatch, etag(e.Version)) {
			return nil, errPrecondition
		}
		return merge(e.Item, patch), nil
	})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, http.StatusOK, e)
}

// merge applies a JSON merge patch. RFC 7396.
func merge(target, patch proa.Item) proa.Item {
	out := make(proa.Item, len(target)+len(patch))
	for name, v := range target {
		out[name] = v
	}
	for name, v := range patch {
		switch v.Kind {
		case proa.KindNULL:
			delete(out, name)
		case proa.KindM:
			out[name] = proa.Map(merge(out[name].Map, v.Map))
		default:
			out[name] = v
		}
	}
	return out
}

func (a *app) remove(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	if err := a.removeOrder(r, id); err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.bucket.Delete(r.Context(), id, ""); err != nil {
		a.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *app) removeOrder(r *http.Request, id string) error {
	ifMatch := r.Header.Get("If-Match")
	if ifMatch == "" {
		return a.table.Delete(r.Context(), key(id))
	}
	e, err := a.table.Get(r.Context(), key(id))
	if errors.Is(err, proa.ErrNotFound) || err == nil && !matches(ifMatch, etag(e.Version)) {
		return errPrecondition
	}
	if err != nil {
		return err
	}
	err = a.table.DeleteIf(r.Context(), key(id), e.Version)
	if errors.Is(err, proa.ErrConflict) {
		return errPrecondition
	}
	return err
}

// health reads the region's table: a region that cannot is not fit to serve.
func (a *app) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	status := map[string]string{"status": "ok", "region": string(a.region)}
	_, err := a.table.Get(ctx, key("healthz"))
	if err == nil || errors.Is(err, proa.ErrNotFound) {
		writeJSON(w, http.StatusOK, status)
		return
	}
	a.log(r, err)
	status["status"] = "unavailable"
	status["error"] = "the region's table cannot be read"
	writeJSON(w, http.StatusServiceUnavailable, status)
}
