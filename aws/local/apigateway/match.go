package apigateway

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

var (
	routeKeyPattern = regexp.MustCompile(`^(ANY|GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)$`)
	variablePattern = regexp.MustCompile(`^\{[a-zA-Z0-9._-]+\+?\}$`)
)

// checkRouteKey refuses a key that is neither $default nor "METHOD /path".
func checkRouteKey(key string) *wire.Error {
	if key == defaultStage {
		return nil
	}
	match := routeKeyPattern.FindStringSubmatch(key)
	if match == nil {
		return badRequest("The provided route key is not formatted properly for HTTP protocol. " +
			"Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	segments := strings.Split(match[2][1:], "/")
	for i, segment := range segments {
		braces := strings.ContainsAny(segment, "{}")
		if braces && !variablePattern.MatchString(segment) {
			return badRequest("Resource's path part only allow alphanumeric characters, dots, hyphens, " +
				"underscores and curly braces around a variable")
		}
		if strings.HasSuffix(segment, "+}") && i != len(segments)-1 {
			return badRequest("Greedy path variable must be the last segment: " + key)
		}
	}
	return nil
}

// route is one route ready to be matched.
type route struct {
	key         string
	method      string   // "ANY", or ""  for $default
	segments    []string // of the path
	integration integration
}

type table []route

// newTable orders routes by how specific they are, so that the first that matches is the one to
// take: a path without variables before one with, a greedy one last, $default at the very end; of
// equal paths, the one that names the method.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
func newTable(records map[string]routeRecord, targets map[string]integration) table {
	var t table
	for _, record := range records {
		target, ok := targets[strings.TrimPrefix(record.Target, targetPrefix)]
		if !ok {
			continue // a route without a target answers as if it did not exist
		}
		r := route{key: record.Key, integration: target}
		if method, path, ok := strings.Cut(record.Key, " /"); ok {
			r.method, r.segments = method, strings.Split(path, "/")
		}
		t = append(t, r)
	}
	slices.SortFunc(t, func(a, b route) int {
		if c := slices.Compare(a.rank(), b.rank()); c != 0 {
			return c
		}
		return cmp.Compare(a.key, b.key)
	})
	return t
}

// rank sorts routes: one number a segment (0 literal, 1 variable, 2 greedy), then the method.
func (r *route) rank() []int {
	if r.method == "" {
		return []int{9}
	}
	var rank []int
	for _, segment := range r.segments {
		switch {
		case strings.HasSuffix(segment, "+}"):
			rank = append(rank, 2)
		case strings.HasPrefix(segment, "{"):
			rank = append(rank, 1)
		default:
			rank = append(rank, 0)
		}
	}
	if r.method == "ANY" {
		return append(rank, 4)
	}
	return append(rank, 3)
}

// find returns the route for a request and the values of its path's variables.
func (t table) find(method, path string) (*route, map[string]string) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range t {
		r := &t[i]
		if r.method != "" && r.method != "ANY" && r.method != method {
			continue
		}
		if r.method == "" {
			return r, nil
		}
		if values, ok := match(r.segments, segments); ok {
			return r, values
		}
	}
	return nil, nil
}

func match(pattern, segments []string) (map[string]string, bool) {
	var values map[string]string
	set := func(name, value string) {
		if values == nil {
			values = map[string]string{}
		}
		values[name] = value
	}
	for i, want := range pattern {
		if i >= len(segments) {
			return nil, false
		}
		switch {
		case strings.HasSuffix(want, "+}"):
			rest := strings.Join(segments[i:], "/")
			if rest == "" {
				return nil, false
			}
			set(want[1:len(want)-2], rest)
			return values, true
		case strings.HasPrefix(want, "{"):
			if segments[i] == "" {
				return nil, false
			}
			set(want[1:len(want)-1], segments[i])
		case want != segments[i]:
			return nil, false
		}
	}
	return values, len(pattern) == len(segments)
}

// serving is everything that the gateway answers from, never changed once made.
type serving struct {
	byID     map[string]*served
	byDomain map[string]map[string]target // domain → mapping key → target
	first    *served                      // the oldest API
}

type served struct {
	id     string
	stages map[string]*servedStage
}

type servedStage struct {
	name      string
	variables map[string]string
	routes    table
}

type target struct {
	api   *served
	stage string
}

func compile(apis map[string]*api, domains map[string]*domain) *serving {
	out := &serving{byID: map[string]*served{}, byDomain: map[string]map[string]target{}}
	oldest := uint64(0)
	for id, a := range apis {
		entry := &served{id: id, stages: map[string]*servedStage{}}
		for name, st := range a.Stages {
			routes, targets := a.Routes, a.Integrations
			if !st.AutoDeploy {
				d := a.Deployments[st.DeploymentID] // none: the stage has nothing to serve yet
				routes, targets = d.Routes, d.Integrations
			}
			entry.stages[name] = &servedStage{
				name: name, variables: st.Variables, routes: newTable(routes, targets),
			}
		}
		out.byID[id] = entry
		if out.first == nil || a.Serial < oldest {
			out.first, oldest = entry, a.Serial
		}
	}
	for name, d := range domains {
		out.byDomain[name] = map[string]target{}
		for _, m := range d.Mappings {
			if entry := out.byID[m.APIID]; entry != nil {
				out.byDomain[name][m.Key] = target{entry, m.Stage}
			}
		}
	}
	return out
}

// locate finds the API and stage that answer: by mapped domain, by an execute-api host name, or,
// for any other name (an IP address, say), the oldest API. path is what the routes match.
func (s *serving) locate(host, path string) (a *served, st *servedStage, rest string) {
	label, domain, _ := strings.Cut(host, ".")
	mappings, mapped := s.byDomain[host]
	if !mapped {
		mappings, mapped = s.byDomain["*."+domain]
	}
	switch {
	case mapped:
		return locateMapped(mappings, path)
	case strings.HasPrefix(domain, "execute-api."):
		a = s.byID[label]
	default:
		a = s.first
	}
	if a == nil {
		return nil, nil, path
	}
	first, after, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if st := a.stages[first]; st != nil && first != defaultStage {
		return a, st, "/" + after
	}
	return a, a.stages[defaultStage], path
}

// locateMapped takes the longest mapping key that begins the path.
func locateMapped(mappings map[string]target, path string) (*served, *servedStage, string) {
	best, found := "", false
	for key := range mappings {
		begins := key == "" || path == "/"+key || strings.HasPrefix(path, "/"+key+"/")
		if begins && (!found || len(key) > len(best)) {
			best, found = key, true
		}
	}
	if !found {
		return nil, nil, path
	}
	t := mappings[best]
	rest := path
	if best != "" {
		rest = strings.TrimPrefix(path, "/"+best)
	}
	if rest == "" {
		rest = "/"
	}
	return t.api, t.api.stages[t.stage], rest
}
