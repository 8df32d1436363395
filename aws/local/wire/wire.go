// Package wire puts requests and answers of the local AWS on the wire in the vendor's protocols:
// restJson1, awsJson and the query protocol's XML.
package wire

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// Error is a refusal in the vendor's words. It is written by the protocol's own function below.
type Error struct {
	Status  int    // HTTP
	Code    string // "ResourceNotFoundException"
	Message string
	Fields  map[string]any // further members of the error's JSON body
	Header  http.Header    // further headers
}

// Error renders "Code: Message".
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// RequestID returns a random UUID, the form of the vendor's request ids.
func RequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ReadJSON reads a body of at most limit bytes into a struct. Unknown members are ignored, as the
// vendor does. An empty body is an empty object.
func ReadJSON(r *http.Request, limit int64, into any) *Error {
	return readJSON(r, limit, func(body []byte) *Error { return DecodeJSON(body, into) })
}

// ReadRESTJSON is ReadJSON for services whose fields begin with a small letter.
func ReadRESTJSON(r *http.Request, limit int64, into any) *Error {
	return readJSON(r, limit, func(body []byte) *Error {
		e := exact{body: body, small: true}
		e.value(reflect.TypeOf(into))
		return decode(e.body, into)
	})
}

func readJSON(r *http.Request, limit int64, decode func(body []byte) *Error) *Error {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return Errorf(http.StatusBadRequest, "SerializationException", "the body ended early")
	}
	if int64(len(body)) > limit {
		return Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"Request must be smaller than %d bytes", limit)
	}
	if len(body) == 0 {
		return nil
	}
	return decode(body)
}

// DecodeJSON reads a JSON document into a struct and refuses in the vendor's words.
func DecodeJSON(body []byte, into any) *Error { return decode(Exact(body, into), into) }

func decode(body []byte, into any) *Error {
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		from, _, _ := strings.Cut(strings.ToUpper(wrong.Value), " ")
		return Errorf(http.StatusBadRequest, "SerializationException",
			"%s_VALUE can not be converted to the type of %s", from, wrong.Field)
	default:
		return Errorf(http.StatusBadRequest, "SerializationException",
			"Could not parse request body into json: %v", err)
	}
}

// Marshal writes JSON without escaping for HTML.
func Marshal(v any) ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// WriteJSON answers with a JSON document; nil answers without a body.
func WriteJSON(w http.ResponseWriter, contentType string, status int, v any) {
	var body []byte
	if v != nil {
		var err error
		if body, err = Marshal(v); err != nil {
			status, body = http.StatusInternalServerError, []byte(`{"message":"Internal error"}`)
		}
	}
	if v != nil || status != http.StatusNoContent {
		w.Header().Set("Content-Type", contentType)
	}
	Write(w, status, body)
}

// Write answers with a whole body.
func Write(w http.ResponseWriter, status int, body []byte) {
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away needs no answer
}

func (e *Error) copyHeader(w http.ResponseWriter) {
	for name, values := range e.Header {
		w.Header()[name] = values
	}
}

// WriteREST answers with an error of restJson1: the code in a header, the message in the body.
func WriteREST(w http.ResponseWriter, e *Error) {
	body := map[string]any{"message": e.Message}
	for name, value := range e.Fields {
		if name == "Message" {
			delete(body, "message")
		}
		body[name] = value
	}
	e.copyHeader(w)
	w.Header().Set("X-Amzn-ErrorType", e.Code)
	WriteJSON(w, "application/json", e.Status, body)
}

// WriteAWSJSON answers with an error of awsJson.
func WriteAWSJSON(w http.ResponseWriter, contentType string, e *Error) {
	body := map[string]any{"__type": e.Code}
	if e.Message != "" {
		body["message"] = e.Message
	}
	for name, value := range e.Fields {
		body[name] = value
	}
	e.copyHeader(w)
	WriteJSON(w, contentType, e.Status, body)
}

type queryError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// WriteQuery answers with an error of the query protocol.
func WriteQuery(w http.ResponseWriter, namespace, requestID string, e *Error) {
	kind := "Sender"
	if e.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	e.copyHeader(w)
	WriteXML(w, e.Status, queryError{
		Namespace: namespace, Type: kind, Code: e.Code, Message: e.Message, RequestID: requestID,
	})
}

// WriteXML answers with an XML document.
func WriteXML(w http.ResponseWriter, status int, v any) {
	body, err := xml.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "text/xml")
	Write(w, status, body)
}
