package sql

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// characters; Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/replicate
const maxReplicate = 10_000

// Lengths and positions in strings count Unicode characters, from 0.
func stringFunctions() map[string]*function {
	str := value.OfString
	return map[string]*function{
		"CONCAT":       {2, -1, concat},
		"CONTAINS":     compareWith(strings.Contains),
		"STARTSWITH":   compareWith(strings.HasPrefix),
		"ENDSWITH":     compareWith(strings.HasSuffix),
		"STRINGEQUALS": compareWith(func(a, b string) bool { return a == b }),
		"INDEX_OF":     {2, 3, indexOf},
		"LEFT":         {2, 2, leftRight(false)},
		"RIGHT":        {2, 2, leftRight(true)},
		"LENGTH": onStrings(1, func(a []string) value.Value {
			return value.OfNumber(float64(utf8.RuneCountInString(a[0])))
		}),
		"LOWER":     onStrings(1, func(a []string) value.Value { return str(strings.ToLower(a[0])) }),
		"UPPER":     onStrings(1, func(a []string) value.Value { return str(strings.ToUpper(a[0])) }),
		"LTRIM":     {1, 2, trim(strings.TrimLeft)},
		"RTRIM":     {1, 2, trim(strings.TrimRight)},
		"TRIM":      {1, 2, trim(strings.Trim)},
		"REPLACE":   onStrings(3, replace),
		"REPLICATE": {2, 2, replicate},
		"REVERSE": onStrings(1, func(a []string) value.Value {
			r := []rune(a[0])
			slices.Reverse(r)
			return str(string(r))
		}),
		"SUBSTRING":       {2, 3, substring},
		"REGEXMATCH":      {2, 3, regexMatch},
		"STRINGSPLIT":     onStrings(2, func(a []string) value.Value { return split(a[0], a[1]) }),
		"STRINGJOIN":      {2, 2, join},
		"TOSTRING":        onValue(toString),
		"STRINGTOARRAY":   parseAs(value.Array),
		"STRINGTOBOOLEAN": parseAs(value.Bool),
		"STRINGTONULL":    parseAs(value.Null),
		"STRINGTONUMBER":  parseAs(value.Number),
		"STRINGTOOBJECT":  parseAs(value.Object),
	}
}

func concat(_ *run, a []value.Value) value.Value {
	var b strings.Builder
	for _, v := range a {
		if v.Kind != value.String || b.Len()+len(v.Str) > maxString {
			return undefined
		}
		b.WriteString(v.Str)
	}
	return value.OfString(b.String())
}

// compareWith makes a comparison of two strings with an optional third argument: ignore case.
func compareWith(f func(a, b string) bool) *function {
	return &function{2, 3, func(_ *run, a []value.Value) value.Value {
		if a[0].Kind != value.String || a[1].Kind != value.String {
			return undefined
		}
		s, t := a[0].Str, a[1].Str
		if len(a) == 3 {
			if a[2].Kind != value.Bool {
				return undefined
			}
			if a[2].Bool {
				s, t = strings.ToLower(s), strings.ToLower(t)
			}
		}
		return boolean(f(s, t))
	}}
}

func indexOf(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.String || a[1].Kind != value.String {
		return undefined
	}
	r := []rune(a[0].Str)
	start := 0
	if len(a) == 3 {
		if a[2].Kind != value.Number {
			return undefined
		}
		start = max(0, min(len(r), clampInt(a[2].Num)))
	}
	rest := string(r[start:])
	i := strings.Index(rest, a[1].Str)
	if i < 0 {
		return value.OfNumber(-1)
	}
	return value.OfNumber(float64(start + utf8.RuneCountInString(rest[:i])))
}

func leftRight(right bool) func(*run, []value.Value) value.Value {
	return func(_ *run, a []value.Value) value.Value {
		if a[0].Kind != value.String || a[1].Kind != value.Number {
			return undefined
		}
		r := []rune(a[0].Str)
		n := max(0, min(len(r), clampInt(a[1].Num)))
		if right {
			return value.OfString(string(r[len(r)-n:]))
		}
		return value.OfString(string(r[:n]))
	}
}

