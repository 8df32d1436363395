package eventbridge

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

// The vendor's limits of PutEvents.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	maxEntries    = 10
	maxEntryBytes = 1 << 20 // 256 KB until January 2026
)

type entry struct {
	Source, DetailType, Detail *string
	EventBusName, TraceHeader  string
	Resources                  []string
	Time                       *float64
}

// Event is an event as rules see it and functions get it.
type Event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

type result struct {
	EventId      string `json:",omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (s *Server) putEvents(in struct{ Entries []entry }) (any, *wire.Error) {
	if len(in.Entries) == 0 || len(in.Entries) > maxEntries {
		return nil, invalid("1 validation error detected: Value at 'entries' failed to satisfy "+
			"constraint: Member must have length between 1 and %d", maxEntries)
	}
	size := 0
	for i := range in.Entries {
		size += in.Entries[i].size()
	}
	if size > maxEntryBytes {
		return nil, invalid("Total size of the entries in the request is over the limit.")
	}
	results := make([]result, len(in.Entries))
	var accepted [][]byte
	failed := 0
	for i := range in.Entries {
		event, refused := s.event(&in.Entries[i])
		results[i] = refused
		if refused.ErrorCode != "" {
			failed++
			continue
		}
		encoded, err := wire.Marshal(event)
		if err != nil {
			return nil, internal(err)
		}
		accepted, results[i].EventId = append(accepted, encoded), event.ID
	}
	if err := s.keep(accepted); err != nil {
		return nil, internal(err)
	}
	for _, event := range accepted {
		s.deliver(event)
	}
	return map[string]any{"FailedEntryCount": failed, "Entries": results}, nil
}

// size counts an entry as the vendor does.
func (e *entry) size() int {
	n := 0
	if e.Time != nil {
		n += 14
	}
	for _, text := range []*string{e.Source, e.DetailType, e.Detail} {
		if text != nil {
			n += len(*text)
		}
	}
	for _, resource := range e.Resources {
		n += len(resource)
	}
	return n
}

func (s *Server) event(e *entry) (Event, result) {
	refuse := func(code, message string) (Event, result) {
		return Event{}, result{ErrorCode: code, ErrorMessage: message}
	}
	switch {
	case e.Source == nil || *e.Source == "":
		return refuse("InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument.")
	case strings.HasPrefix(*e.Source, "aws."):
		return refuse("NotAuthorizedForSourceException", "Not authorized for the source.")
	case e.DetailType == nil || *e.DetailType == "":
		return refuse("InvalidArgument",
			"Parameter DetailType is not valid. Reason: DetailType is a required argument.")
	case e.Detail == nil || *e.Detail == "":
		return refuse("InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument.")
	case !isObject(*e.Detail):
		return refuse("MalformedDetail", "Detail is malformed.")
	}
	if refusal := s.checkBus(e.EventBusName); refusal != nil {
		return refuse("ResourceNotFoundException", refusal.Message)
	}
	at := s.cfg.Clock()
	if e.Time != nil {
		at = time.UnixMilli(int64(*e.Time * 1000))
	}
	resources := e.Resources
	if resources == nil {
		resources = []string{}
	}
	return Event{
		Version: "0", ID: wire.RequestID(), DetailType: *e.DetailType, Source: *e.Source,
		Account: s.cfg.AccountID, Time: at.UTC().Format("2006-01-02T15:04:05Z"), Region: s.cfg.Region,
		Resources: resources, Detail: json.RawMessage(*e.Detail),
	}, result{}
}

func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}

// keep commits events and drops the oldest past the limit.
func (s *Server) keep(events [][]byte) error {
	if len(events) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.db.NewBatch()
	defer batch.Close()
	next := s.next
	for _, event := range events {
		if err := batch.Set(eventKey(next), event, nil); err != nil {
			return err
		}
		next++
	}
	first := s.first
	if next > keepEvents && first < next-keepEvents {
		first = next - keepEvents
		if err := batch.DeleteRange(eventKey(s.first), eventKey(first), nil); err != nil {
			return err
		}
	}
	if err := batch.Commit(store.Sync); err != nil {
		return err
	}
	s.first, s.next = first, next
	return nil
}

// Last returns the newest events, oldest first, at most limit.
func (s *Server) Last(limit int) ([]Event, error) {
	s.mu.Lock()
	first, next := s.first, s.next
	s.mu.Unlock()
	if count := next - first; uint64(max(0, limit)) < count {
		first = next - uint64(max(0, limit))
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: eventKey(first), UpperBound: eventKey(next)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var events []Event
	for it.First(); it.Valid(); it.Next() {
		var event Event
		if err := json.Unmarshal(it.Value(), &event); err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, it.Error()
}

// deliver hands an event to the targets of the rules that match it.
func (s *Server) deliver(event []byte) {
	var plain map[string]any
	if json.Unmarshal(event, &plain) != nil {
		return
	}
	type delivery struct{ rule, function, input string }
	var due []delivery
	s.mu.Lock()
	for _, r := range s.rules {
		if r.State == "ENABLED" && r.pattern.matches(plain) {
			for _, t := range r.Targets {
				due = append(due, delivery{s.ruleARN(r.Name), t.Arn, t.Input})
			}
		}
	}
	s.mu.Unlock()
	for _, d := range due {
		payload := event
		if d.input != "" {
			payload = []byte(d.input)
		}
		if !s.cfg.Functions.Allows(d.function, "events.amazonaws.com", d.rule) {
			s.cfg.Logger.Warn("function does not let the rule call it; add a permission",
				"function", d.function, "rule", d.rule)
			continue
		}
		if err := s.cfg.Functions.InvokeAsync(lambda.Call{Function: d.function, Payload: payload}); err != nil {
			s.cfg.Logger.Warn("event is not delivered", "function", d.function, "error", err)
		}
	}
}
