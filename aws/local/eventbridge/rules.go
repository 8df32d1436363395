package eventbridge

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

const (
	maxRules   = 300
	maxTargets = 5
)

var (
	rulePattern = regexp.MustCompile(`^[.\-_A-Za-z0-9]{1,64}$`)
	lambdaARN   = regexp.MustCompile(`^arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]+`)
)

type rule struct {
	Name, Description, EventPattern, State, RoleArn string
	Targets                                         []target

	pattern pattern
}

type target struct {
	Id, Arn string
	Input   string `json:",omitempty"`

	InputPath        string          `json:",omitempty"`
	InputTransformer json.RawMessage `json:",omitempty"`
}

func (s *Server) ruleARN(name string) string {
	return "arn:aws:events:" + s.cfg.Region + ":" + s.cfg.AccountID + ":rule/" + name
}

// save commits a rule. The lock is held.
func (s *Server) save(r *rule) *wire.Error {
	value, err := json.Marshal(r)
	if err == nil {
		err = s.db.Set([]byte(rulePrefix+r.Name), value, store.Sync)
	}
	if err != nil {
		return internal(err)
	}
	s.rules[r.Name] = r
	return nil
}

type putRuleRequest struct {
	Name, Description, EventPattern, ScheduleExpression, State, RoleArn, EventBusName string
}

func (s *Server) putRule(in putRuleRequest) (any, *wire.Error) {
	if refusal := s.checkBus(in.EventBusName); refusal != nil {
		return nil, refusal
	}
	switch {
	case !rulePattern.MatchString(in.Name):
		return nil, invalid("1 validation error detected: Value '%s' at 'name' failed to satisfy "+
			`constraint: Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+`, in.Name)
	case in.ScheduleExpression != "":
		return nil, invalid("Schedules are not supported here.")
	case in.EventPattern == "":
		return nil, invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	case in.State != "" && in.State != "ENABLED" && in.State != "DISABLED":
		return nil, invalid("Parameter State is not valid.")
	}
	compiled, err := compilePattern(in.EventPattern)
	if err != nil {
		return nil, wire.Errorf(400, "InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &rule{
		Name: in.Name, Description: in.Description, EventPattern: in.EventPattern, State: in.State,
		RoleArn: in.RoleArn, pattern: compiled,
	}
	if next.State == "" {
		next.State = "ENABLED"
	}
	if before := s.rules[in.Name]; before != nil {
		next.Targets = before.Targets
	} else if len(s.rules) >= maxRules {
		return nil, wire.Errorf(400, "LimitExceededException", "The requested resource exceeds the maximum "+
			"number allowed.")
	}
	if refusal := s.save(next); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"RuleArn": s.ruleARN(in.Name)}, nil
}

func (s *Server) render(r *rule) map[string]any {
	out := map[string]any{
		"Name": r.Name, "Arn": s.ruleARN(r.Name), "EventPattern": r.EventPattern, "State": r.State,
		"EventBusName": defaultBus,
	}
	if r.Description != "" {
		out["Description"] = r.Description
	}
	return out
}

type ruleRequest struct{ Name, Rule, EventBusName, NamePrefix string }

// find returns a rule. The lock is held.
func (s *Server) find(name string) (*rule, *wire.Error) {
	if r := s.rules[name]; r != nil {
		return r, nil
	}
	return nil, notFound("Rule %s does not exist on EventBus default.", name)
}

func (s *Server) describeRule(in ruleRequest) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, refusal := s.find(in.Name)
	if refusal != nil {
		return nil, refusal
	}
	return s.render(r), nil
}

func (s *Server) listRules(in ruleRequest) (any, *wire.Error) {
	if refusal := s.checkBus(in.EventBusName); refusal != nil {
		return nil, refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.rules {
		if strings.HasPrefix(name, in.NamePrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = s.render(s.rules[name])
	}
	return map[string]any{"Rules": out}, nil
}

func (s *Server) deleteRule(in ruleRequest) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rules[in.Name]
	if r == nil {
		return map[string]any{}, nil
	}
	if len(r.Targets) > 0 {
		return nil, invalid("Rule can't be deleted since it has targets.")
	}
	if err := s.db.Delete([]byte(rulePrefix+in.Name), store.Sync); err != nil {
		return nil, internal(err)
	}
	delete(s.rules, in.Name)
	return map[string]any{}, nil
}

func (s *Server) enableRule(in ruleRequest) (any, *wire.Error) { return s.turn(in.Name, "ENABLED") }

func (s *Server) disableRule(in ruleRequest) (any, *wire.Error) { return s.turn(in.Name, "DISABLED") }

func (s *Server) turn(name, state string) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, refusal := s.find(name)
	if refusal != nil {
		return nil, refusal
	}
	next := *r
	next.State = state
	return map[string]any{}, s.save(&next)
}

func (s *Server) putTargets(in struct {
	Rule, EventBusName string
	Targets            []target
},
) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, refusal := s.find(in.Rule)
	if refusal != nil {
		return nil, refusal
	}
	next := *r
	next.Targets = slices.Clone(r.Targets)
	for _, t := range in.Targets {
		switch {
		case t.Id == "" || !lambdaARN.MatchString(t.Arn):
			return nil, invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format "+
				"or is not of a Lambda function.", t.Arn)
		case t.InputPath != "" || len(t.InputTransformer) > 0:
			return nil, invalid("InputPath and InputTransformer are not supported here.")
		}
		next.Targets = slices.DeleteFunc(next.Targets, func(o target) bool { return o.Id == t.Id })
		next.Targets = append(next.Targets, t)
	}
	if len(next.Targets) > maxTargets {
		return nil, wire.Errorf(400, "LimitExceededException",
			"The requested resource exceeds the maximum number allowed.")
	}
	if refusal := s.save(&next); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []any{}}, nil
}

func (s *Server) listTargets(in ruleRequest) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, refusal := s.find(in.Rule)
	if refusal != nil {
		return nil, refusal
	}
	return map[string]any{"Targets": append([]target{}, r.Targets...)}, nil
}

func (s *Server) removeTargets(in struct {
	Rule, EventBusName string
	Ids                []string
},
) (any, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, refusal := s.find(in.Rule)
	if refusal != nil {
		return nil, refusal
	}
	next := *r
	next.Targets = slices.DeleteFunc(slices.Clone(r.Targets), func(t target) bool {
		return slices.Contains(in.Ids, t.Id)
	})
	if refusal := s.save(&next); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []any{}}, nil
}

func (s *Server) testEventPattern(in struct{ EventPattern, Event string }) (any, *wire.Error) {
	compiled, err := compilePattern(in.EventPattern)
	if err != nil {
		return nil, wire.Errorf(400, "InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
	}
	var plain map[string]any
	if json.Unmarshal([]byte(in.Event), &plain) != nil {
		return nil, invalid("Parameter Event is not valid.")
	}
	return map[string]any{"Result": compiled.matches(plain)}, nil
}
