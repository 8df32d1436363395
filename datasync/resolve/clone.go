package resolve

import (
	"maps"
	"slices"
)

// Clone returns a copy that shares nothing that a step changes.
func (s *State) Clone() *State {
	c := *s
	c.Bodies = maps.Clone(s.Bodies)
	c.Hold = cloned(s.Hold)
	for i := range c.Sides {
		sd := &c.Sides[i]
		sd.Intents = slices.Clone(sd.Intents)
		sd.Ahead = cloned(sd.Ahead)
		sd.Poison = cloned(sd.Poison)
		sd.Unfit = cloned(sd.Unfit)
	}
	return &c
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
