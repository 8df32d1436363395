package dynamodb

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/strictjson"
)

// maxBody is past the vendor's largest request (BatchWriteItem's 16 MB) with room for JSON's
// overhead.
const maxBody = 24 << 20

const (
	targetTables  = "DynamoDB_20120810."
	targetStreams = "DynamoDBStreams_20120810."
)

// operation answers one request body; the result is what is marshalled to JSON.
type operation func(body []byte) (any, error)

// op adapts a typed handler to an operation.
func op[In any](handle func(*In) (any, error)) operation {
	return func(body []byte) (any, error) {
		in := new(In)
		if err := decodeRequest(body, in); err != nil {
			return nil, err
		}
		return handle(in)
	}
}

// lookupOperation returns nil for what is not implemented.
func (s *Server) lookupOperation(target, host string) operation {
	if name, ok := strings.CutPrefix(target, targetStreams); ok {
		return s.streamOperation(name)
	}
	name, ok := strings.CutPrefix(target, targetTables)
	if !ok {
		return nil
	}
	if o := s.itemOperation(name); o != nil {
		return o
	}
	if o := s.tableOperation(name); o != nil {
		return o
	}
	return s.accountOperation(name, host)
}

func (s *Server) itemOperation(name string) operation {
	switch name {
	case "PutItem":
		return op(s.putItem)
	case "GetItem":
		return op(s.getItem)
	case "UpdateItem":
		return op(s.updateItem)
	case "DeleteItem":
		return op(s.deleteItem)
	case "Query":
		return op(s.query)
	case "Scan":
		return op(s.scan)
	case "BatchGetItem":
		return op(s.batchGet)
	case "BatchWriteItem":
		return op(s.batchWrite)
	case "TransactGetItems":
		return op(s.transactGet)
	case "TransactWriteItems":
		return op(s.transactWrite)
	}
	return nil
}

func (s *Server) tableOperation(name string) operation {
	switch name {
	case "CreateTable":
		return op(s.createTable)
	case "DescribeTable":
		return op(s.describeTable)
	case "UpdateTable":
		return op(s.updateTable)
	case "DeleteTable":
		return op(s.deleteTable)
	case "ListTables":
		return op(s.listTables)
	}
	return nil
}

func (s *Server) accountOperation(name, host string) operation {
	switch name {
	case "UpdateTimeToLive":
		return op(s.updateTTL)
	case "DescribeTimeToLive":
		return op(s.describeTTL)
	case "TagResource":
		return op(s.tagResource)
	case "UntagResource":
		return op(s.untagResource)
	case "ListTagsOfResource":
		return op(s.listTags)
	case "DescribeLimits":
		return op(s.describeLimits)
	case "DescribeEndpoints":
		return op(func(*struct{}) (any, error) { return describeEndpoints(host), nil })
	case "DescribeContinuousBackups":
		return op(s.describeBackups)
	}
	return nil
}

func (s *Server) streamOperation(name string) operation {
	switch name {
	case "ListStreams":
		return op(s.listStreams)
	case "DescribeStream":
		return op(s.describeStream)
	case "GetShardIterator":
		return op(s.getShardIterator)
	case "GetRecords":
		return op(s.getRecords)
	}
	return nil
}

// ServeHTTP answers one call of the JSON 1.0 protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	out, err := s.serve(w, r)
	status := http.StatusOK
	if err != nil {
		refusal, clients := asAPIError(err)
		if !clients {
			s.cfg.Logger.Error("request failed", "target", r.Header.Get("X-Amz-Target"), "request_id", id,
				"error", err)
		}
		status, out = orDefault(refusal.status, http.StatusBadRequest), refusal.body()
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("X-Amzn-Requestid", id)
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(out)), 10))
	h.Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	_, _ = w.Write(out) // a client that has gone away needs no answer
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, &apiError{kind: nsCoral + "UnknownOperationException", status: http.StatusNotFound}
	}
	handle := s.lookupOperation(r.Header.Get("X-Amz-Target"), r.Host)
	if handle == nil {
		return nil, &apiError{kind: nsCoral + "UnknownOperationException"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, &apiError{
				kind:   nsCoral + "RequestEntityTooLargeException",
				status: http.StatusRequestEntityTooLarge,
			}
		}
		return nil, notSerializable("the request's body ended early")
	}
	out, err := handle(body)
	if err != nil {
		return nil, err
	}
	return marshal(out)
}

// body renders the refusal as the vendor does.
func (e *apiError) body() []byte {
	fields := map[string]any{"__type": e.kind}
	if e.message != "" {
		fields["message"] = e.message
	}
	if e.item != nil {
		fields["Item"] = e.item
	}
	if e.reasons != nil {
		fields["CancellationReasons"] = e.reasons
		fields["Message"] = e.message
		delete(fields, "message")
	}
	b, err := marshal(fields)
	if err != nil {
		return []byte(`{"__type":"` + nsService + `InternalServerError"}`)
	}
	return b
}

// decodeRequest reads a request's body into its struct.
//
// encoding/json would put U+FFFD in the place of text that is no Unicode, so that another item were written than the one that was
// sent: such requests are refused.
func decodeRequest(body []byte, into any) error {
	if !strictjson.IsUnicode(body) {
		return &apiError{kind: nsCoral + "SerializationException"}
	}
	err := json.Unmarshal(wire.Exact(body, into), into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return notSerializable("%s", wrongTypeMessage(wrongType))
	}
	return &apiError{kind: nsCoral + "SerializationException"}
}

func wrongTypeMessage(e *json.UnmarshalTypeError) string {
	from, _, _ := strings.Cut(strings.ToUpper(e.Value), " ")
	switch e.Type.Kind() {
	case reflect.String:
		return from + "_VALUE cannot be converted to String"
	case reflect.Bool:
		return from + "_VALUE cannot be converted to Boolean"
	case reflect.Int, reflect.Int64:
		return from + "_VALUE cannot be converted to Integer"
	case reflect.Slice:
		return "Unexpected field type"
	}
	return "Start of structure or map found where not expected."
}

func requestID() string {
	var b [32]byte
	rand.Read(b[:])
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}