func trim(f func(s, cutset string) string) func(*run, []value.Value) value.Value {
	return func(_ *run, a []value.Value) value.Value {
		cut := " \t\r\n\v\f"
		if len(a) == 2 {
			if a[1].Kind != value.String {
				return undefined
			}
			cut = a[1].Str
		}
		if a[0].Kind != value.String {
			return undefined
		}
		return value.OfString(f(a[0].Str, cut))
	}
}

func replace(a []string) value.Value {
	if a[1] == "" {
		return value.OfString(a[0])
	}
	if grown := len(a[0]) + strings.Count(a[0], a[1])*(len(a[2])-len(a[1])); grown > maxString {
		return undefined
	}
	return value.OfString(strings.ReplaceAll(a[0], a[1], a[2]))
}

func replicate(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.String || a[1].Kind != value.Number || a[1].Num < 0 {
		return undefined
	}
	n := clampInt(a[1].Num)
	if n > maxReplicate || n*utf8.RuneCountInString(a[0].Str) > maxReplicate {
		return undefined
	}
	return value.OfString(strings.Repeat(a[0].Str, n))
}

func substring(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.String {
		return undefined
	}
	r := []rune(a[0].Str)
	if a[1].Kind == value.Number && a[1].Num < 0 {
		a[1] = value.OfNumber(0)
	}
	from, to, ok := bounds(len(r), a[1:])
	if !ok {
		return undefined
	}
	return value.OfString(string(r[from:to]))
}

// regexMatch takes the modifiers m, s, i and x.
func regexMatch(r *run, a []value.Value) value.Value {
	if a[0].Kind != value.String || a[1].Kind != value.String {
		return undefined
	}
	expression := a[1].Str
	if len(a) == 3 {
		if a[2].Kind != value.String || strings.Trim(a[2].Str, "msix") != "" {
			return undefined
		}
		flags := strings.ReplaceAll(a[2].Str, "x", "")
		if flags != a[2].Str {
			expression = strings.Join(strings.Fields(expression), "")
		}
		if flags != "" {
			expression = "(?" + flags + ")" + expression
		}
	}
	p := r.compiled(expression)
	if p.re == nil {
		return undefined
	}
	return boolean(p.match(a[0].Str))
}

func split(s, sep string) value.Value {
	parts := []string{s}
	if sep != "" {
		parts = strings.Split(s, sep)
	}
	out := make([]value.Value, len(parts))
	for i, p := range parts {
		out[i] = value.OfString(p)
	}
	return value.OfArray(out)
}

func join(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.Array || a[1].Kind != value.String {
		return undefined
	}
	var b strings.Builder
	for i, v := range a[0].Items {
		if v.Kind != value.String || b.Len()+len(v.Str)+len(a[1].Str) > maxString {
			return undefined
		}
		if i > 0 {
			b.WriteString(a[1].Str)
		}
		b.WriteString(v.Str)
	}
	return value.OfString(b.String())
}

func toString(v value.Value) value.Value {
	switch {
	case v.Kind == value.String:
		return v
	case !v.Defined() || sizeWithin(v, maxString) > maxString:
		return undefined
	}
	return value.OfString(string(v.JSON()))
}

func parseAs(kind value.Kind) *function {
	return onStrings(1, func(a []string) value.Value {
		v, err := value.Parse([]byte(a[0]))
		if err != nil || v.Kind != kind {
			return undefined
		}
		return v
	})
}

// ridNumber reads the document number out of a _rid.
func ridNumber(rid string) value.Value {
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(rid, "-", "/"))
	if err != nil || len(b) != 16 {
		return undefined
	}
	var n uint64
	for i := 15; i >= 8; i-- {
		n = n<<8 | uint64(b[i])
	}
	return value.OfNumber(float64(n))
}
