// Package eventbridge is Amazon EventBridge on this machine: the default bus, rules with event
// patterns, and Lambda functions as targets.
//
// An event that has been acknowledged is on stable storage; the last 10,000 are kept. Delivery to
// targets is through Lambda's asynchronous queue, which is in memory: a crash between the two loses
// the delivery, not the event.
//
// awsJson 1.1, https://docs.aws.amazon.com/eventbridge/latest/APIReference/Welcome.html
package eventbridge

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

// Functions are what rules may target.
type Functions interface {
	InvokeAsync(call lambda.Call) error
	Allows(function, service, sourceARN string) bool
}

// Config says where events live and what rules call. All fields are required.
type Config struct {
	Dir       string
	Clock     func() time.Time
	Logger    *slog.Logger
	AccountID string
	Region    string
	Functions Functions
}

const (
	contentType  = "application/x-amz-json-1.1"
	targetPrefix = "AWSEvents."
	defaultBus   = "default"
	maxBody      = 4 << 20
	// keepEvents bounds the archive; the oldest are dropped.
	keepEvents  = 10_000
	eventPrefix = "event/"
	rulePrefix  = "rule/"
)

// Server is the service. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg Config
	db  *pebble.DB

	mu    sync.Mutex // held over a change, its commit included
	rules map[string]*rule
	next  uint64 // sequence number of the next event
	first uint64 // of the oldest kept
}

// New opens the store and loads the rules. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Clock == nil || cfg.Logger == nil || cfg.Functions == nil || cfg.Dir == "" {
		return nil, errors.New("eventbridge: Dir, Clock, Logger and Functions must be set")
	}
	db, err := store.Open(store.Options{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("eventbridge: %w", err)
	}
	s := &Server{cfg: cfg, db: db, rules: map[string]*rule{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("eventbridge: load: %w", err), db.Close())
	}
	return s, nil
}

// Close closes the store. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

func (s *Server) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for valid := it.SeekGE([]byte(rulePrefix)); valid; valid = it.Next() {
		r := &rule{}
		if err := json.Unmarshal(it.Value(), r); err != nil {
			return fmt.Errorf("record %q: %w", it.Key(), err)
		}
		if r.pattern, err = compilePattern(r.EventPattern); err != nil {
			return fmt.Errorf("rule %s: %w", r.Name, err)
		}
		s.rules[r.Name] = r
	}
	if it.First() && strings.HasPrefix(string(it.Key()), eventPrefix) {
		s.first = sequenceOf(it.Key())
	}
	s.next = s.first
	if it.SeekLT([]byte(rulePrefix)) && strings.HasPrefix(string(it.Key()), eventPrefix) {
		s.next = sequenceOf(it.Key()) + 1
	}
	return it.Error()
}

func eventKey(sequence uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(eventPrefix), sequence)
}

func sequenceOf(key []byte) uint64 {
	if len(key) != len(eventPrefix)+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(eventPrefix):])
}

type operation func(s *Server, body []byte) (any, *wire.Error)

func op[In any](method func(*Server, In) (any, *wire.Error)) operation {
	return func(s *Server, body []byte) (any, *wire.Error) {
		var in In
		if refusal := wire.DecodeJSON(body, &in); refusal != nil {
			return nil, refusal
		}
		return method(s, in)
	}
}

func lookup(name string) operation {
	switch name {
	case "PutEvents":
		return op((*Server).putEvents)
	case "PutRule":
		return op((*Server).putRule)
	case "DescribeRule":
		return op((*Server).describeRule)
	case "ListRules":
		return op((*Server).listRules)
	case "DeleteRule":
		return op((*Server).deleteRule)
	case "EnableRule":
		return op((*Server).enableRule)
	case "DisableRule":
		return op((*Server).disableRule)
	case "PutTargets":
		return op((*Server).putTargets)
	case "ListTargetsByRule":
		return op((*Server).listTargets)
	case "RemoveTargets":
		return op((*Server).removeTargets)
	case "TestEventPattern":
		return op((*Server).testEventPattern)
	case "DescribeEventBus":
		return op((*Server).describeBus)
	case "ListEventBuses":
		return op((*Server).listBuses)
	}
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", wire.RequestID())
	out, refusal := s.serve(r)
	if refusal != nil {
		wire.WriteAWSJSON(w, contentType, refusal)
		return
	}
	wire.WriteJSON(w, contentType, http.StatusOK, out)
}

func (s *Server) serve(r *http.Request) (any, *wire.Error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	handle := lookup(name)
	if !ok || handle == nil || r.Method != http.MethodPost {
		return nil, &wire.Error{Status: http.StatusBadRequest, Code: "UnknownOperationException"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"Request size exceeds the limit.")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	return handle(s, body)
}

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func notFound(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", format, args...)
}

func internal(err error) *wire.Error {
	return wire.Errorf(http.StatusInternalServerError, "InternalException", "%v", err)
}

// checkBus accepts the default bus, by name or by ARN.
func (s *Server) checkBus(bus string) *wire.Error {
	if bus == "" || bus == defaultBus || bus == s.busARN() {
		return nil
	}
	return notFound("Event bus %s does not exist.", bus)
}

func (s *Server) busARN() string {
	return "arn:aws:events:" + s.cfg.Region + ":" + s.cfg.AccountID + ":event-bus/" + defaultBus
}

func (s *Server) describeBus(in struct{ Name string }) (any, *wire.Error) {
	if refusal := s.checkBus(in.Name); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"Name": defaultBus, "Arn": s.busARN()}, nil
}

func (s *Server) listBuses(in struct{ NamePrefix string }) (any, *wire.Error) {
	buses := []any{}
	if strings.HasPrefix(defaultBus, in.NamePrefix) {
		buses = append(buses, map[string]any{"Name": defaultBus, "Arn": s.busARN()})
	}
	return map[string]any{"EventBuses": buses}, nil
}
