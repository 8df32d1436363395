package s3

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/proa-cloud/proa/aws/local/sigv4"
)

// apiError is an error as the vendor reports it.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type apiError struct {
	code, message string
	status        int
	details       []sigv4.Detail
}

// Error renders "Code: message".
func (e *apiError) Error() string { return e.code + ": " + e.message }

func fail(status int, code, message string, details ...sigv4.Detail) *apiError {
	return &apiError{code: code, message: message, status: status, details: details}
}

func badRequest(code, message string, details ...sigv4.Detail) *apiError {
	return fail(http.StatusBadRequest, code, message, details...)
}

func invalidArgument(name, value, message string) *apiError {
	return badRequest("InvalidArgument", message, sigv4.Detail{Name: "ArgumentName", Value: name},
		sigv4.Detail{Name: "ArgumentValue", Value: value})
}

func invalidRequest(message string) *apiError { return badRequest("InvalidRequest", message) }

func noSuchBucket(bucket string) *apiError {
	return fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist",
		sigv4.Detail{Name: "BucketName", Value: bucket})
}

func noSuchKey(key string) *apiError {
	return fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.",
		sigv4.Detail{Name: "Key", Value: key})
}

func noSuchVersion(key, version string) *apiError {
	return fail(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.",
		sigv4.Detail{Name: "Key", Value: key}, sigv4.Detail{Name: "VersionId", Value: version})
}

func noSuchUpload(id string) *apiError {
	return fail(http.StatusNotFound, "NoSuchUpload", "The specified multipart upload does not exist. "+
		"The upload ID may be invalid, or the upload may have been aborted or completed.",
		sigv4.Detail{Name: "UploadId", Value: id})
}

func preconditionFailed(condition string) *apiError {
	return fail(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold",
		sigv4.Detail{Name: "Condition", Value: condition})
}

func notImplemented(header string) *apiError {
	return fail(http.StatusNotImplemented, "NotImplemented",
		"A header you provided implies functionality that is not implemented",
		sigv4.Detail{Name: "Header", Value: header})
}

func methodNotAllowed(method, resource string) *apiError {
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed",
		"The specified method is not allowed against this resource.",
		sigv4.Detail{Name: "Method", Value: method}, sigv4.Detail{Name: "ResourceType", Value: resource})
}

func malformedXML() *apiError {
	return badRequest("MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

func entityTooLarge(size int64) *apiError {
	return badRequest("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
		sigv4.Detail{Name: "ProposedSize", Value: strconv.FormatInt(size, 10)},
		sigv4.Detail{Name: "MaxSizeAllowed", Value: strconv.FormatInt(maxObject, 10)})
}

func invalidRange(requested string, size int64) *apiError {
	return fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
		"The requested range is not satisfiable",
		sigv4.Detail{Name: "RangeRequested", Value: requested},
		sigv4.Detail{Name: "ActualObjectSize", Value: strconv.FormatInt(size, 10)})
}

// asAPIError maps any failure of an operation to what the client is told.
func asAPIError(err error) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	var auth *sigv4.Error
	if errors.As(err, &auth) {
		return &apiError{
			code: auth.Code, message: auth.Message, status: auth.Status,
			details: auth.Details,
		}
	}
	return fail(http.StatusInternalServerError, "InternalError",
		"We encountered an internal error. Please try again.")
}

// writeError sends the error document. HEAD and 304 have no body.
func writeError(w http.ResponseWriter, r *http.Request, e *apiError) {
	h := w.Header()
	if r.Method == http.MethodHead || e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	d := &xmlDoc{}
	d.buf.WriteString(xmlHeader)
	d.open("Error")
	d.leaf("Code", e.code)
	d.leaf("Message", e.message)
	for _, x := range e.details {
		d.leaf(x.Name, x.Value)
	}
	d.leaf("RequestId", h.Get("x-amz-request-id"))
	d.leaf("HostId", h.Get("x-amz-id-2"))
	d.close("Error")
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(d.buf.Len()))
	w.WriteHeader(e.status)
	_, _ = w.Write(d.buf.Bytes())
}
