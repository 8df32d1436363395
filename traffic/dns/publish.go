package dns

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

// Apply publishes the snapshot of a plan. It fails with proa.ErrStalePlan when a newer plan is in
// force.
func (s *Server) Apply(plan proa.Plan) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	state := s.state
	state.Plan = plan
	return s.rebuild(s.base, state)
}

// Isolate tells the server that it is cut off from the others, or not any more: records that are
// silent then fall silent, all others go on.
func (s *Server) Isolate(isolated bool) error {
	if s.isolated.Load() == isolated { // asked ten times a second: it waits for nobody
		return nil
	}
	s.publish.Lock()
	defer s.publish.Unlock()
	state := s.state
	state.Isolated = isolated
	if err := s.rebuild(s.base, state); err != nil {
		return err
	}
	s.isolated.Store(isolated)
	return nil
}

// Measure tells the server what vantage points measured. The answers change only where an order did;
// Explain shows the figures.
func (s *Server) Measure(near map[string]policy.Near) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	state := s.state
	state.Near = near
	same := func(a, b policy.Near) bool { return slices.Equal(a.Order, b.Order) }
	if maps.EqualFunc(near, s.state.Near, same) {
		s.state = state
		return nil
	}
	return s.rebuild(s.base, state)
}

// Explain says how a client's answer for a name comes about under the plan that is served; false
// when the name is not one whose addresses follow the plan.
func (s *Server) Explain(owner string, client netip.Addr) (Explanation, bool, error) {
	n, err := parseName(owner)
	if err != nil {
		return Explanation{}, false, err
	}
	s.publish.Lock()
	base, state := s.base, s.state
	s.publish.Unlock()
	at := slices.Index(base.names, n)
	if at < 0 {
		return Explanation{}, false, nil
	}
	r := base.records[at]
	e := Explanation{
		Name: n.String(), Zone: base.zones[base.homes[at]].Origin, Client: client, Plan: state.Plan,
		TTL: r.TTL, Silent: r.Silent && state.Isolated,
	}
	if state.Plan.Drain {
		e.TTL = min(e.TTL, drainTTL*time.Second)
	}
	e.Trace, err = r.Policy.Trace(policy.Situation{Plan: state.Plan, Near: state.Near}, n.String(), client)
	return e, true, err
}

// Names are the records' names.
func (s *Server) Names() []string {
	s.publish.Lock()
	defer s.publish.Unlock()
	var list []string
	for _, n := range s.base.names {
		list = append(list, n.String())
	}
	return list
}

// Explanation is how an answer comes about.
type Explanation struct {
	Name   string        `json:"name"`
	Zone   string        `json:"zone"`
	Client netip.Addr    `json:"client"`
	Plan   proa.Plan     `json:"plan"`
	TTL    time.Duration `json:"ttl"`
	Silent bool          `json:"silent,omitempty"` // no answer: the server is isolated
	Trace  policy.Trace  `json:"trace"`
}

// rebuild publishes a state with the lock held, and keeps it when it was accepted.
func (s *Server) rebuild(base *Base, state State) error {
	state.Stamps = s.transfers.stamps(s.cfg.Clock())
	next, err := base.With(state)
	if err != nil {
		return err
	}
	if err := s.swap(next); err != nil {
		return err
	}
	s.base, s.state = base, state
	return nil
}

// Publish swaps the snapshot; the next query is answered from it. One whose plan, or whose serial
// of any zone (RFC 1982), is behind the present one is refused with proa.ErrStalePlan.
func (s *Server) Publish(next *Snapshot) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	return s.swap(next)
}

// swap is Publish with the lock held.
func (s *Server) swap(next *Snapshot) error {
	was := s.current.Load()
	if next.Plan.Version < was.Plan.Version {
		return fmt.Errorf("publish plan %d: plan %d is served: %w", next.Plan.Version,
			was.Plan.Version, proa.ErrStalePlan)
	}
	for i, z := range next.base.zones {
		for j, o := range was.base.zones {
			if z.apex != o.apex {
				continue
			}
			if behind(next.soas[i].serial, was.soas[j].serial) {
				return fmt.Errorf("publish zone %s: serial %d is behind %d: %w",
					z.Origin, next.soas[i].serial, was.soas[j].serial, proa.ErrStalePlan)
			}
			if behind(z.Serial, o.Serial) { // which a stamp would hide
				return fmt.Errorf("publish zone %s: the zone's serial %d is behind %d: %w",
					z.Origin, z.Serial, o.Serial, proa.ErrStalePlan)
			}
		}
	}
	s.current.Store(next)
	s.state.Plan = next.Plan
	s.transfers.remember(next)
	return nil
}

