package functions

import (
	"fmt"
	"strconv"
	"strings"
)

// route is a route template: "orders/{id:int}/{part?}" or "{*path}".
type route []part

type part struct {
	text     string // literal, or the parameter's name
	param    bool
	optional bool
	rest     bool   // {*name}: takes what is left
	kind     string // constraint; "" for none
}

// parseRoute reads a template. Constraints are int, long, bool, guid and alpha; default values and
// several parameters in one segment are refused.
func parseRoute(template string) (route, error) {
	var out route
	if template == "" {
		return out, nil
	}
	segments := strings.Split(template, "/")
	for i, s := range segments {
		inner, ok := strings.CutPrefix(s, "{")
		if !ok {
			if strings.ContainsAny(s, "{}") {
				return nil, fmt.Errorf("route %q: segment %q is not supported", template, s)
			}
			out = append(out, part{text: s})
			continue
		}
		inner, ok = strings.CutSuffix(inner, "}")
		if !ok || strings.ContainsAny(inner, "{}=") {
			return nil, fmt.Errorf("route %q: segment %q is not supported", template, s)
		}
		p := part{param: true}
		inner, p.rest = strings.CutPrefix(inner, "*")
		inner, p.optional = strings.CutSuffix(inner, "?")
		p.text, p.kind, _ = strings.Cut(inner, ":")
		switch p.kind {
		case "", "int", "long", "bool", "guid", "alpha":
		default:
			return nil, fmt.Errorf("route %q: constraint %q is not supported", template, p.kind)
		}
		if p.text == "" || (p.rest || p.optional) && i != len(segments)-1 {
			return nil, fmt.Errorf("route %q: segment %q is not supported there", template, s)
		}
		out = append(out, p)
	}
	return out, nil
}

// match returns the parameters of a decoded path.
func (r route) match(path string) (map[string]string, bool) {
	params := map[string]string{}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	if segments[0] == "" {
		segments = nil
	}
	for i, p := range r {
		if p.rest {
			params[p.text] = strings.Join(segments[min(i, len(segments)):], "/")
			return params, true
		}
		if i >= len(segments) {
			return params, p.optional
		}
		switch {
		case !p.param && !strings.EqualFold(p.text, segments[i]):
			return nil, false
		case p.param && !p.fits(segments[i]):
			return nil, false
		case p.param:
			params[p.text] = segments[i]
		}
	}
	return params, len(segments) <= len(r)
}

func (p part) fits(value string) bool {
	switch p.kind {
	case "int":
		_, err := strconv.ParseInt(value, 10, 32)
		return err == nil
	case "long":
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case "bool":
		return strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
	case "guid":
		return len(value) == 36 && strings.Count(value, "-") == 4
	case "alpha":
		return !strings.ContainsFunc(value, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
	}
	return true
}

// compare ranks routes: literals before constraints before parameters before what takes the rest.
func (r route) compare(o route) int {
	for i := range min(len(r), len(o)) {
		if d := r[i].weight() - o[i].weight(); d != 0 {
			return d
		}
	}
	return len(r) - len(o)
}

func (p part) weight() int {
	switch {
	case !p.param:
		return 3
	case p.rest:
		return 0
	case p.kind != "":
		return 2
	}
	return 1
}
