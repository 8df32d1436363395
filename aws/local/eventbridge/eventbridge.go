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

func (s *Server) lookup(_ *http.Request, name string) wire.Operation[any] {
	switch name {
	case "PutEvents":
		return wire.Op(s.putEvents)
	case "PutRule":
		return wire.Op(s.putRule)
	case "DescribeRule":
		return wire.Op(s.describeRule)
	case "ListRules":
		return wire.Op(s.listRules)
	case "DeleteRule":
		return wire.Op(s.deleteRule)
	case "EnableRule":
		return wire.Op(s.enableRule)
	case "DisableRule":
		return wire.Op(s.disableRule)
	case "PutTargets":
		return wire.Op(s.putTargets)
	case "ListTargetsByRule":
		return wire.Op(s.listTargets)
	case "RemoveTargets":
		return wire.Op(s.removeTargets)
	case "TestEventPattern":
		return wire.Op(s.testEventPattern)
	case "DescribeEventBus":
		return wire.Op(s.describeBus)
	case "ListEventBuses":
		return wire.Op(s.listBuses)
	}
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wire.RPC{
		ContentType: contentType, Target: targetPrefix, MaxBody: maxBody, Lookup: s.lookup,
		Unknown: func(string) *wire.Error {
			return &wire.Error{Status: http.StatusBadRequest, Code: "UnknownOperationException"}
		},
		TooLarge: "RequestEntityTooLargeException",
	}.ServeHTTP(w, r)
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
