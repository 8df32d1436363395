package expr

import (
	"errors"
	"math/big"
	"strings"

	"github.com/proa-cloud/proa"
)

// Refusals of a number, in the vendor's words.
const (
	MsgNotNumber = "The parameter cannot be converted to a numeric value"
	MsgOverflow  = "Number overflow. Attempting to store a number with magnitude larger than " +
		"supported range"
	MsgUnderflow = "Number underflow. Attempting to store a number with magnitude smaller than " +
		"supported range"
	MsgTooManyDigits = "Attempting to store more than 38 significant digits in a Number"
)

// add returns a+b, or a-b where minus is set, exactly. Both are canonical. The result is refused
// past the vendor's range.
func add(a, b string, minus bool) (string, error) {
	x, scaleX := unscaled(a)
	y, scaleY := unscaled(b)
	scale := max(scaleX, scaleY)
	x.Mul(x, pow10(scale-scaleX))
	y.Mul(y, pow10(scale-scaleY))
	if minus {
		x.Sub(x, y)
	} else {
		x.Add(x, y)
	}
	return Canonical(placePoint(x, scale))
}

// unscaled splits a canonical number into digits and the number of them behind the point.
func unscaled(s string) (*big.Int, int) {
	whole, frac, _ := strings.Cut(s, ".")
	n, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return new(big.Int), 0
	}
	return n, len(frac)
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func placePoint(x *big.Int, scale int) string {
	digits := new(big.Int).Abs(x).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	s := digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	if x.Sign() < 0 {
		return "-" + s
	}
	return s
}

// Canonical is proa.CanonicalNumber with the vendor's refusals. Errors are *Error.
func Canonical(s string) (string, error) {
	c, err := proa.CanonicalNumber(s)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, proa.ErrInvalid) {
		return "", err
	}
	switch why := err.Error(); {
	case strings.Contains(why, "38 significant"):
		return "", &Error{MsgTooManyDigits}
	case strings.Contains(why, "larger than"):
		return "", &Error{MsgOverflow}
	case strings.Contains(why, "smaller than"):
		return "", &Error{MsgUnderflow}
	}
	if s == "" {
		return "", &Error{MsgNotNumber}
	}
	return "", &Error{MsgNotNumber + ": " + s}
}
