package sigv4

import (
	"net/http"
	"time"
)

// Protocol is the family of wire protocols in whose words an authentication error is told.
type Protocol int

// The protocols of AWS, as far as they name authentication errors differently.
const (
	// awsJson 1.0 and 1.1, and rpc-v2 CBOR: DynamoDB, EventBridge, Logs, SQS, CloudWatch. Status 400
	JSON     Protocol = iota
	RESTJSON          // Lambda, API Gateway. Status 403
	Query             // STS, CloudWatch of older SDKs. Status 403
	S3                // restXml as S3 speaks it
)

// ProtocolOf returns the protocol of a service by its signing name. Unknown services speak JSON.
func ProtocolOf(service string) Protocol {
	switch service {
	case "s3":
		return S3
	case "lambda", "apigateway", "execute-api":
		return RESTJSON
	case "sts", "iam":
		return Query
	default:
		return JSON
	}
}

// Reason is what was wrong with a request, the same for every protocol.
type Reason int

// The reasons.
const (
	Missing          Reason = iota + 1 // neither an Authorization header nor a presigned query
	Malformed                          // an Authorization header that is not SigV4's
	MalformedQuery                     // presigned parameters that are missing or wrong
	TwoMechanisms                      // both header and query
	UnknownKey                         // no such access key
	Mismatch                           // the signature is not the one computed here
	Skewed                             // the request's time is too far from ours
	Expired                            // a presigned URL past its time
	NotYetValid                        // a presigned URL of the future
	HeadersUnsigned                    // host or an x-amz-* header is not covered by the signature
	WrongRegion                        // signed for another region
	BodyHash                           // the body does not have the hash that was signed
	BodyTooLarge                       // more than Verifier.MaxBody
	BodyIncomplete                     // the body ended early, or an aws-chunked frame is broken
	BodyUnsupported                    // a streaming scheme that is not implemented
	HashMissing                        // S3 without x-amz-content-sha256
	LegacySignature                    // SigV2, which AWS refuses for buckets made since June 2020
	MalformedTrailer                   // an aws-chunked trailer that was not announced, or is missing
)

// Detail is one more element of an S3 error document.
type Detail struct{ Name, Value string }

// Error is why a request was refused, in the words of the service in its credential scope.
type Error struct {
	Reason  Reason
	Code    string // the vendor's error code
	Message string // the vendor's message
	Status  int    // the HTTP status
	Details []Detail

	note string // replaces the default message where the vendor says what exactly was wrong
}

// Error renders "Code: Message".
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// For returns the same refusal in the words of another protocol: for requests that bear no
// credential scope, and for services that speak more than one.
func (e *Error) For(p Protocol) *Error {
	out := *e
	out.Code, out.Message, out.Status = render(p, e.Reason)
	if e.note != "" && !(e.Reason == Skewed && p == S3) {
		out.Message = e.note
	}
	return &out
}

func refuse(p Protocol, r Reason, note string, details ...Detail) *Error {
	return (&Error{Reason: r, Details: details, note: note}).For(p)
}