// PutValidation puts a validation record into the answers, beside what else is at its name: a certificate for a domain and
// one for all below it ask for two texts at one name. It fails with proa.ErrInvalid where the name cannot have it.
func (s *Server) PutValidation(v Validation) error {
	n, err := parseName(v.Name)
	if err != nil {
		return err
	}
	v.Name = n.String()
	return s.change(func(list []Validation) ([]Validation, error) {
		same := func(o Validation) bool {
			return o.Name == v.Name && o.Type == v.Type && slices.Equal(o.Values, v.Values)
		}
		if i := slices.IndexFunc(list, same); i >= 0 && list[i].Fixed {
			return list, nil
		}
		return append(slices.DeleteFunc(list, same), v), nil
	})
}

// DeleteValidation takes a value at a name out again, all of the type where value is "". It fails with proa.ErrNotFound
// when there is none, and with proa.ErrConflict where it is of the configuration.
func (s *Server) DeleteValidation(owner, kind, value string) error {
	n, err := parseName(owner)
	if err != nil {
		return err
	}
	name := n.String()
	return s.change(func(list []Validation) ([]Validation, error) {
		var kept []Validation
		found := false
		for _, v := range list {
			if v.Name != name || v.Type != kind || value != "" && !slices.Contains(v.Values, value) {
				kept = append(kept, v)
				continue
			}
			if v.Fixed {
				return nil, fmt.Errorf("validation %s %s is of the configuration: take it out there: %w", kind, owner,
					proa.ErrConflict)
			}
			found = true
			v.Values = slices.DeleteFunc(slices.Clone(v.Values), func(o string) bool { return value == "" || o == value })
			if len(v.Values) > 0 {
				kept = append(kept, v)
			}
		}
		if !found {
			return nil, fmt.Errorf("validation %s %s: %w", kind, owner, proa.ErrNotFound)
		}
		return kept, nil
	})
}

// Validations are the validation records that are served.
func (s *Server) Validations() []Validation {
	s.publish.Lock()
	defer s.publish.Unlock()
	return slices.Clone(s.state.Validations)
}

// change publishes an edited copy of the validation records.
func (s *Server) change(edit func([]Validation) ([]Validation, error)) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	list, err := edit(slices.Clone(s.state.Validations))
	if err != nil {
		return err
	}
	state := s.state
	state.Validations = list
	return s.rebuild(s.base, state)
}

// Resign signs everything again, by the keys that are active now, and publishes it under the plan
// in force. Without keys it does nothing.
func (s *Server) Resign() error {
	s.compile.Lock()
	defer s.compile.Unlock()
	stamp := s.cfg.Signing.stamp()
	s.publish.Lock()
	current := s.base.renew.IsZero() && stamp == s.keyStamp
	s.publish.Unlock()
	if current {
		return nil
	}
	base, err := s.source().Compile()
	if err != nil {
		return err
	}
	s.publish.Lock()
	defer s.publish.Unlock()
	s.keyStamp = stamp
	return s.rebuild(base, s.state)
}

// resignCheck is how often keys and clock are looked at.
const resignCheck = 30 * time.Second

// keepSigned signs again before signatures end, when keys change their part and when the folder of
// keys changes, until ctx ends. Each server does so by itself.
func (s *Server) keepSigned(ctx context.Context) error {
	tick := time.NewTicker(resignCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.mustResign() {
			continue
		}
		if err := s.Resign(); err != nil { // the old signatures serve on, and it is tried again
			s.cfg.Logger.Error("zones cannot be signed again", "error", err)
			continue
		}
		s.cfg.Logger.Info("zones signed again")
	}
}

func (s *Server) mustResign() bool {
	s.publish.Lock()
	defer s.publish.Unlock()
	due := s.base.renew
	return !due.IsZero() && !s.cfg.Clock().Before(due) || s.cfg.Signing.stamp() != s.keyStamp
}
