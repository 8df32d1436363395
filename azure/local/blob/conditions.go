package blob

import (
	"net/http"
	"strings"
	"time"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// conditions are the conditional headers of a request, all of which must hold
// (https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations).
type conditions struct {
	ifMatch, ifNoneMatch     string
	modifiedSince, unmodSinc time.Time
}

// conditionsOf reads If-Match and its like, with a prefix for those about the source of a copy.
func conditionsOf(h http.Header, prefix string) (conditions, *auth.StorageError) {
	c := conditions{ifMatch: h.Get(prefix + "If-Match"), ifNoneMatch: h.Get(prefix + "If-None-Match")}
	for name, into := range map[string]*time.Time{
		"If-Modified-Since": &c.modifiedSince, "If-Unmodified-Since": &c.unmodSinc,
	} {
		text := h.Get(prefix + name)
		if text == "" {
			continue
		}
		t, err := http.ParseTime(text)
		if err != nil {
			return c, invalidHeader(prefix+name, text)
		}
		*into = t
	}
	return c, nil
}

// read checks the conditions of a GET or HEAD on something that exists.
func (c conditions) read(tick uint64, modified time.Time) *auth.StorageError {
	if c.ifNoneMatch == "*" {
		return badRequest("UnsatisfiableCondition",
			"The request includes an unsatisfiable condition for this operation.")
	}
	if refusal := c.matchAndUnmodified(tick, modified); refusal != nil {
		return refusal
	}
	if c.ifNoneMatch != "" {
		// If-None-Match decides alone where both are given (RFC 9110, 13.1.3).
		if matchesETag(c.ifNoneMatch, tick) {
			return notModified()
		}
		return nil
	}
	if !c.modifiedSince.IsZero() && !modified.Truncate(time.Second).After(c.modifiedSince) {
		return notModified()
	}
	return nil
}

// write checks the conditions of a change of a blob; nil says that there is none.
func (c conditions) write(r *record) *auth.StorageError {
	if r == nil {
		if c.ifMatch != "" {
			return conditionNotMet()
		}
		return nil
	}
	return c.change(r.Tick, r.Modified)
}

// change checks the conditions of a change of something that exists.
func (c conditions) change(tick uint64, modified time.Time) *auth.StorageError {
	if c.ifNoneMatch == "*" {
		return blobAlreadyExists()
	}
	if refusal := c.matchAndUnmodified(tick, modified); refusal != nil {
		return refusal
	}
	if c.ifNoneMatch != "" && matchesETag(c.ifNoneMatch, tick) {
		return conditionNotMet()
	}
	if !c.modifiedSince.IsZero() && !modified.Truncate(time.Second).After(c.modifiedSince) {
		return conditionNotMet()
	}
	return nil
}

func (c conditions) matchAndUnmodified(tick uint64, modified time.Time) *auth.StorageError {
	if c.ifMatch != "" && !matchesETag(c.ifMatch, tick) {
		return conditionNotMet()
	}
	if !c.unmodSinc.IsZero() && modified.Truncate(time.Second).After(c.unmodSinc) {
		return conditionNotMet()
	}
	return nil
}

// matchesETag compares a header's list of ETags, quoted or not, with one state's.
func matchesETag(list string, tick uint64) bool {
	want := strings.Trim(etagOf(tick), `"`)
	for etag := range strings.SplitSeq(list, ",") {
		etag = strings.TrimSpace(etag)
		if etag == "*" || strings.Trim(strings.TrimPrefix(etag, "W/"), `"`) == want {
			return true
		}
	}
	return false
}
