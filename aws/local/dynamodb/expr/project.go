package expr

import (
	"cmp"
	"maps"
	"slices"

	"github.com/proa-cloud/proa"
)

// Projection is a parsed projection expression.
type Projection struct{ tree *selection }

// selection is the paths of a projection, merged by their common beginnings.
type selection struct {
	whole   bool // everything under here
	names   map[string]*selection
	indexes map[int]*selection
}

// ParseProjection parses a projection expression. Errors are *Error.
func ParseProjection(src string, b *Bindings) (*Projection, error) {
	paths, err := parsePaths(src, b)
	if err != nil {
		return nil, errorf("Invalid ProjectionExpression: %s", err.Message)
	}
	return ProjectPaths(paths), nil
}

// ProjectNames makes a projection of whole top-level attributes.
func ProjectNames(names []string) *Projection {
	paths := make([]Path, len(names))
	for i, n := range names {
		paths[i] = Path{{Name: n}}
	}
	return ProjectPaths(paths)
}

// ProjectPaths makes a projection of the paths, none of which may be empty.
func ProjectPaths(paths []Path) *Projection {
	root := &selection{}
	for _, path := range paths {
		s := root
		for _, e := range path {
			s = s.child(e)
		}
		s.whole = true
	}
	return &Projection{tree: root}
}

func (s *selection) child(e Element) *selection {
	if e.IsIndex {
		if s.indexes == nil {
			s.indexes = map[int]*selection{}
		}
		s.indexes[e.Index] = cmp.Or(s.indexes[e.Index], &selection{})
		return s.indexes[e.Index]
	}
	if s.names == nil {
		s.names = map[string]*selection{}
	}
	s.names[e.Name] = cmp.Or(s.names[e.Name], &selection{})
	return s.names[e.Name]
}

func parsePaths(src string, b *Bindings) ([]Path, *Error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	c := &checker{b: b}
	var paths []Path
	for {
		n, err := p.path()
		if err != nil {
			return nil, err
		}
		c.resolvePath(n)
		paths = append(paths, n.path)
		if !p.accept(",") {
			break
		}
	}
	if p.peek().kind != tokEOF {
		return nil, p.unexpected()
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return paths, overlap(paths)
}

// Names returns the top-level attributes that the projection reads, in order; none where it is nil.
func (p *Projection) Names() []string {
	if p == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.tree.names))
}

// Apply returns what the projection selects of the item; all of it where the projection is nil.
// Elements of a list come in order of their index and close up.
func (p *Projection) Apply(item proa.Item) proa.Item {
	if p == nil {
		return item
	}
	if item == nil {
		return nil
	}
	selected := p.tree.of(proa.Map(item)).Map
	if selected == nil {
		return proa.Item{}
	}
	return selected
}

// of returns the selected part of a value; KindNone where nothing of it is selected.
func (s *selection) of(v proa.Value) proa.Value {
	switch {
	case s.whole:
		return v
	case v.Kind == proa.KindM && s.names != nil:
		m := proa.Item{}
		for name, sub := range s.names {
			if part := sub.of(v.Map[name]); part.Kind != proa.KindNone {
				m[name] = part
			}
		}
		if len(m) == 0 {
			return proa.Value{}
		}
		return proa.Map(m)
	case v.Kind == proa.KindL && s.indexes != nil:
		list := []proa.Value{}
		for _, i := range slices.Sorted(maps.Keys(s.indexes)) {
			if i >= len(v.List) {
				break
			}
			if part := s.indexes[i].of(v.List[i]); part.Kind != proa.KindNone {
				list = append(list, part)
			}
		}
		if len(list) == 0 {
			return proa.Value{}
		}
		return proa.List(list...)
	}
	return proa.Value{}
}
