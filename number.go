package proa

import (
	"fmt"
	"strings"
)

// Limits of a DynamoDB number: 38 significant digits, magnitude from 1E-130 to 9.99…E+125.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	maxDigits   = 38
	maxExponent = 125
	minExponent = -130
)

// decimal is ±0.d₁d₂…dₙ × 10^exp with d₁ and dₙ not zero; zero has no digits.
type decimal struct {
	neg    bool
	digits string
	exp    int
}

// CanonicalNumber returns the one spelling of a decimal number: no exponent, no leading or trailing zeros, no "-0".
// It fails with ErrInvalid beyond DynamoDB's precision or range.
func CanonicalNumber(s string) (string, error) {
	d, err := parseDecimal(s)
	if err != nil {
		return "", err
	}
	return d.String(), nil
}

// CompareNumbers orders two canonical numbers by value.
func CompareNumbers(a, b string) int {
	x, errX := parseDecimal(a)
	y, errY := parseDecimal(b)
	if errX != nil || errY != nil {
		return strings.Compare(a, b)
	}
	switch {
	case x.sign() != y.sign():
		return x.sign() - y.sign()
	case x.neg:
		return y.compareMagnitude(x)
	}
	return x.compareMagnitude(y)
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.neg:
		return -1
	}
	return 1
}

func (d decimal) compareMagnitude(o decimal) int {
	if d.digits != "" && o.digits != "" && d.exp != o.exp {
		if d.exp < o.exp {
			return -1
		}
		return 1
	}
	return strings.Compare(d.digits, o.digits)
}

func parseDecimal(s string) (decimal, error) {
	bad := func(why string) (decimal, error) {
		return decimal{}, fmt.Errorf("number %.60q: %s: %w", s, why, ErrInvalid)
	}
	rest, neg := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg, rest = rest[0] == '-', rest[1:]
	}
	mantissa, exp := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa = rest[:i]
		n, ok := parseExponent(rest[i+1:])
		if !ok {
			return bad("malformed exponent")
		}
		exp = n
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	if whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return bad("not a decimal number")
	}
	digits := whole + frac
	trimmed := strings.TrimLeft(digits, "0")
	exp += len(whole) - (len(digits) - len(trimmed))
	trimmed = strings.TrimRight(trimmed, "0")
	if trimmed == "" {
		return decimal{}, nil
	}
	switch {
	case len(trimmed) > maxDigits:
		return bad("more than 38 significant digits")
	case exp-1 > maxExponent:
		return bad("magnitude larger than 9.99E+125")
	case exp-1 < minExponent:
		return bad("magnitude smaller than 1E-130")
	}
	return decimal{neg: neg, digits: trimmed, exp: exp}, nil
}

func parseExponent(s string) (int, bool) {
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n := 0
	for _, c := range strings.TrimLeft(s, "0") {
		n = min(n*10+int(c-'0'), 1_000_000) // far beyond every limit is all the same
	}
	if neg {
		n = -n
	}
	return n, true
}

// String renders plain decimal notation, as DynamoDB returns numbers.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	var s string
	switch n := len(d.digits); {
	case d.exp <= 0:
		s = "0." + strings.Repeat("0", -d.exp) + d.digits
	case d.exp >= n:
		s = d.digits + strings.Repeat("0", d.exp-n)
	default:
		s = d.digits[:d.exp] + "." + d.digits[d.exp:]
	}
	if d.neg {
		return "-" + s
	}
	return s
}
