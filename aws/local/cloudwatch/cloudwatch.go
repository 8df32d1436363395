// Package cloudwatch is Amazon CloudWatch's metrics and alarms on this machine.
//
// Metrics live in memory, bounded: the last 15 minutes by the second, the last 24 hours by the
// minute, of at most 1,000 metrics; they do not survive the process. Alarms and their states are on
// stable storage before they are acknowledged. Alarms are evaluated every second over windows that
// end now, so they fire earlier than the vendor's.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html, over Smithy RPC v2
// CBOR and awsJson 1.0, which the SDKs of today speak.
package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

// Config says where alarms live. Dir, Clock and Logger are required.
type Config struct {
	Dir       string
	Clock     func() time.Time
	Logger    *slog.Logger
	AccountID string
	Region    string
}

// Server is the service. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg Config
	db  *pebble.DB

	metrics metrics

	alarmMu sync.Mutex // held over an alarm's change, its commit included
	alarms  map[string]*alarm
}

// New opens the store and loads the alarms. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Clock == nil || cfg.Logger == nil || cfg.Dir == "" {
		return nil, errors.New("cloudwatch: Dir, Clock and Logger must be set")
	}
	db, err := store.Open(store.Options{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	s := &Server{
		cfg: cfg, db: db, alarms: map[string]*alarm{},
		metrics: metrics{series: map[string]*series{}},
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("cloudwatch: load: %w", err), db.Close())
	}
	return s, nil
}

func (s *Server) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		a := &alarm{}
		if err := json.Unmarshal(it.Value(), a); err != nil {
			return fmt.Errorf("record %q: %w", it.Key(), err)
		}
		s.alarms[a.AlarmName] = a
	}
	return it.Error()
}

// Close closes the store. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

// Run evaluates the alarms every second until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Evaluate(); err != nil {
				s.cfg.Logger.Error("alarms cannot be evaluated", "error", err)
			}
		}
	}
}

// Observe takes one sample of a metric of the local cloud's own services. Samples of new metrics
// past the limit are dropped.
func (s *Server) Observe(
	namespace, metric, unit string, value float64, dimensions ...[2]string,
) {
	d := make([]Dimension, len(dimensions))
	for i, pair := range dimensions {
		d[i] = Dimension{Name: pair[0], Value: pair[1]}
	}
	now := s.cfg.Clock()
	_ = s.metrics.add(id{namespace, metric, d}, unit, now, now, single(value))
}

func (s *Server) lookup(name string) wire.Operation[map[string]any] {
	switch name {
	case "PutMetricData":
		return wire.Op(s.putMetricData)
	case "GetMetricData":
		return wire.Op(s.getMetricData)
	case "GetMetricStatistics":
		return wire.Op(s.getMetricStatistics)
	case "ListMetrics":
		return wire.Op(s.listMetrics)
	case "PutMetricAlarm":
		return wire.Op(s.putMetricAlarm)
	case "DescribeAlarms":
		return wire.Op(s.describeAlarms)
	case "DescribeAlarmsForMetric":
		return wire.Op(s.describeAlarmsForMetric)
	case "DeleteAlarms":
		return wire.Op(s.deleteAlarms)
	case "SetAlarmState":
		return wire.Op(s.setAlarmState)
	case "EnableAlarmActions":
		return wire.Op(s.enableAlarmActions)
	case "DisableAlarmActions":
		return wire.Op(s.disableAlarmActions)
	}
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, codec := operationOf(r)
	handle := s.lookup(name)
	if handle == nil {
		codec.refuse(w, wire.Errorf(http.StatusNotFound, "UnknownOperationException",
			"The requested operation is not recognized by the service."))
		return
	}
	body, refusal := codec.read(r)
	if refusal != nil {
		codec.refuse(w, refusal)
		return
	}
	out, refusal := handle(body)
	if refusal != nil {
		codec.refuse(w, refusal)
		return
	}
	codec.answer(w, out)
}

// WriteError answers a request that was refused before it came here, in its own encoding.
func WriteError(w http.ResponseWriter, r *http.Request, refusal *wire.Error) {
	_, codec := operationOf(r)
	codec.refuse(w, refusal)
}

func invalidValue(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

func missing(name string) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "MissingRequiredParameterException",
		"The parameter %s is required.", name)
}

func combination(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterCombinationException", format, args...)
}

func internal(err error) *wire.Error {
	return wire.Errorf(http.StatusInternalServerError, "InternalServiceFault", "%v", err)
}
