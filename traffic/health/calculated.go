package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
)

// The bounds of a formula: its nesting, and what it takes in through other calculated checks.
const (
	maxDepth = 16
	maxSize  = 256
)

// Calculated is a check made of other checks of the same endpoint.
type Calculated struct {
	// Name is how formulas refer to it.
	Name string
	// Of is its formula.
	Of Formula
	// Advisory shows the check and lets it decide nothing.
	Advisory bool
}

// Formula is a check by name, or AtLeast of some formulas, or the opposite of one. Its logic has
// three values: what is unknown stays unknown unless the rest decides.
type Formula struct {
	// Check names a check or a calculated check.
	Check string
	// Of are the parts of which AtLeast must be healthy: all of them, one of them, n of m.
	Of      []Formula
	AtLeast int
	// Not is healthy when its part is unhealthy.
	Not *Formula
}

// opinion is what one check says.
type opinion struct {
	health  proa.Health
	said    string
	monitor bool // made of cloud monitors and the like alone: its "unknown" does not matter
}

// eval works the formula out; look tells the named checks.
func (f Formula) eval(look func(string) opinion) opinion {
	switch {
	case f.Not != nil:
		o := f.Not.eval(look)
		switch o.health {
		case proa.Healthy:
			o.health = proa.Unhealthy
		case proa.Unhealthy:
			o.health = proa.Healthy
		}
		o.said = "not (" + o.said + ")"
		return o
	case f.Check != "":
		return look(f.Check)
	}
	up, down, monitors := 0, 0, 0
	var against []string
	for _, part := range f.Of {
		o := part.eval(look)
		switch o.health {
		case proa.Healthy:
			up++
		case proa.Unhealthy:
			down++
		}
		if o.health != proa.Healthy {
			against = append(against, o.said)
		}
		if o.monitor {
			monitors++
		}
	}
	o := opinion{health: proa.Unknown, monitor: monitors == len(f.Of)}
	o.said = fmt.Sprintf("%d of %d healthy, %d needed", up, len(f.Of), f.AtLeast)
	switch {
	case up >= f.AtLeast:
		o.health = proa.Healthy
		return o
	case len(f.Of)-down < f.AtLeast:
		o.health = proa.Unhealthy
	}
	o.said += ": " + strings.Join(against, "; ")
	return o
}

// names lists the checks that the formula refers to.
func (f Formula) names() []string {
	var list []string
	if f.Check != "" {
		list = append(list, f.Check)
	}
	if f.Not != nil {
		list = append(list, f.Not.names()...)
	}
	for _, part := range f.Of {
		list = append(list, part.names()...)
	}
	return list
}

// wrong says what is wrong with the formula itself, "" for nothing.
func (f Formula) wrong(depth int) string {
	forms := 0
	for _, has := range []bool{f.Check != "", f.Not != nil, len(f.Of) > 0} {
		if has {
			forms++
		}
	}
	switch {
	case depth > maxDepth:
		return fmt.Sprintf("is nested more than %d deep", maxDepth)
	case forms != 1:
		return "wants a check's name, all, any, at_least with of, or not: one of them"
	case len(f.Of) > 0 && (f.AtLeast < 1 || f.AtLeast > len(f.Of)):
		return fmt.Sprintf("wants at_least from 1 to %d, not %d", len(f.Of), f.AtLeast)
	}
	if f.Not != nil {
		return f.Not.wrong(depth + 1)
	}
	for _, part := range f.Of {
		if w := part.wrong(depth + 1); w != "" {
			return w
		}
	}
	return ""
}

// CheckFormulas refuses calculated checks that cannot be worked out: unknown or repeated names, and
// checks that depend on themselves. names are the other checks. Errors wrap proa.ErrInvalidConfig.
func CheckFormulas(names []string, calculated []Calculated) error {
	known := slices.Clone(names)
	f := formulas{map[string]Formula{}, map[string]int{}}
	for _, c := range calculated {
		if c.Name == "" || slices.Contains(known, c.Name) {
			return fmt.Errorf("calculated check %q: the name is empty or taken: %w", c.Name,
				proa.ErrInvalidConfig)
		}
		if w := c.Of.wrong(1); w != "" {
			return fmt.Errorf("calculated check %q: %s: %w", c.Name, w, proa.ErrInvalidConfig)
		}
		known = append(known, c.Name)
		f.of[c.Name] = c.Of
	}
	for _, c := range calculated {
		for _, name := range c.Of.names() {
			if !slices.Contains(known, name) {
				return fmt.Errorf("calculated check %q: there is no check %q, only %s: %w", c.Name,
					name, strings.Join(known, ", "), proa.ErrInvalidConfig)
			}
		}
		cycle := f.measure(c.Name, nil)
		if cycle != nil {
			return fmt.Errorf("calculated check %q depends on itself: %s: %w", c.Name,
				strings.Join(cycle, " → "), proa.ErrInvalidConfig)
		}
		if f.sizes[c.Name] > maxSize {
			return fmt.Errorf("calculated check %q takes in more than %d checks: %w", c.Name, maxSize,
				proa.ErrInvalidConfig)
		}
	}
	return nil
}

// formulas are calculated checks by name, and how many checks each takes in, those of others that it
// names included.
type formulas struct {
	of    map[string]Formula
	sizes map[string]int
}

// measure fills in the size of a check, on the way of those that named it. It returns the way when
// it comes back to itself.
func (f formulas) measure(name string, way []string) (cycle []string) {
	if slices.Contains(way, name) {
		return append(way, name)
	}
	if _, known := f.sizes[name]; known {
		return nil
	}
	way = append(slices.Clone(way), name)
	size := 1
	for _, part := range f.of[name].names() {
		if cycle := f.measure(part, way); cycle != nil {
			return cycle
		}
		size = min(size+f.sizes[part], maxSize+1)
	}
	f.sizes[name] = size
	return nil
}
