package wire

import (
	"io"
	"net/http"
	"strings"
)

// Operation answers the body of one call.
type Operation[Out any] func(body []byte) (Out, *Error)

// Op makes an operation of a method with a typed request.
func Op[In, Out any](method func(In) (Out, *Error)) Operation[Out] {
	return func(body []byte) (out Out, refusal *Error) {
		var in In
		if refusal := DecodeJSON(body, &in); refusal != nil {
			return out, refusal
		}
		return method(in)
	}
}

// RPC answers the calls of a service that speaks awsJson: a POST whose X-Amz-Target names the operation.
type RPC struct {
	ContentType string
	Target      string // what the header begins with
	MaxBody     int64
	// Lookup finds an operation; nil where there is none.
	Lookup func(r *http.Request, name string) Operation[any]
	// Unknown and TooLarge are the service's refusals.
	Unknown  func(name string) *Error
	TooLarge string
}

// ServeHTTP answers one call. An empty body is an empty object.
func (p RPC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", RequestID())
	out, refusal := p.serve(r)
	if refusal != nil {
		WriteAWSJSON(w, p.ContentType, refusal)
		return
	}
	WriteJSON(w, p.ContentType, http.StatusOK, out)
}

func (p RPC) serve(r *http.Request) (any, *Error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), p.Target)
	handle := p.Lookup(r, name)
	if !ok || handle == nil || r.Method != http.MethodPost {
		return nil, p.Unknown(name)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, p.MaxBody+1))
	if err != nil || int64(len(body)) > p.MaxBody {
		return nil, Errorf(http.StatusRequestEntityTooLarge, p.TooLarge, "Request size exceeds the limit.")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	return handle(body)
}
