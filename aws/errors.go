package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/proa-cloud/proa"
)

// kindOf maps AWS's error codes to the sentinels. A code that is not listed is judged by its HTTP status.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func kindOf(code string) error {
	switch code {
	case "ConditionalCheckFailedException", "PreconditionFailed", "ConditionalRequestConflict",
		"TransactionConflictException", "TransactionCanceledException":
		return proa.ErrConflict
	case "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchUpload", "NoSuchVersion",
		"InvalidPart": // a part that is not there any more
		return proa.ErrNotFound
	case "ResourceInUseException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists", "ResourceConflictException":
		return proa.ErrExists
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"LimitExceededException", "TooManyRequestsException", "SlowDown", "Throttling", "RequestThrottled":
		return proa.ErrThrottled
	case "ItemCollectionSizeLimitExceededException", "EntityTooLarge", "RequestEntityTooLargeException",
		"RequestTooLargeException", "MetadataTooLarge", "KeyTooLongError":
		return proa.ErrTooLarge
	case "TrimmedDataAccessException":
		return proa.ErrFeedGap
	case "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException",
		"IncompleteSignatureException", "AccessDeniedException", "AccessDenied", "InvalidAccessKeyId",
		"SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "Forbidden":
		return proa.ErrUnauthorized
	case "UnknownOperationException", "NotImplemented", "MethodNotAllowed", "UnsupportedOperation":
		return proa.ErrUnsupported
	case "InternalServerError", "InternalError", "InternalFailure", "ServiceUnavailable", "RequestTimeout",
		"ServiceException", "TransactionInProgressException", "ExpiredIteratorException",
		"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody": // spoilt on the way
		return proa.ErrUnavailable
	}
	return nil
}

// fail turns an SDK error into a proa.Error. A nil error stays nil.
func fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	kind, hint := classify(err)
	return &proa.Error{Op: op, Region: proa.AWS, Key: key, Err: fmt.Errorf("%w: %w", kind, err), Hint: hint}
}

// classify returns the kind of an error and a hint.
//
//nolint:staticcheck // ST1008: the kind is a result, not a failure
func classify(err error) (kind error, hint string) {
	for _, sentinel := range []error{
		proa.ErrInvalid, proa.ErrTooLarge, proa.ErrConflict, proa.ErrNotFound, proa.ErrUnavailable,
	} {
		if errors.Is(err, sentinel) {
			return sentinel, ""
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if kind := kindOf(api.ErrorCode()); kind != nil {
			return kind, hintFor(kind)
		}
		if api.ErrorCode() == "ValidationException" && strings.Contains(api.ErrorMessage(), "size has exceeded") {
			return proa.ErrTooLarge, ""
		}
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return kindOfStatus(response.HTTPStatusCode()), ""
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled, ""
	}
	return proa.ErrUnavailable, ""
}

func kindOfStatus(status int) error {
	switch {
	case status == 404:
		return proa.ErrNotFound
	case status == 412 || status == 409:
		return proa.ErrConflict
	case status == 401 || status == 403:
		return proa.ErrUnauthorized
	case status == 413:
		return proa.ErrTooLarge
	case status == 429:
		return proa.ErrThrottled
	case status == 501 || status == 405:
		return proa.ErrUnsupported
	case status >= 400 && status < 500:
		return proa.ErrInvalid
	}
	return proa.ErrUnavailable
}

func hintFor(kind error) string {
	if errors.Is(kind, proa.ErrUnauthorized) {
		return "check the access key, its secret, the region and the machine's clock"
	}
	return ""
}

// refused takes the stored item out of a failed condition. ok is false for every other error; a nil item says that nothing
// was stored.
func refused(err error) (stored map[string]types.AttributeValue, ok bool) {
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return nil, false
	}
	return failed.Item, true
}
