package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// StorageError is an error in the shape of Azure Storage: status, code and message as in
// https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes.
type StorageError struct {
	Status  int
	Code    string
	Message string
	// Details are extra elements of the body, name and text in turn, such as
	// AuthenticationErrorDetail.
	Details []string
}

// Error renders code and message.
func (e *StorageError) Error() string { return e.Code + ": " + e.Message }

// Write answers the request with the error: the code in x-ms-error-code, and the XML body unless
// the request is a HEAD.
func (e *StorageError) Write(w http.ResponseWriter, r *http.Request, now time.Time) {
	h := w.Header()
	h.Set("x-ms-error-code", e.Code)
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer authorization_uri=https://login.microsoftonline.com/"+
			"common/oauth2/authorize resource_id=https://storage.azure.com")
	}
	if r.Method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	body := e.body(h.Get("x-ms-request-id"), now)
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

func (e *StorageError) body(requestID string, now time.Time) []byte {
	var b bytes.Buffer
	// The vendor's XML begins with a byte order mark.
	b.WriteString("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error>")
	element := func(name, text string) {
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(text))
		b.WriteString("</" + name + ">")
	}
	element("Code", e.Code)
	element("Message", fmt.Sprintf("%s\nRequestId:%s\nTime:%s", e.Message, requestID,
		now.UTC().Format("2006-01-02T15:04:05.0000000Z")))
	for i := 0; i+1 < len(e.Details); i += 2 {
		element(e.Details[i], e.Details[i+1])
	}
	b.WriteString("</Error>")
	return b.Bytes()
}

// maxClientRequestID is the longest x-ms-client-request-id that is echoed, in characters.
const maxClientRequestID = 1024

// SetStorageHeaders puts the headers on a response that every Storage response has: server, request
// id, the echoes of x-ms-version and x-ms-client-request-id. A second call changes nothing.
func SetStorageHeaders(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h.Get("x-ms-request-id") != "" {
		return
	}
	h.Set("Server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
	h.Set("x-ms-request-id", NewID())
	if version := r.Header.Get("x-ms-version"); version != "" {
		h.Set("x-ms-version", version)
	} else if version := r.URL.Query().Get("sv"); version != "" {
		h.Set("x-ms-version", version)
	}
	if id := r.Header.Get("x-ms-client-request-id"); id != "" && len(id) <= maxClientRequestID {
		h.Set("x-ms-client-request-id", id)
	}
}

// NewID returns a random UUID (version 4).
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// authenticationFailed is the vendor's 403 for a signature that does not verify.
func authenticationFailed(detail string) *StorageError {
	return &StorageError{
		Status: http.StatusForbidden, Code: "AuthenticationFailed",
		Message: "Server failed to authenticate the request. Make sure the value of " +
			"Authorization header is formed correctly including the signature.",
		Details: []string{"AuthenticationErrorDetail", detail},
	}
}

func noAuthentication() *StorageError {
	return &StorageError{
		Status: http.StatusUnauthorized, Code: "NoAuthenticationInformation",
		Message: "Server failed to authenticate the request. Please refer to the information in " +
			"the www-authenticate header.",
	}
}

func forbidden(code, message string) *StorageError {
	return &StorageError{Status: http.StatusForbidden, Code: code, Message: message}
}
