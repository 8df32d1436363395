package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/proa-cloud/proa"
)

// fail turns an SDK error into a proa.Error. A nil error stays nil.
func fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	kind, hint := classify(err)
	return &proa.Error{Op: op, Region: proa.Azure, Key: key, Err: fmt.Errorf("%w: %w", kind, short(err)), Hint: hint}
}

func badConfig(err error) error {
	return &proa.Error{
		Op: "load configuration", Region: proa.Azure, Err: fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err),
	}
}

// statusError is a response error in one line; azcore's own text is a dozen, body included.
type statusError struct{ *azcore.ResponseError }

func (e statusError) Error() string {
	return fmt.Sprintf("HTTP %d %s", e.StatusCode, e.ErrorCode)
}

func (e statusError) Unwrap() error { return e.ResponseError }

func short(err error) error {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return statusError{response}
	}
	return err
}

// classify returns the kind of an error and a hint.
//
//nolint:staticcheck // ST1008: the kind is a result, not a failure
func classify(err error) (kind error, hint string) {
	for _, sentinel := range []error{
		proa.ErrInvalid, proa.ErrTooLarge, proa.ErrConflict, proa.ErrNotFound, proa.ErrFeedGap, proa.ErrUnavailable,
		proa.ErrUnsupported,
	} {
		if errors.Is(err, sentinel) {
			return sentinel, ""
		}
	}
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return kindOf(response)
	}
	var auth *azidentity.AuthenticationFailedError
	if errors.As(err, &auth) {
		return proa.ErrUnauthorized, "check the identity and its role assignments"
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled, ""
	}
	return proa.ErrUnavailable, ""
}

// kindOf maps Cosmos's, Blob's and the resource manager's errors, by code where the status says too little.
//
// https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
// https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
//
//nolint:staticcheck // ST1008: the kind is a result, not a failure
func kindOf(r *azcore.ResponseError) (error, string) {
	switch r.ErrorCode {
	case "BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "UnauthorizedBlobOverwrite", "BlobOverwritten":
		return proa.ErrConflict, ""
	case "ContainerBeingDeleted", "OperationTimedOut":
		return proa.ErrUnavailable, ""
	case "ServerBusy": // 503, past the account's or the blob's rate
		return proa.ErrThrottled, ""
	case "Crc64Mismatch", "Md5Mismatch": // spoilt on the way
		return proa.ErrUnavailable, ""
	case "InvalidBlockList": // blocks that are not there any more
		return proa.ErrNotFound, ""
	case "MetadataTooLarge", "BlockListTooLong", "RequestBodyTooLarge":
		return proa.ErrTooLarge, ""
	case "AuthorizationProtocolMismatch":
		return proa.ErrUnauthorized, "the account demands https"
	}
	if err, hint := kindOfSub(r); err != nil {
		return err, hint
	}
	switch r.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return proa.ErrNotFound, ""
	case http.StatusConflict:
		return proa.ErrExists, ""
	case http.StatusPreconditionFailed, 449: // 449 Retry With: a concurrent write of the same item won
		return proa.ErrConflict, ""
	case http.StatusUnauthorized, http.StatusForbidden:
		return proa.ErrUnauthorized, "check the key, the role assignments, the firewall and the machine's clock"
	case http.StatusRequestEntityTooLarge:
		return proa.ErrTooLarge, ""
	case http.StatusTooManyRequests:
		return proa.ErrThrottled, ""
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return proa.ErrUnsupported, ""
	}
	if r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusRequestTimeout {
		return proa.ErrInvalid, ""
	}
	return proa.ErrUnavailable, ""
}

// kindOfSub maps those errors of Cosmos DB whose status alone means something else; nil for all others.
//
//nolint:staticcheck // ST1008: the kind is a result, not a failure
func kindOfSub(r *azcore.ResponseError) (error, string) {
	switch sub := subStatus(r); {
	case isMoving(r):
		return proa.ErrUnavailable, ""
	case r.StatusCode == http.StatusForbidden && sub == "1014":
		return proa.ErrTooLarge, "the item's logical partition has reached 20 GB: nothing more fits under its partition key"
	case r.StatusCode == http.StatusForbidden && (sub == "3" || sub == "1008"): // the account's write region moves
		return proa.ErrUnavailable, ""
	case r.StatusCode == http.StatusNotFound && sub == "1002": // a replica behind the session
		return proa.ErrUnavailable, ""
	}
	return nil, ""
}

// isMoving reports whether a partition is being split or moved: what was asked for is there again in a moment.
func isMoving(r *azcore.ResponseError) bool {
	switch subStatus(r) {
	case "1002", "1007", "1008":
		return r.StatusCode == http.StatusGone
	}
	return false
}

// subStatus is Cosmos DB's, "" where there is none.
func subStatus(r *azcore.ResponseError) string {
	if r.RawResponse == nil {
		return ""
	}
	return r.RawResponse.Header.Get("X-Ms-Substatus")
}

func statusOf(err error) int {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}