const (
	msgS3Mismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your key and signing method."
	msgMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for " +
		"details."
	msgTwo = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature " +
		"query " +
		"string parameter or the Authorization header should be specified"
	msgQuery = "Query-string authentication version 4 requires the X-Amz-Algorithm, " +
		"X-Amz-Credential, " +
		"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)

func render(p Protocol, r Reason) (code, message string, status int) {
	if p == S3 {
		return renderS3(r)
	}
	code, message, status = renderCoral(r)
	switch p {
	case RESTJSON:
		if status == http.StatusBadRequest {
			status = http.StatusForbidden
		}
	case Query:
		if q, ok := queryCodes[code]; ok {
			code = q
		}
		if status == http.StatusBadRequest {
			status = http.StatusForbidden
		}
	}
	return code, message, status
}

// queryCodes are the names that the query protocol has for the same errors:
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
var queryCodes = map[string]string{
	"MissingAuthenticationTokenException": "MissingAuthenticationToken",
	"IncompleteSignatureException":        "IncompleteSignature",
	"UnrecognizedClientException":         "InvalidClientTokenId",
	"InvalidSignatureException":           "SignatureDoesNotMatch",
	"RequestEntityTooLargeException":      "RequestEntityTooLarge",
	"SerializationException":              "MalformedInput",
}

func renderCoral(r Reason) (code, message string, status int) {
	const bad = http.StatusBadRequest
	switch r {
	case Missing:
		return "MissingAuthenticationTokenException", "Request is missing Authentication Token", bad
	case Malformed, MalformedQuery, TwoMechanisms, LegacySignature:
		return "IncompleteSignatureException", "Request must contain a signature that conforms to AWS " +
			"standards", bad
	case UnknownKey:
		return "UnrecognizedClientException", "The security token included in the request is " +
			"invalid.", bad
	case BodyTooLarge:
		return "RequestEntityTooLargeException", "Request size exceeds the " +
			"limit.", http.StatusRequestEntityTooLarge
	case BodyIncomplete:
		return "SerializationException", "Request body ended before its declared length.", bad
	case WrongRegion:
		return "InvalidSignatureException", "Credential should be scoped to a valid region.", bad
	default:
		return "InvalidSignatureException", msgMismatch, bad
	}
}

// renderS3 follows https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
func renderS3(r Reason) (code, message string, status int) {
	const bad, forbidden = http.StatusBadRequest, http.StatusForbidden
	switch r {
	case Missing:
		return "AccessDenied", "Access Denied", forbidden
	case Malformed:
		return "AuthorizationHeaderMalformed", "The authorization header that you provided is not " +
			"valid.", bad
	case MalformedQuery:
		return "AuthorizationQueryParametersError", msgQuery, bad
	case LegacySignature:
		return "InvalidRequest",
			"The authorization mechanism you have provided is not supported. Please use " +
				"AWS4-HMAC-SHA256.", bad
	case TwoMechanisms:
		return "InvalidArgument", msgTwo, bad
	case UnknownKey:
		return "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our " +
			"records.", forbidden
	case Skewed:
		return "RequestTimeTooSkewed",
			"The difference between the request time and the current time is too large.", forbidden
	case Expired:
		return "AccessDenied", "Request has expired", forbidden
	case NotYetValid:
		return "AccessDenied", "Request is not valid yet", forbidden
	case HeadersUnsigned:
		return "AccessDenied", "There were headers present in the request which were not " +
			"signed", forbidden
	case WrongRegion:
		return "AuthorizationHeaderMalformed", "The authorization header is malformed; the region is " +
			"wrong.", bad
	case BodyHash:
		return "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.", bad
	case BodyTooLarge:
		return "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", bad
	case BodyIncomplete:
		return "IncompleteBody",
			"You did not provide the number of bytes specified by the Content-Length HTTP header", bad
	case BodyUnsupported:
		return "NotImplemented", "A header you provided implies functionality that is not implemented",
			http.StatusNotImplemented
	case MalformedTrailer:
		return "MalformedTrailerError", "The request contained trailing data that was not well-formed " +
			"or did not conform " +
			"to our published schema.", bad
	case HashMissing:
		return "InvalidRequest", "Missing required header for this request: x-amz-content-sha256", bad
	default:
		return "SignatureDoesNotMatch", msgS3Mismatch, forbidden
	}
}

// skewError tells S3's document fields and the others' sentence at once.
func skewError(p Protocol, at, now time.Time) *Error {
	a, n := at.UTC().Format(timeFormat), now.UTC()
	note := "Signature expired: " + a + " is now earlier than " + n.Add(-maxSkew).Format(timeFormat) +
		" (" + n.Format(timeFormat) + " - 15 min.)"
	if at.After(now) {
		note = "Signature not yet current: " + a + " is still later than " +
			n.Add(maxSkew).Format(timeFormat) +
			" (" + n.Format(timeFormat) + " + 15 min.)"
	}
	return refuse(p, Skewed, note, Detail{"RequestTime", a}, Detail{
		"ServerTime",
		n.Format(time.RFC3339),
	},
		Detail{"MaxAllowedSkewMilliseconds", "900000"})
}
