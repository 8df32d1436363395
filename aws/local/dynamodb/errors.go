package dynamodb

import (
	"errors"
	"fmt"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

// Namespaces of the vendor's error types.
const (
	nsService    = "com.amazonaws.dynamodb.v20120810#"
	nsValidation = "com.amazon.coral.validate#"
	nsCoral      = "com.amazon.coral.service#"
)

// apiError is a refusal in the vendor's form. It answers with status 400 unless it says otherwise.
type apiError struct {
	kind    string // with its namespace
	message string
	status  int
	item    proa.Item      // ConditionalCheckFailedException with ALL_OLD
	reasons []cancelReason // TransactionCanceledException
}

// cancelReason says why one action of a transaction did not go through; Code "None" when it would
// have.
type cancelReason struct {
	Code    string
	Message string    `json:",omitempty"`
	Item    proa.Item `json:",omitempty"`
}

func (e *apiError) Error() string { return e.kind + ": " + e.message }

func invalid(format string, args ...any) *apiError {
	return &apiError{kind: nsValidation + "ValidationException", message: fmt.Sprintf(format, args...)}
}

// constraint is the refusal of one request member by the vendor's input model.
func constraint(value, member, rule string) *apiError {
	return invalid("1 validation error detected: Value %s at '%s' failed to satisfy constraint: %s",
		value, member, rule)
}

func notSerializable(format string, args ...any) *apiError {
	return &apiError{kind: nsCoral + "SerializationException", message: fmt.Sprintf(format, args...)}
}

func serviceError(kind, format string, args ...any) *apiError {
	return &apiError{kind: nsService + kind, message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *apiError {
	return serviceError("ResourceNotFoundException", format, args...)
}

func conditionFailed(item proa.Item) *apiError {
	e := serviceError("ConditionalCheckFailedException", "The conditional request failed")
	e.item = item
	return e
}

// asAPIError maps any error to the vendor's. What is not the client's fault becomes an
// InternalServerError without detail.
func asAPIError(err error) (*apiError, bool) {
	var api *apiError
	if errors.As(err, &api) {
		return api, true
	}
	var refused *expr.Error
	if errors.As(err, &refused) {
		return invalid("%s", refused.Message), true
	}
	e := serviceError("InternalServerError", "Internal server error")
	e.status = 500
	return e, false
}
