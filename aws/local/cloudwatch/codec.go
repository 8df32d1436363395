package cloudwatch

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	targetPrefix = "GraniteServiceVersion20100801"
	pathPrefix   = "/service/" + targetPrefix + "/operation/"
	// maxBody is the vendor's limit of PutMetricData, of what is sent and of what it inflates to.
	maxBody     = 1 << 20
	maxInflated = 8 << 20
	maxDepth    = 16
)

// codec is one of the encodings of the same requests and answers.
type codec struct{ cbor bool }

// operationOf finds the operation in the path (Smithy RPC v2) or in the target header (awsJson).
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
func operationOf(r *http.Request) (string, codec) {
	if name, ok := strings.CutPrefix(r.URL.Path, pathPrefix); ok {
		return name, codec{cbor: true}
	}
	c := codec{cbor: r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor"}
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix+".")
	return name, c
}

// read returns the request as JSON, whatever it was encoded in; times are seconds since 1970.
func (c codec) read(r *http.Request) ([]byte, *wire.Error) {
	body, err := readBody(r)
	if err != nil {
		return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	if !c.cbor {
		if len(body) == 0 {
			return []byte("{}"), nil
		}
		return body, nil
	}
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	value, err := cbor.Decode(body)
	if err == nil {
		var plain any
		if plain, err = fromCBOR(value, 0); err == nil {
			body, err = json.Marshal(plain)
		}
	}
	if err != nil {
		return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	return body, nil
}

func readBody(r *http.Request) ([]byte, error) {
	source, limit := io.Reader(r.Body), int64(maxBody)
	if r.Header.Get("Content-Encoding") == "gzip" {
		inflater, err := gzip.NewReader(io.LimitReader(r.Body, maxBody))
		if err != nil {
			return nil, err
		}
		defer inflater.Close()
		source, limit = inflater, maxInflated
	}
	body, err := io.ReadAll(io.LimitReader(source, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the request is larger than %d bytes", limit)
	}
	return body, nil
}

var (
	errDepth  = errors.New("the request is nested too deeply")
	errNumber = errors.New("NaN and infinite numbers are not allowed")
)

func fromCBOR(v cbor.Value, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch v := v.(type) {
	case cbor.Map:
		out := make(map[string]any, len(v))
		for key, value := range v {
			plain, err := fromCBOR(value, depth+1)
			if err != nil {
				return nil, err
			}
			out[key] = plain
		}
		return out, nil
	case cbor.List:
		out := make([]any, len(v))
		for i, value := range v {
			plain, err := fromCBOR(value, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = plain
		}
		return out, nil
	case *cbor.Tag:
		return fromCBOR(v.Value, depth+1) // a time is a tagged number
	case cbor.Float32:
		return finite(float64(v))
	case cbor.Float64:
		return finite(float64(v))
	}
	return fromScalar(v)
}

func fromScalar(v cbor.Value) (any, error) {
	switch v := v.(type) {
	case cbor.String:
		return string(v), nil
	case cbor.Slice:
		return []byte(v), nil
	case cbor.Uint:
		return uint64(v), nil
	case cbor.NegInt:
		return -float64(v), nil
	case cbor.Bool:
		return bool(v), nil
	case *cbor.Nil, *cbor.Undefined:
		return nil, nil
	}
	return nil, fmt.Errorf("unexpected value of type %T", v)
}

func finite(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errNumber
	}
	return f, nil
}

// toCBOR renders the few types that answers are made of.
func toCBOR(v any) cbor.Value {
	switch v := v.(type) {
	case map[string]any:
		out := make(cbor.Map, len(v))
		for key, value := range v {
			if value != nil {
				out[key] = toCBOR(value)
			}
		}
		return out
	case []any:
		out := make(cbor.List, len(v))
		for i, value := range v {
			out[i] = toCBOR(value)
		}
		return out
	case string:
		return cbor.String(v)
	case bool:
		return cbor.Bool(v)
	case float64:
		return cbor.Float64(v)
	case int:
		if v < 0 {
			return cbor.NegInt(-v)
		}
		return cbor.Uint(v)
	case time.Time:
		return &cbor.Tag{ID: 1, Value: cbor.Float64(seconds(v))}
	}
	return &cbor.Nil{}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// toJSON does the same for JSON, where a time is a number.
func toJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value != nil {
				out[key] = toJSON(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = toJSON(value)
		}
		return out
	case time.Time:
		return seconds(v)
	}
	return v
}

func (c codec) answer(w http.ResponseWriter, out map[string]any) {
	if out == nil {
		out = map[string]any{}
	}
	w.Header().Set("X-Amzn-Requestid", wire.RequestID())
	if !c.cbor {
		wire.WriteJSON(w, "application/x-amz-json-1.0", http.StatusOK, toJSON(out))
		return
	}
	c.write(w, http.StatusOK, out)
}

func (c codec) write(w http.ResponseWriter, status int, out map[string]any) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	wire.Write(w, status, cbor.Encode(toCBOR(out)))
}

// queryCodes are the names that the older query protocol has for the errors; the SDKs read them
// from a header.
func queryCode(code string) string {
	switch code {
	case "InvalidParameterValueException":
		return "InvalidParameterValue"
	case "MissingRequiredParameterException":
		return "MissingParameter"
	case "InvalidParameterCombinationException":
		return "InvalidParameterCombination"
	case "LimitExceededFault":
		return "LimitExceeded"
	case "InternalServiceFault":
		return "InternalServiceError"
	}
	return code
}

func (c codec) refuse(w http.ResponseWriter, e *wire.Error) {
	if w.Header().Get("X-Amzn-Requestid") == "" {
		w.Header().Set("X-Amzn-Requestid", wire.RequestID())
	}
	fault := "Sender"
	if e.Status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", queryCode(e.Code)+";"+fault)
	if !c.cbor {
		wire.WriteAWSJSON(w, "application/x-amz-json-1.0", e)
		return
	}
	c.write(w, e.Status, map[string]any{
		"__type": "com.amazonaws.cloudwatch#" + e.Code, "message": e.Message,
	})
}
