package config

import (
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/proa-cloud/proa/traffic/health"
)

// Formula is what a calculated check is made of: a check's name, {all: [...]}, {any: [...]},
// {at_least: 2, of: [...]} or {not: ...}.
type Formula struct {
	Check   string
	All     []Formula
	Any     []Formula
	AtLeast int
	Of      []Formula
	Not     *Formula
}

// formula is a Formula as it is written when it is no name.
type formula struct {
	All     []Formula `yaml:"all,omitempty"`
	Any     []Formula `yaml:"any,omitempty"`
	AtLeast int       `yaml:"at_least,omitempty"`
	Of      []Formula `yaml:"of,omitempty"`
	Not     *Formula  `yaml:"not,omitempty"`
}

var (
	_ yaml.NodeUnmarshaler    = (*Formula)(nil)
	_ yaml.InterfaceMarshaler = Formula{}
)

// MarshalYAML writes what UnmarshalYAML reads.
func (f Formula) MarshalYAML() (any, error) {
	if f.Check != "" {
		return f.Check, nil
	}
	return formula{f.All, f.Any, f.AtLeast, f.Of, f.Not}, nil
}

// UnmarshalYAML reads a name or a map; an error carries the place.
func (f *Formula) UnmarshalYAML(node ast.Node) error {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		f.Check = node.GetToken().Value
		return nil
	}
	var in formula
	if err := yaml.NodeToValue(node, &in, yaml.DisallowUnknownField()); err != nil {
		return err
	}
	forms := 0
	for _, has := range []bool{in.All != nil, in.Any != nil, in.Of != nil, in.Not != nil} {
		if has {
			forms++
		}
	}
	if forms != 1 || (in.Of != nil) != (in.AtLeast != 0) {
		return &yaml.SyntaxError{
			Message: "want one of all, any, not, and at_least with of", Token: node.GetToken(),
		}
	}
	*f = Formula{All: in.All, Any: in.Any, AtLeast: in.AtLeast, Of: in.Of, Not: in.Not}
	return nil
}

// Health is the formula as traffic/health works it out.
func (f Formula) Health() health.Formula {
	var parts []Formula
	out := health.Formula{Check: f.Check}
	switch {
	case f.Not != nil:
		not := f.Not.Health()
		out.Not = &not
	case f.All != nil:
		parts, out.AtLeast = f.All, len(f.All)
	case f.Any != nil:
		parts, out.AtLeast = f.Any, 1
	case f.Of != nil:
		parts, out.AtLeast = f.Of, f.AtLeast
	}
	for _, part := range parts {
		out.Of = append(out.Of, part.Health())
	}
	return out
}
