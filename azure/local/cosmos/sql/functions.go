package sql

import (
	"maps"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// function is one built-in: how many arguments it takes (max -1: any number) and what it yields. A
// function that cannot work with its arguments yields undefined.
type function struct {
	min, max int
	call     func(r *run, a []value.Value) value.Value
}

var undefined = value.Value{}

// functions holds the built-ins by upper-case name.
var functions = merge(stringFunctions(), mathFunctions(), typeFunctions(), arrayFunctions(),
	dateFunctions())

func merge(tables ...map[string]*function) map[string]*function {
	out := map[string]*function{}
	for _, t := range tables {
		maps.Copy(out, t)
	}
	return out
}

func boolean(b bool) value.Value { return value.OfBool(b) }

// onStrings makes a function whose arguments must all be strings.
func onStrings(n int, f func(a []string) value.Value) *function {
	return &function{n, n, func(_ *run, a []value.Value) value.Value {
		s := make([]string, len(a))
		for i, v := range a {
			if v.Kind != value.String {
				return undefined
			}
			s[i] = v.Str
		}
		return f(s)
	}}
}

// onNumbers makes a function whose arguments must all be numbers.
func onNumbers(n int, f func(a []float64) float64) *function {
	return &function{n, n, func(_ *run, a []value.Value) value.Value {
		x := make([]float64, len(a))
		for i, v := range a {
			if v.Kind != value.Number {
				return undefined
			}
			x[i] = v.Num
		}
		return number(f(x))
	}}
}

// onValue makes a function of one argument of any type.
func onValue(f func(v value.Value) value.Value) *function {
	return &function{1, 1, func(_ *run, a []value.Value) value.Value { return f(a[0]) }}
}

func typeFunctions() map[string]*function {
	is := func(f func(v value.Value) bool) *function {
		return onValue(func(v value.Value) value.Value { return boolean(f(v)) })
	}
	kind := func(k value.Kind) *function { return is(func(v value.Value) bool { return v.Kind == k }) }
	return map[string]*function{
		"IS_DEFINED": is(value.Value.Defined),
		"IS_NULL":    kind(value.Null),
		"IS_BOOL":    kind(value.Bool),
		"IS_NUMBER":  kind(value.Number),
		"IS_STRING":  kind(value.String),
		"IS_ARRAY":   kind(value.Array),
		"IS_OBJECT":  kind(value.Object),
		"IS_PRIMITIVE": is(func(v value.Value) bool {
			return v.Kind >= value.Null &&
				v.Kind <= value.String
		}),
		"IS_FINITE_NUMBER": kind(value.Number),
		"IS_INTEGER":       is(isInteger),
		"IS_DATETIME": is(func(v value.Value) bool {
			_, ok := parseDateTime(v)
			return ok
		}),
		"IIF": {3, 3, func(_ *run, a []value.Value) value.Value {
			if a[0].IsTrue() {
				return a[1]
			}
			return a[2]
		}},
		"DOCUMENTID": onValue(documentID),
	}
}

func isInteger(v value.Value) bool {
	return v.Kind == value.Number && v.Num == float64(int64(v.Num))
}

// documentID is the number of a document within its container: the last half of its _rid.
func documentID(v value.Value) value.Value {
	rid := v.Get("_rid")
	if rid.Kind != value.String {
		return undefined
	}
	return ridNumber(rid.Str)
}

func arrayFunctions() map[string]*function {
	return map[string]*function{
		"ARRAY_CONCAT":       {2, -1, arrayConcat},
		"ARRAY_CONTAINS":     {2, 3, arrayContains},
		"ARRAY_CONTAINS_ANY": {2, -1, arrayContainsSome(false)},
		"ARRAY_CONTAINS_ALL": {2, -1, arrayContainsSome(true)},
		"ARRAY_LENGTH": onValue(func(v value.Value) value.Value {
			if v.Kind != value.Array {
				return undefined
			}
			return value.OfNumber(float64(len(v.Items)))
		}),
		"ARRAY_SLICE":   {2, 3, arraySlice},
		"CHOOSE":        {2, -1, choose},
		"OBJECTTOARRAY": {1, 3, objectToArray},
		"SETINTERSECT":  {2, 2, setIntersect},
		"SETUNION":      {2, 2, setUnion},
		"SETDIFFERENCE": {2, 2, setDifference},
	}
}

func arrayConcat(_ *run, a []value.Value) value.Value {
	var out []value.Value
	for _, v := range a {
		if v.Kind != value.Array {
			return undefined
		}
		out = append(out, v.Items...)
	}
	return value.OfArray(out)
}

func arrayContains(_ *run, a []value.Value) value.Value {
	partial := false
	if len(a) == 3 {
		if a[2].Kind != value.Bool {
			return undefined
		}
		partial = a[2].Bool
	}
	if a[0].Kind != value.Array || !a[1].Defined() {
		return undefined
	}
	return boolean(contains(a[0].Items, a[1], partial))
}

func contains(items []value.Value, want value.Value, partial bool) bool {
	for _, it := range items {
		if value.Equal(it, want) || partial && matches(it, want) {
			return true
		}
	}
	return false
}

// matches reports whether the object v has all properties of the object want.
func matches(v, want value.Value) bool {
	if v.Kind != value.Object || want.Kind != value.Object {
		return false
	}
	for _, m := range want.Members {
		got := v.Get(m.Name)
		if !got.Defined() || !value.Equal(got, m.Value) && !matches(got, m.Value) {
			return false
		}
	}
	return true
}

func arrayContainsSome(all bool) func(*run, []value.Value) value.Value {
	return func(_ *run, a []value.Value) value.Value {
		if a[0].Kind != value.Array {
			return undefined
		}
		for _, want := range a[1:] {
			if contains(a[0].Items, want, false) != all {
				return boolean(!all)
			}
		}
		return boolean(all)
	}
}

// bounds reads a start (negative counts from the end) and an optional length.
func bounds(n int, a []value.Value) (from, to int, ok bool) {
	for _, v := range a {
		if v.Kind != value.Number {
			return 0, 0, false
		}
	}
	start := clampInt(a[0].Num)
	if start < 0 {
		start = max(0, n+start)
	}
	start = min(start, n)
	end := n
	if len(a) > 1 {
		end = min(n, start+max(0, clampInt(a[1].Num)))
	}
	return start, end, true
}

func clampInt(f float64) int { return int(max(-1<<31, min(1<<31, f))) }

func arraySlice(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.Array {
		return undefined
	}
	from, to, ok := bounds(len(a[0].Items), a[1:])
	if !ok {
		return undefined
	}
	return value.OfArray(a[0].Items[from:to])
}

func choose(_ *run, a []value.Value) value.Value {
	if !isInteger(a[0]) || a[0].Num < 1 || int(a[0].Num) >= len(a) {
		return undefined
	}
	return a[int(a[0].Num)]
}

func objectToArray(_ *run, a []value.Value) value.Value {
	names := [2]string{"k", "v"}
	for i, n := range a[1:] {
		if n.Kind != value.String {
			return undefined
		}
		names[i] = n.Str
	}
	if a[0].Kind != value.Object {
		return undefined
	}
	out := make([]value.Value, len(a[0].Members))
	for i, m := range a[0].Members {
		out[i] = value.OfObject([]value.Member{
			{Name: names[0], Value: value.OfString(m.Name)},
			{Name: names[1], Value: m.Value},
		})
	}
	return value.OfArray(out)
}

func keySet(items []value.Value) map[string]bool {
	out := make(map[string]bool, len(items))
	for _, v := range items {
		out[string(value.AppendKey(nil, v))] = true
	}
	return out
}

// setOf keeps each value of items once, if keep says so.
func setOf(items []value.Value, keep func(key string) bool) value.Value {
	seen := map[string]bool{}
	var out []value.Value
	for _, v := range items {
		key := string(value.AppendKey(nil, v))
		if !seen[key] && keep(key) {
			seen[key] = true
			out = append(out, v)
		}
	}
	return value.OfArray(out)
}

func twoArrays(a []value.Value) bool { return a[0].Kind == value.Array && a[1].Kind == value.Array }

func setIntersect(_ *run, a []value.Value) value.Value {
	if !twoArrays(a) {
		return undefined
	}
	other := keySet(a[1].Items)
	return setOf(a[0].Items, func(k string) bool { return other[k] })
}

func setDifference(_ *run, a []value.Value) value.Value {
	if !twoArrays(a) {
		return undefined
	}
	other := keySet(a[1].Items)
	return setOf(a[0].Items, func(k string) bool { return !other[k] })
}

func setUnion(_ *run, a []value.Value) value.Value {
	if !twoArrays(a) {
		return undefined
	}
	all := append(append([]value.Value{}, a[0].Items...), a[1].Items...)
	return setOf(all, func(string) bool { return true })
}
