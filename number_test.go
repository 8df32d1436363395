package proa

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalNumber(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "+0.000": "0", "0e99999": "0", "00012": "12", "1.50": "1.5", "1.": "1", ".5": "0.5", "-.5e1": "-5",
		"1e3": "1000", "1E-3": "0.001", "12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
		"1e125": "1" + strings.Repeat("0", 125), "1e-130": "0." + strings.Repeat("0", 129) + "1", "100e-2": "1",
		"-9.9999999999999999999999999999999999999E+125": "-99999999999999999999999999999999999999" + strings.Repeat("0", 88),
	} {
		got, err := CanonicalNumber(in)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestCanonicalNumberRefusesWhatDynamoDBRefuses(t *testing.T) {
	for _, in := range []string{"", "-", ".", "e5", "1e", "abc", "1 ", "0x10", "1_000", "NaN", "Infinity", "1e126", "1e-131", "1e9999999", "123456789012345678901234567890123456789", "1.2.3", "--1", "1e+-5", "1e-+5", "1e-"} {
		if got, err := CanonicalNumber(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %q, %v; want ErrInvalid", in, got, err)
		}
	}
}

func numbers() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		digits := rapid.StringMatching(`[0-9]{1,20}(\.[0-9]{1,18})?`).Draw(t, "digits")
		sign := rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, "sign")
		exp := rapid.SampledFrom([]string{"", "e0", "E5", "e-7", "e+12"}).Draw(t, "exp")
		return sign + digits + exp
	})
}

func TestCanonicalNumberKeepsTheValueAndIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := numbers().Draw(t, "n")
		got, err := CanonicalNumber(in)
		if err != nil {
			t.Fatal(err)
		}
		a, ok := new(big.Rat).SetString(in)
		b, ok2 := new(big.Rat).SetString(got)
		if !ok || !ok2 || a.Cmp(b) != 0 {
			t.Fatalf("%s became %s", in, got)
		}
		if again, _ := CanonicalNumber(got); again != got {
			t.Fatalf("%s is not canonical: %s", got, again)
		}
	})
}

func TestCompareNumbersAgreesWithBigRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbers().Draw(t, "a"), numbers().Draw(t, "b")
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		ca, _ := CanonicalNumber(a)
		cb, _ := CanonicalNumber(b)
		got := CompareNumbers(ca, cb)
		if (got < 0) != (x.Cmp(y) < 0) || (got > 0) != (x.Cmp(y) > 0) {
			t.Fatalf("%s against %s: got %d, want %d", a, b, got, x.Cmp(y))
		}
	})
}
