package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
)

// Change is one difference between two configurations.
type Change struct {
	// Path is the field's, as the file spells it: "traffic.ttl", "tables[0].policy".
	Path string `json:"path"`
	// Old and New are the values; a secret's are never shown.
	Old string `json:"old"`
	New string `json:"new"`
	// Live says that a running node takes the change; otherwise it takes effect at the node's next start.
	Live bool `json:"live"`
}

// live are the paths that a running node takes.
var live = []string{
	"primary", "traffic.failback", "traffic.hold_down", "traffic.max_switches_per_hour",
	"objectives.rto", "objectives.rpo", "objectives.lag", "objectives.dwell",
	"traffic.records", "traffic.endpoints",
}

// isLive reports whether a running node takes a change of a field, or of the list that it is in.
func isLive(path string) bool {
	list, _, _ := strings.Cut(path, "[")
	return slices.Contains(live, path) || slices.Contains(live, list)
}

// Diff lists what changed from a to b, in the order of the file.
func Diff(a, b Config) []Change {
	changes := []Change{}
	diff(&changes, "", reflect.ValueOf(a), reflect.ValueOf(b))
	return changes
}

func diff(list *[]Change, path string, a, b reflect.Value) {
	if reflect.DeepEqual(value(a), value(b)) {
		return
	}
	leaf := func() {
		*list = append(*list, Change{Path: path, Old: show(a), New: show(b), Live: isLive(path)})
	}
	if !a.IsValid() || !b.IsValid() {
		leaf()
		return
	}
	switch a.Kind() {
	case reflect.Struct:
		if !diffFields(list, path, a, b) {
			leaf()
		}
	case reflect.Slice:
		for i := range max(a.Len(), b.Len()) {
			diff(list, fmt.Sprintf("%s[%d]", path, i), at(a, i), at(b, i))
		}
	case reflect.Map:
		keys := map[string]reflect.Value{}
		for _, m := range []reflect.Value{a, b} {
			for _, k := range m.MapKeys() {
				keys[k.String()] = k
			}
		}
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			diff(list, path+"."+name, a.MapIndex(keys[name]), b.MapIndex(keys[name]))
		}
	default:
		leaf()
	}
}

// diffFields descends into a struct that the file spells as a map; it reports false for one that it spells as a value.
func diffFields(list *[]Change, path string, a, b reflect.Value) bool {
	named := false
	for f := range a.Type().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		named = true
		diff(list, strings.TrimPrefix(path+"."+name, "."), a.FieldByIndex(f.Index), b.FieldByIndex(f.Index))
	}
	return named
}

func at(v reflect.Value, i int) reflect.Value {
	if i < v.Len() {
		return v.Index(i)
	}
	return reflect.Value{}
}

// value is what is compared: a secret's text, which pointers hide.
func value(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if s, ok := v.Interface().(proa.Secret); ok {
		return s.Reveal()
	}
	return v.Interface()
}

// show renders a value for people. fmt renders a secret as redacted wherever it is.
func show(v reflect.Value) string {
	if !v.IsValid() {
		return "(none)"
	}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "(none)"
		}
		v = v.Elem()
	}
	if s, ok := v.Interface().(proa.Secret); ok && s.IsZero() {
		return "(none)"
	}
	if p, ok := v.Interface().(Policy); ok && p.IsZero() {
		return "lww"
	}
	if text := fmt.Sprintf("%v", v.Interface()); text != "" {
		return text
	}
	return "(none)"
}
