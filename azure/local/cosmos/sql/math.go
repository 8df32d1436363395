package sql

import (
	"math"
	"math/rand/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

func mathFunctions() map[string]*function {
	one := func(f func(float64) float64) *function {
		return onNumbers(1, func(a []float64) float64 { return f(a[0]) })
	}
	constant := func(c float64) *function {
		return &function{0, 0, func(*run, []value.Value) value.Value { return value.OfNumber(c) }}
	}
	out := map[string]*function{
		"ABS": one(math.Abs), "ACOS": one(math.Acos), "ASIN": one(math.Asin), "ATAN": one(math.Atan),
		"ATN2":    onNumbers(2, func(a []float64) float64 { return math.Atan2(a[0], a[1]) }),
		"CEILING": one(math.Ceil), "COS": one(math.Cos), "EXP": one(math.Exp), "FLOOR": one(math.Floor),
		"COT":     one(func(f float64) float64 { return 1 / math.Tan(f) }),
		"DEGREES": one(func(f float64) float64 { return f * 180 / math.Pi }),
		"RADIANS": one(func(f float64) float64 { return f * math.Pi / 180 }),
		"LOG":     {1, 2, logarithm},
		"LOG10":   one(math.Log10), "PI": constant(math.Pi),
		"POWER": onNumbers(2, func(a []float64) float64 { return math.Pow(a[0], a[1]) }),
		"RAND":  {0, 0, func(*run, []value.Value) value.Value { return value.OfNumber(rand.Float64()) }},
		"ROUND": {1, 2, round},
		"SIGN":  one(sign), "SIN": one(math.Sin),
		"SQRT": one(math.Sqrt), "TAN": one(math.Tan), "TRUNC": one(math.Trunc),
		"SQUARE":    one(func(f float64) float64 { return f * f }),
		"NUMBERBIN": {1, 2, numberBin},
	}
	for name, f := range integerFunctions() {
		out[name] = f
	}
	return out
}

func sign(f float64) float64 {
	switch {
	case f > 0:
		return 1
	case f < 0:
		return -1
	}
	return 0
}

func logarithm(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.Number {
		return undefined
	}
	if len(a) == 1 {
		return number(math.Log(a[0].Num))
	}
	if a[1].Kind != value.Number {
		return undefined
	}
	return number(math.Log(a[0].Num) / math.Log(a[1].Num))
}

// round rounds halves away from zero, to a number of decimals.
func round(_ *run, a []value.Value) value.Value {
	if a[0].Kind != value.Number {
		return undefined
	}
	if len(a) == 1 {
		return number(math.Round(a[0].Num))
	}
	if a[1].Kind != value.Number {
		return undefined
	}
	scale := math.Pow(10, math.Trunc(a[1].Num))
	return number(math.Round(a[0].Num*scale) / scale)
}

func numberBin(_ *run, a []value.Value) value.Value {
	bin := 1.0
	if len(a) == 2 {
		if a[1].Kind != value.Number {
			return undefined
		}
		bin = a[1].Num
	}
	if a[0].Kind != value.Number || bin == 0 {
		return undefined
	}
	return number(math.Floor(a[0].Num/bin) * bin)
}

// integerFunctions work on 64-bit integers; a fraction, or a number beyond 64 bits, is undefined.
func integerFunctions() map[string]*function {
	two := func(f func(a, b int64) (int64, bool)) *function {
		return &function{2, 2, func(_ *run, a []value.Value) value.Value {
			if !isInteger(a[0]) || !isInteger(a[1]) {
				return undefined
			}
			n, ok := f(int64(a[0].Num), int64(a[1].Num))
			if !ok {
				return undefined
			}
			return value.OfNumber(float64(n))
		}}
	}
	plain := func(f func(a, b int64) int64) *function {
		return two(func(a, b int64) (int64, bool) { return f(a, b), true })
	}
	return map[string]*function{
		"INTADD": plain(func(a, b int64) int64 { return a + b }),
		"INTSUB": plain(func(a, b int64) int64 { return a - b }),
		"INTMUL": plain(func(a, b int64) int64 { return a * b }),
		"INTDIV": two(func(a, b int64) (int64, bool) {
			if b == 0 {
				return 0, false
			}
			return a / b, true
		}),
		"INTMOD": two(func(a, b int64) (int64, bool) {
			if b == 0 {
				return 0, false
			}
			return a % b, true
		}),
		"INTBITAND":        plain(func(a, b int64) int64 { return a & b }),
		"INTBITOR":         plain(func(a, b int64) int64 { return a | b }),
		"INTBITXOR":        plain(func(a, b int64) int64 { return a ^ b }),
		"INTBITLEFTSHIFT":  plain(func(a, b int64) int64 { return a << (uint64(b) & 63) }),
		"INTBITRIGHTSHIFT": plain(func(a, b int64) int64 { return a >> (uint64(b) & 63) }),
		"INTBITNOT": onValue(func(v value.Value) value.Value {
			if !isInteger(v) {
				return undefined
			}
			return value.OfNumber(float64(^int64(v.Num)))
		}),
	}
}
