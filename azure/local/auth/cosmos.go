package auth

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// cosmos verifies the master-key token of a Cosmos DB request and answers a refusal itself
// (https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources).
func (v *Verifier) cosmos(w http.ResponseWriter, r *http.Request) bool {
	token, err := url.PathUnescape(r.Header.Get("Authorization"))
	if err != nil || token == "" {
		refuseCosmos(w, http.StatusUnauthorized, "Unauthorized", "Required Header authorization is "+
			"missing. Ensure a valid Authorization token is passed.")
		return false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(token, "&") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	if fields["type"] != "master" || fields["ver"] != "1.0" || fields["sig"] == "" {
		refuseCosmos(w, http.StatusUnauthorized, "Unauthorized", "The input authorization token "+
			"can't serve the request. The token is of a type or version that is not supported here.")
		return false
	}
	date := r.Header.Get("x-ms-date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	text := v.cosmosText(r, date)
	full := matches(v.cosmosKey, text, fields["sig"])
	if !full && !matches(v.cosmosReadKey, text, fields["sig"]) {
		refuseCosmos(w, http.StatusUnauthorized, "Unauthorized", "The input authorization token "+
			"can't serve the request. The wrong key is being used or the expected payload is not "+
			"built as per the protocol. For more info: "+
			"https://aka.ms/cosmosdb-tsg-unauthorized. Server used the following payload to sign: '"+
			text+"'")
		return false
	}
	if !v.within(date) {
		now := v.clock().UTC().Format(http.TimeFormat)
		refuseCosmos(w, http.StatusForbidden, "Forbidden", "The authorization token is not valid at "+
			"the current time.\r\nPlease create another token and retry\r\n(token start time: "+
			date+", current server time: "+now+").")
		return false
	}
	if !full && !isCosmosRead(r) {
		refuseCosmos(w, http.StatusForbidden, "Forbidden", fmt.Sprintf("The given request [%s %s] "+
			"cannot be authorized by a read-only key.", r.Method, r.URL.EscapedPath()))
		return false
	}
	return true
}

func (v *Verifier) cosmosText(r *http.Request, date string) string {
	kind, link := v.resource(r)
	return strings.ToLower(r.Method) + "\n" + strings.ToLower(kind) + "\n" + link + "\n" +
		strings.ToLower(date) + "\n\n"
}

// isCosmosRead reports whether a request only reads: queries are POST.
func isCosmosRead(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return strings.EqualFold(r.Header.Get("x-ms-documentdb-isquery"), "true") ||
			strings.HasPrefix(r.Header.Get("Content-Type"), "application/query+json")
	}
	return false
}

func refuseCosmos(w http.ResponseWriter, status int, code, message string) {
	activity := NewID()
	w.Header().Set("x-ms-activity-id", activity)
	w.Header().Set("x-ms-gatewayversion", "version=2.14.0")
	w.Header().Set("Server", "Microsoft-HTTPAPI/2.0")
	writeJSON(w, status, `{"code":`+quote(code)+`,"message":`+quote(message+"\r\nActivityId: "+
		activity+", Microsoft.Azure.Documents.Common/2.14.0")+`}`)
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}
