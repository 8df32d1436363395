package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
)

// bearer verifies the token of a Monitor request and answers a refusal itself, as Azure Resource
// Manager does.
func (v *Verifier) bearer(w http.ResponseWriter, r *http.Request) bool {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		refuseManagement(w, "AuthenticationFailed",
			"Authentication failed. The 'Authorization' header is missing.")
		return false
	}
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		refuseManagement(w, "AuthenticationFailedInvalidHeader",
			"Authentication failed. The 'Authorization' header is provided in an invalid format.")
		return false
	}
	// Hashes are compared, so that not even the token's length shows in the time taken.
	sent, kept := sha256.Sum256([]byte(token)), sha256.Sum256(v.monitorToken)
	if len(v.monitorToken) == 0 || subtle.ConstantTimeCompare(sent[:], kept[:]) != 1 {
		refuseManagement(w, "InvalidAuthenticationToken", "The access token is invalid.")
		return false
	}
	return true
}

func refuseManagement(w http.ResponseWriter, code, message string) {
	w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.windows.net/", `+
		`error="invalid_token", error_description="`+message+`"`)
	w.Header().Set("x-ms-failure-cause", "gateway")
	w.Header().Set("x-ms-request-id", NewID())
	writeJSON(w, http.StatusUnauthorized,
		`{"error":{"code":`+quote(code)+`,"message":`+quote(message)+`}}`)
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
