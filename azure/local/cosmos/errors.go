package cosmos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// apiError is a refusal as the service phrases it: an HTTP status, the substatus that SDKs act on,
// a code and a message.
// Source: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
type apiError struct {
	Status       int
	Sub          int // x-ms-substatus, 0 for none
	Code         string
	Message      string
	Info         string // additionalErrorInfo, "" for none
	RetryAfterMS int
	Charge       float64
}

// Error renders the status and message.
func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// The substatus codes that SDKs act on.
const (
	subPartitionKeyMismatch = 1001
	subRangeGone            = 1002
	subOwnerNotFound        = 1003
	subCrossPartition       = 1004
	subCollectionMismatch   = 1024
	subThroughput           = 3200
)

// problems wraps text as the service wraps the complaints of its back end.
func problems(text string) string {
	b, err := json.Marshal(map[string][]string{"Errors": {text}})
	if err != nil {
		return text
	}
	return "Message: " + string(b)
}

func badRequest(format string, args ...any) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Code: "BadRequest",
		Message: problems(fmt.Sprintf(format, args...)),
	}
}

func notFound() *apiError {
	return &apiError{
		Status: http.StatusNotFound, Code: "NotFound",
		Message: problems("Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"),
	}
}

func ownerNotFound() *apiError {
	return &apiError{
		Status: http.StatusNotFound, Sub: subOwnerNotFound, Code: "NotFound",
		Message: problems("Owner resource does not exist"),
	}
}

func exists() *apiError {
	return &apiError{
		Status: http.StatusConflict, Code: "Conflict",
		Message: problems("Resource with specified id, name, or unique index already exists."),
	}
}

func uniqueViolation() *apiError {
	return &apiError{
		Status: http.StatusConflict, Code: "Conflict",
		Message: problems("Unique index constraint violation."),
	}
}

func preconditionFailed() *apiError {
	return &apiError{
		Status: http.StatusPreconditionFailed, Code: "PreconditionFailed",
		Message: "Operation cannot be performed because one of the specified precondition is not met.",
	}
}

func tooLarge() *apiError {
	return &apiError{
		Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge",
		Message: problems("Request size is too large"),
	}
}

func rangeGone(id, collection string) *apiError {
	return &apiError{
		Status: http.StatusGone, Sub: subRangeGone, Code: "Gone",
		Message: fmt.Sprintf("PartitionKeyRange with id '%s' in collection '%s' doesn't exist.", id,
			collection),
	}
}

// collectionMismatch says that the client's cached container is not the one of that name any more.
func collectionMismatch() *apiError {
	e := badRequest("The collection rid in header x-ms-cosmos-intended-collection-rid does not " +
		"match the collection.")
	e.Sub = subCollectionMismatch
	return e
}

func throttled(retryMS int) *apiError {
	return &apiError{
		Status: http.StatusTooManyRequests, Sub: subThroughput, Code: "429",
		RetryAfterMS: retryMS,
		Message: problems("Request rate is large. More Request Units may be needed, so no changes " +
			"were made. " +
			"Please retry this request later. Learn more: http://aka.ms/cosmosdb-error-429"),
	}
}

// throttleMS is when a request that was refused on purpose may come again.
const throttleMS = 20

// WriteThrottled answers as to a request past the container's throughput.
func WriteThrottled(w http.ResponseWriter, activity string) {
	throttled(throttleMS).write(w, activity)
}

func timedOut() *apiError {
	return &apiError{
		Status: http.StatusRequestTimeout, Code: "RequestTimeout",
		Message: "The request exceeded its time budget. Learn more: " +
			"https://aka.ms/cosmosdb-tsg-service-unavailable",
	}
}

func notImplemented(what string) *apiError {
	return &apiError{
		Status: http.StatusNotImplemented, Code: "NotImplemented",
		Message: what + " is not implemented by this local service.",
	}
}

func methodNotAllowed() *apiError {
	return &apiError{
		Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed",
		Message: "The requested verb is not supported for this resource.",
	}
}

func internalError(err error) *apiError {
	return &apiError{
		Status: http.StatusInternalServerError, Code: "InternalServerError",
		Message: err.Error(),
	}
}

// write answers with the error. The activity id is part of the message, as in the service.
func (e *apiError) write(w http.ResponseWriter, activity string) {
	body := struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Info    string `json:"additionalErrorInfo,omitempty"`
	}{e.Code, e.Message + "\r\nActivityId: " + activity +
		", Microsoft.Azure.Documents.Common/2.14.0", e.Info}
	h := w.Header()
	if e.Sub != 0 {
		h.Set("x-ms-substatus", strconv.Itoa(e.Sub))
	}
	if e.RetryAfterMS > 0 {
		h.Set("x-ms-retry-after-ms", strconv.Itoa(e.RetryAfterMS))
	}
	h.Set("x-ms-request-charge", formatCharge(e.Charge))
	h.Set("Content-Type", "application/json")
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte(`{"code":"InternalServerError","message":""}`)
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(text) // the client is gone: nothing is left to tell it
}

// asAPIError passes a refusal through and reports anything else as the service's own failure.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return internalError(err)
}
