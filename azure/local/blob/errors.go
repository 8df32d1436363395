package blob

import (
	"net/http"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// Codes, statuses and messages are the vendor's:
// https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes.

func fail(status int, code, message string) *auth.StorageError {
	return &auth.StorageError{Status: status, Code: code, Message: message}
}

func badRequest(code, message string) *auth.StorageError {
	return fail(http.StatusBadRequest, code, message)
}

func conflict(code, message string) *auth.StorageError {
	return fail(http.StatusConflict, code, message)
}

func preconditionFailed(code, message string) *auth.StorageError {
	return fail(http.StatusPreconditionFailed, code, message)
}

func conditionNotMet() *auth.StorageError {
	return preconditionFailed("ConditionNotMet",
		"The condition specified using HTTP conditional header(s) is not met.")
}

func notModified() *auth.StorageError {
	return fail(http.StatusNotModified, "ConditionNotMet",
		"The condition specified using HTTP conditional header(s) is not met.")
}

func blobNotFound() *auth.StorageError {
	return fail(http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
}

func containerNotFound() *auth.StorageError {
	return fail(http.StatusNotFound, "ContainerNotFound", "The specified container does not exist.")
}

func blobAlreadyExists() *auth.StorageError {
	return conflict("BlobAlreadyExists", "The specified blob already exists.")
}

func invalidBlobType() *auth.StorageError {
	return conflict("InvalidBlobType", "The blob type is invalid for this operation.")
}

func notImplemented() *auth.StorageError {
	return fail(http.StatusNotImplemented, "NotImplemented",
		"The requested operation is not implemented on the specified resource.")
}

func unsupportedVerb() *auth.StorageError {
	return fail(http.StatusMethodNotAllowed, "UnsupportedHttpVerb",
		"The resource doesn't support specified Http Verb.")
}

func missingHeader(name string) *auth.StorageError {
	e := badRequest("MissingRequiredHeader",
		"An HTTP header that's mandatory for this request is not specified.")
	e.Details = []string{"HeaderName", name}
	return e
}

func invalidHeader(name, value string) *auth.StorageError {
	e := badRequest("InvalidHeaderValue",
		"The value for one of the HTTP headers is not in the correct format.")
	e.Details = []string{"HeaderName", name, "HeaderValue", value}
	return e
}

func invalidQuery(name, value, reason string) *auth.StorageError {
	e := badRequest("InvalidQueryParameterValue",
		"Value for one of the query parameters specified in the request URI is invalid.")
	e.Details = []string{"QueryParameterName", name, "QueryParameterValue", value, "Reason", reason}
	return e
}

func outOfRangeQuery(name, value, minimum, maximum string) *auth.StorageError {
	e := badRequest("OutOfRangeQueryParameterValue",
		"One of the query parameters specified in the request URI is outside the permissible range.")
	e.Details = []string{
		"QueryParameterName", name, "QueryParameterValue", value,
		"MinimumAllowed", minimum, "MaximumAllowed", maximum,
	}
	return e
}

func missingQuery(name string) *auth.StorageError {
	e := badRequest("MissingRequiredQueryParameter",
		"A query parameter that's mandatory for this request is not specified.")
	e.Details = []string{"QueryParameterName", name}
	return e
}

func bodyTooLarge(limit string) *auth.StorageError {
	e := fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge",
		"The request body is too large and exceeds the maximum permissible limit.")
	e.Details = []string{"MaxLimit", limit}
	return e
}

func invalidXML(reason string) *auth.StorageError {
	e := badRequest("InvalidXmlDocument", "XML specified is not syntactically valid.")
	e.Details = []string{"Reason", reason}
	return e
}
