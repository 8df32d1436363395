package orders

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/function"
)

// problem is the body of every error.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, problem{Code: code, Message: message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // what is passed here always marshals
		panic(err)
	}
	writeBytes(w, status, text)
}

func writeBytes(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client is gone if this fails
}

// answer writes an order with its ETag.
func (a *app) answer(w http.ResponseWriter, status int, e function.Entry) {
	w.Header().Set("ETag", etag(e.Version))
	writeBytes(w, status, function.AppendJSON(nil, e.Item))
}

func etag(v proa.Version) string { return `"` + v.String() + `"` }

// matches reports whether an If-Match header names the version. RFC 9110, section 13.1.1: the comparison is strong.
func matches(header string, current string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == current {
			return true
		}
	}
	return false
}

var errPrecondition = errors.New("the order is not the one that If-Match names")

// fail answers an error. What the client cannot change is logged, and not told.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errPrecondition):
		refuse(w, http.StatusPreconditionFailed, "precondition_failed", err.Error())
	case errors.Is(err, proa.ErrNotFound):
		refuse(w, http.StatusNotFound, "not_found", "there is no such order or attachment")
	case errors.Is(err, proa.ErrExists):
		refuse(w, http.StatusConflict, "exists", "there is an order with this id already")
	case errors.Is(err, proa.ErrConflict):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusConflict, "conflict", "others changed it at the same time; try again")
	case errors.Is(err, proa.ErrTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "the region's store cannot hold something so large")
	case errors.Is(err, proa.ErrInvalid):
		a.log(r, err)
		refuse(w, http.StatusBadRequest, "invalid", "the region's store refuses this content")
	case errors.Is(err, proa.ErrThrottled):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "throttled", "the region is busy; try again")
	case errors.Is(err, proa.ErrFenced): // no 5xx: the region is well, and an alarm would move traffic
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusMisdirectedRequest, "not_here", "another region takes writes now, or none while traffic moves; ask for the name's address again")
	case errors.Is(err, proa.ErrUnavailable):
		a.log(r, err)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "unavailable", "the region's store cannot be reached")
	default:
		a.log(r, err)
		refuse(w, http.StatusInternalServerError, "internal", "something went wrong")
	}
}

func (a *app) log(r *http.Request, err error) {
	a.logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
}
